# SPDX-License-Identifier: GPL-2.0-or-later
"""First writes to fresh blocks, and a controller that dies in the middle of them."""
import witness
from rig import Failure, Shape
from scenario import SHAPE, await_moved, busiest, finish, must, scenario, serve

WRITES = 60
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
    # NAME: START LENGTH writethrough FORCED …
    status = rig.sh(rig.holder("vol"), "dmsetup status --noflush --target writethrough").split()
    must(len(status) > 4 and int(status[4]) > 0, f"no write was forced: {status}")
    rig.say(f"{status[4]} writes were forced by the new holder")
    rig.boot(victim)
    finish(rig, witnesses)


@scenario("canary", CAPABLE)
def canary(rig):
    """Thin without it does lose some: if this test saw nothing, the others would prove nothing."""
    for turn in range(3):
        witnesses, victim = fresh_then_crash(rig, provision="thin", durability="flush")
        results = witness.stop(witnesses)
        wrong = witness.lost(witnesses)
        rig.say(f"{results[0]['writes']} writes: {wrong[0] if wrong else 'nothing lost'}")
        rig.boot(victim)
        if wrong:
            return
        rig.reset()
        rig.say(f"once more ({turn + 1})")
    raise Failure("no acknowledged write was lost by a thin volume without write-through")
