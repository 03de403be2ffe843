# SPDX-License-Identifier: GPL-2.0-or-later
"""Losses made on purpose: each check of the other scenarios has to see them, or their passing says nothing."""
import witness
from rig import Failure
from scenario import finish, must, scenario, serve

MIRRORED = {"vol": {"controllers": 1, "standbys": 1, "copies": 2}}


def caught(rig, what, check):
    try:
        check()
    except Failure as failure:
        rig.say(f"{what}: seen: {str(failure)[:160]}")
        return
    raise Failure(f"{what}: nobody saw it")


def spoil(rig, node, ld):
    """One byte of the first block of a witness on this member changes."""
    device = f"/dev/mapper/dnvme-ld-{ld}"
    chunk = next(line.split()[0] for line in rig.sh(
        node, f"witness digest {device} --offset {witness.LD_DATA_OFFSET}").splitlines() if line.split()[2] == "16")
    offset = witness.LD_DATA_OFFSET + int(chunk) * 65536
    rig.sh(node, f"dd if={device} of=/tmp/block bs=4096 count=1 skip={offset // 4096} iflag=direct 2>/dev/null && "
           "printf X | dd of=/tmp/block bs=1 seek=4000 conv=notrunc 2>/dev/null && "
           f"dd if=/tmp/block of={device} bs=4096 count=1 seek={offset // 4096} oflag=direct conv=notrunc 2>/dev/null")


@scenario("copies_differ")
def copies_differ(rig):
    """One block of one copy is changed underneath: the comparison of copies sees it."""
    witnesses = serve(rig, MIRRORED, "--threads 4 --blocks 16")
    witness.progress(witnesses, 1500)
    finish(rig, witnesses)
    _, _, ld, _, node = rig.members("vol")[0]
    spoil(rig, node, ld["id"])
    caught(rig, "copies that differ", lambda: witness.members_must_agree(rig, ["vol"]))


@scenario("rolled_back")
def rolled_back(rig):
    """What a device held a second ago is put back on it: witness and check see it."""
    witnesses = serve(rig, MIRRORED, "--threads 2 --region 0:64")
    device = witnesses[0].device
    rig.sh("host1", f"dd if={device} of=/tmp/old bs=64k count=4 iflag=direct 2>/dev/null")
    witness.progress(witnesses, 200)
    stopped = witness.stop(witnesses)
    must(not stopped[0]["stale"], f"{stopped[0]}")
    rig.sh("host1", f"dd if=/tmp/old of={device} bs=64k count=4 oflag=direct conv=notrunc 2>/dev/null")
    must(witness.lost(witnesses), "a device that was rolled back: nobody saw it")
    rig.say("a device that was rolled back: seen")


@scenario("task_hangs")
def task_hangs(rig):
    """A task that waits for a suspended device is seen to hang, and one that is only busy reading is not."""
    busy = rig.sh("dn1", "dd if=/dev/ubda of=/dev/null bs=512 iflag=direct 2>/dev/null >/dev/null & echo $!").strip()
    rig.must_not_hang()
    rig.sh("dn1", f"kill {busy}")  # which fails when it was not busy all the time
    rig.sh("host1", "dmsetup create hangs --table '0 2048 zero' && dmsetup suspend hangs")
    rig.sh("host1", "dd if=/dev/mapper/hangs of=/dev/null count=1 iflag=direct 2>/dev/null >/dev/null &")
    try:
        caught(rig, "a task that hangs", rig.must_not_hang)
    finally:
        rig.sh("host1", "dmsetup resume hangs && dmsetup remove --retry hangs")
    rig.must_not_hang()


@scenario("no_failover")
def no_failover(rig):
    """A volume loses its only controller, and no other node may become one: the wait for a failover says so, and nobody claims progress."""
    witnesses = serve(rig, {"vol": {"controllers": 1, "standbys": 0, "copies": 2}}, "--threads 2")
    holder = rig.holder("vol")
    others = [node for node in rig.cns if node != holder]
    for node in others:
        rig.cli("node", "cordon", node)
    try:
        rig.kill(holder)
        caught(rig, "no progress", lambda: witness.progress(witnesses, 20, 15))
    finally:
        for node in others:
            rig.cli("node", "uncordon", node)
    witness.progress(witnesses, 20, 60)
    rig.boot(holder)
    finish(rig, witnesses, stall_limit_ms=90000)
