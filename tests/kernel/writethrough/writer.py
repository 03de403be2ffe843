#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""In a guest: writes blocks until it dies, or checks them.

    writer.py write DEVICE BLOCKS PATTERN     prints "BLOCK SEQUENCE" for each acknowledged write
    writer.py check DEVICE <RECORDS           prints "acknowledged N lost N"; the journal of `write` comes in

PATTERN: fresh (each block once, in random order) or discard (a random block is discarded, then written again).
"""
import fcntl
import mmap
import os
import random
import struct
import sys

BLOCK = 65536  # of the pool: each write is the first of its block
WRITE = 4096
BLKDISCARD = 0x1277


def fill(buffer, block, sequence):
    buffer[:] = (struct.pack("<QQ", block, sequence) * (WRITE // 16))[:WRITE]


def write(device, blocks, pattern):
    handle = os.open(device, os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, WRITE)
    order = list(range(blocks))
    random.Random(1).shuffle(order)
    sequence = 0
    while True:
        for block in order:
            sequence += 1
            if pattern == "discard":
                fcntl.ioctl(handle, BLKDISCARD, struct.pack("QQ", block * BLOCK, BLOCK))
            fill(buffer, block, sequence)
            os.pwrite(handle, buffer, block * BLOCK)
            # One system call a record: what arrived outside was acknowledged.
            os.write(1, f"{block} {sequence}\n".encode())
        if pattern == "fresh":
            return


def check(device):
    last = {}
    for line in sys.stdin:
        words = line.split()
        if len(words) == 2 and line.endswith("\n"):
            last[int(words[0])] = int(words[1])
    handle = os.open(device, os.O_RDONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, WRITE)
    lost = 0
    for block, sequence in last.items():
        os.preadv(handle, [buffer], block * BLOCK)
        found = struct.unpack_from("<QQ", buffer)
        lost += not (found[0] == block and found[1] >= sequence)
    print("acknowledged", len(last), "lost", lost)


if sys.argv[1] == "write":
    write(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    check(sys.argv[2])
