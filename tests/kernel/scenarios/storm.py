# SPDX-License-Identifier: GPL-2.0-or-later
"""Many random faults in a row, never more at a time than redundancy allows. The seed is printed and gives the same faults."""
import random

import witness
from scenario import SHAPE, scenario, serve, finish

VOLUMES = {
    "one": {"controllers": 1, "standbys": 1, "copies": 2, "spread": "rack"},
    "two": {"controllers": 2, "standbys": 1, "copies": 2, "spread": "rack"},
    "mesh": {"controllers": 3, "standbys": 1, "copies": 2, "spread": "rack", "size": "48MiB"},
    "triple": {"controllers": 1, "standbys": 1, "copies": 3},
}


class Storm:
    """A fault is (name, act, undo); the nodes are drawn when it begins."""

    def __init__(self, rig, seed):
        self.rig, self.random = rig, random.Random(seed)

    def fault(self):
        rig, pick = self.rig, self.random.choice
        cn, dn, cp = pick(rig.cns), pick(rig.dns), pick(rig.cps)
        other = pick([node for node in rig.cns if node != cn])
        # Each line: what may happen to it, and how it ends.
        return pick([
            (f"power cut of {cn}", lambda: rig.kill(cn), lambda: rig.boot(cn)),
            (f"power cut of {cn}", lambda: rig.kill(cn), lambda: rig.boot(cn)),
            (f"power cut of {dn}", lambda: rig.kill(dn), lambda: rig.boot(dn)),
            (f"power cut of {dn}", lambda: rig.kill(dn), lambda: rig.boot(dn)),
            (f"power cut of {cn} and {cp} killed", lambda: (rig.kill(cn), rig.server_kill(cp)),
             lambda: (rig.server_start(cp), rig.boot(cn))),
            (f"power cut of {cn} and {dn}", lambda: rig.kill(cn, dn), lambda: rig.boot(cn, dn)),
            (f"{cp} killed", lambda: rig.server_kill(cp), lambda: rig.server_start(cp)),
            (f"{cp} frozen", lambda: rig.freeze(cp), lambda: rig.thaw(cp)),
            (f"{cp} cut off", lambda: rig.cut(cp), lambda: rig.heal(cp)),
            (f"{cn} frozen", lambda: rig.freeze(cn), lambda: rig.thaw(cn)),
            (f"{dn} frozen", lambda: rig.freeze(dn), lambda: rig.thaw(dn)),
            (f"{cn} cut off", lambda: rig.cut(cn), lambda: rig.heal(cn)),
            (f"{dn} cut off", lambda: rig.cut(dn), lambda: rig.heal(dn)),
            (f"{cn} cut from the servers", lambda: rig.cut(cn, *rig.cps), lambda: rig.heal(cn)),
            (f"{dn} cut from the servers", lambda: rig.cut(dn, *rig.cps), lambda: rig.heal(dn)),
            (f"{cn} cut from {dn}", lambda: rig.cut(cn, dn), lambda: rig.heal(cn)),
            (f"{cn} cut from {other}", lambda: rig.cut(cn, other), lambda: rig.heal(cn)),
            (f"{cn} cut from host1", lambda: rig.cut(cn, "host1"), lambda: rig.heal(cn)),
            (f"agent of {cn} killed", lambda: rig.agent_kill(cn), lambda: rig.agent_start(cn)),
            (f"agent of {dn} killed", lambda: rig.agent_kill(dn), lambda: rig.agent_start(dn)),
        ])


def storm(rig, count):
    witnesses = serve(rig, VOLUMES, "--threads 2 --rate 60 --read-percent 30 --blocks 4")
    chance = Storm(rig, rig.seed)
    for number in range(1, count + 1):
        name, act, undo = chance.fault()
        rig.say(f"fault {number} of {count}: {name}")
        act()
        # With the fault there every volume goes on; one whose host lost two controllers soon after each other waits 20 s.
        witness.progress(witnesses, chance.random.choice([1, 10, 60]), 40)
        undo()
        rig.wait("all nodes are online", 40, rig.missing_nodes)
        witness.progress(witnesses, 5, 60)
        rig.await_healthy(90)
    rig.say(f"{count} faults, seed {rig.seed}")
    finish(rig, witnesses, stall_limit_ms=30000)


@scenario("random", SHAPE)
def random_faults(rig):
    """Random faults in a row: nothing lost, nothing hangs, every volume healthy, copies alike."""
    storm(rig, rig.fault_count)


@scenario("cuts", SHAPE)
def cuts(rig):
    """Links between controllers are cut, one after the other: nothing is lost, and each time the volume goes on without it."""
    witnesses = serve(rig, VOLUMES, "--threads 2 --rate 60 --read-percent 30 --blocks 4")
    chance = random.Random(rig.seed)
    for number in range(1, rig.fault_count + 1):
        holders = [slot["holder"] for slot in rig.status("mesh")["volume"]["slots"]]
        one, other = chance.sample(holders, 2)
        rig.say(f"{number}: {one} cut from {other}")
        rig.cut(one, other)
        witness.progress(witnesses, 30, 60)
        rig.heal(one)
        rig.wait("all nodes are online", 40, rig.missing_nodes)
        witness.progress(witnesses, 5, 60)
        rig.await_healthy(90)
    finish(rig, witnesses, stall_limit_ms=30000)
