# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk and clocks of one server, while it runs: what the library says that is preloaded into it."""

import mmap
import os
import struct
import time

import harness

SHIM = "libattack_shim.so"


class Control:
    """The numbers that the shim in a server looks at (fault/shim.c)."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(32))
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 32)

    def prefix(self):
        """Words of a command line before those of the program that is to obey."""
        shim = os.path.join(harness.BIN, "..", "lib", SHIM)
        # A sanitizer wants to be the first library, and bears to be the second.
        sanitizer = f"verify_asan_link_order=0:{os.environ.get('ASAN_OPTIONS', '')}"
        return ["env", f"LD_PRELOAD={shim}", f"DNVME_ATTACK_CONTROL={self.path}", f"ASAN_OPTIONS={sanitizer}"]

    def remove(self):
        self.page.close()

    def disk(self, delay_ms=0, fail=0):
        self.page[:8] = struct.pack("=II", delay_ms, fail)

    def clock(self, jump_ms=0):
        self.page[8:16] = struct.pack("=q", jump_ms)

    def speed(self, percent=0):
        """Clocks only ever run slower from now on, or catch up at once: none goes back."""
        self.page[24:28] = struct.pack("=I", 0)
        self.page[16:24] = struct.pack("=q", time.monotonic_ns())
        self.page[24:28] = struct.pack("=I", percent)
