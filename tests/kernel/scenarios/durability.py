# SPDX-License-Identifier: GPL-2.0-or-later
"""First writes to fresh blocks, or to blocks that a snapshot shares, and a controller that dies in the middle of them."""
import witness
from rig import Failure, Shape
from scenario import SHAPE, await_moved, busiest, finish, must, scenario, serve

WRITES = 60
THIN_BLOCK_KIB = 64
SHARED_BLOCKS = 600  # of the 2048 of the volume: there is room for a copy of each
CAPABLE = Shape(dn=SHAPE.dn, cn=SHAPE.cn, host=SHAPE.host, racks=SHAPE.racks, writethrough=True)


def fresh_then_crash(rig, **more):
    """What was acknowledged and is not there."""
    witnesses = serve(rig, {"vol": dict(size="128MiB", controllers=1, standbys=1, **more)},
                      "--fresh --read-percent 0 --threads 8")
    victim, keys = busiest(rig, ["vol"])
    witness.progress(witnesses, WRITES)
    rig.kill(victim)
    await_moved(rig, keys, victim)
    return witnesses, victim


def snapshot_by_hand(rig):
    """No command of ours takes one yet: what dm-thin knows is the same."""
    rig.sh(rig.holder("vol"), "set -e\n"
                              "for thin in $(dmsetup ls --target thin | cut -f 1); do\n"
                              "  dmsetup suspend $thin\n"
                              "  dmsetup message $(echo $thin | sed s/thin/pool/) 0 'create_snap 4095 0'\n"
                              "  dmsetup resume $thin\n"
                              "done\n"
                              "test -n \"$thin\"")


def shared_then_crash(rig, **more):
    """Each write is the first one to a block that the snapshot has, too: dm-thin gives it a block of its own."""
    rig.create("vol", size="128MiB", controllers=1, standbys=1, provision="thin", **more)
    rig.attach(["vol"], "host1")
    device = rig.connect(["vol"], "host1")["vol"]
    rig.sh("host1", f"dd if=/dev/zero of={device} bs={THIN_BLOCK_KIB}k count={SHARED_BLOCKS} oflag=direct conv=fsync "
                    "status=none", timeout=60)
    snapshot_by_hand(rig)
    blocks = SHARED_BLOCKS * THIN_BLOCK_KIB // 4
    witnesses = [witness.Witness(rig, "vol", device,
                                 options=f"--fresh --read-percent 0 --threads 8 --region 0:{blocks}")]
    witness.start(witnesses)
    victim, keys = busiest(rig, ["vol"])
    witness.progress(witnesses, WRITES)
    rig.kill(victim)
    await_moved(rig, keys, victim)
    return witnesses, victim


def must_lose(rig, crash, what):
    for turn in range(3):
        witnesses, victim = crash(rig)
        results = witness.stop(witnesses)
        wrong = witness.lost(witnesses)
        rig.say(f"{results[0]['writes']} writes: {wrong[0] if wrong else 'nothing lost'}")
        rig.boot(victim)
        if wrong:
            return
        rig.reset()
        rig.say(f"once more ({turn + 1})")
    raise Failure(f"no acknowledged write was lost by {what}")


def must_force(rig):
    # NAME: START LENGTH writethrough FORCED …
    status = rig.sh(rig.holder("vol"), "dmsetup status --noflush --target writethrough").split()
    must(len(status) > 4 and int(status[4]) > 0, f"no write was forced: {status}")
    rig.say(f"{status[4]} writes were forced by the new holder")


@scenario("thick", CAPABLE)
def thick(rig):
    """Every block is mapped beforehand: nothing is lost."""
    witnesses, victim = fresh_then_crash(rig, provision="thick")
    witness.progress(witnesses, 20)
    rig.boot(victim)
    finish(rig, witnesses)


@scenario("strict", CAPABLE)
def strict(rig):
    """Thin, and acknowledged when it is durable: nothing is lost."""
    witnesses, victim = fresh_then_crash(rig, provision="thin", durability="strict")
    witness.progress(witnesses, 20)
    must_force(rig)
    rig.boot(victim)
    finish(rig, witnesses)


@scenario("canary", CAPABLE)
def canary(rig):
    """Thin without it does lose some: if this test saw nothing, the others would prove nothing."""
    must_lose(rig, lambda rig: fresh_then_crash(rig, provision="thin", durability="flush"),
              "a thin volume without write-through")


@scenario("strict_snapshot", CAPABLE)
def strict_snapshot(rig):
    """Writes to blocks that a snapshot shares, acknowledged when they are durable: nothing is lost."""
    witnesses, victim = shared_then_crash(rig, durability="strict")
    witness.progress(witnesses, 20)
    must_force(rig)
    rig.boot(victim)
    finish(rig, witnesses)


@scenario("canary_snapshot", CAPABLE)
def canary_snapshot(rig):
    """Without it some are lost."""
    must_lose(rig, lambda rig: shared_then_crash(rig, durability="flush"),
              "a volume with a snapshot and without write-through")
