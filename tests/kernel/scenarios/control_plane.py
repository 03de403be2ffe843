# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane fails, alone or in the middle of a failover."""
import os

import witness
from rig import Shape
from scenario import SHAPE, await_moved, await_phase, busiest, finish, hold, many, must, scenario, serve

SINGLE = {"controllers": 1, "standbys": 1}
PHASES = ("fencing", "assembling", "exporting")


@scenario("majority_lost")
def majority_lost(rig):
    """Two of three servers are gone for a minute: every volume goes on serving, and nothing has moved afterwards."""
    witnesses = serve(rig, many(4, **SINGLE))
    before = {one.volume: rig.status(one.volume)["volume"]["slots"] for one in witnesses}
    rig.server_kill("cp1")
    rig.server_kill("cp2")
    hold(rig, witnesses, 60)
    rig.server_start("cp1")
    rig.server_start("cp2")
    rig.await_leader(30)
    rig.wait("all nodes are online", 30, rig.missing_nodes)
    hold(rig, witnesses, 4)
    after = {one.volume: rig.status(one.volume)["volume"]["slots"] for one in witnesses}
    must(before == after, f"slots moved: {before} {after}")
    finish(rig, witnesses, stall_limit_ms=2000)


def leader_lost(rig, fault, repair):
    """A controller dies; in each phase of its failover the leader is lost as well."""
    witnesses = serve(rig, many(3, **SINGLE))
    seen = []
    for phase in PHASES:
        victim, keys = busiest(rig, [one.volume for one in witnesses])
        epoch = rig.status(keys[0][0])["volume"]["slots"][keys[0][1]]["epoch"]
        leader = rig.await_leader()
        rig.kill(victim)
        seen.append(await_phase(rig, keys[0], (phase,), epoch))
        fault(leader)
        await_moved(rig, keys, victim, 40)
        witness.progress(witnesses, 10)
        repair(leader)
        rig.boot(victim)
        rig.await_healthy(60)
    rig.say(f"phases in which the leader was lost: {' '.join(seen)}")
    finish(rig, witnesses, stall_limit_ms=20000)


@scenario("leader_killed")
def leader_killed(rig):
    """The leader dies in each phase of a failover; the next one goes on."""
    leader_lost(rig, rig.server_kill, rig.server_start)


@scenario("leader_paused")
def leader_paused(rig):
    """The leader stops in each phase, another one finishes the failover; when it goes on it changes nothing."""
    leader_lost(rig, rig.freeze, rig.thaw)


@scenario("leader_cut")
def leader_cut(rig):
    """The leader is cut off from everything in each phase."""
    leader_lost(rig, rig.cut, rig.heal)


@scenario("leader_changes_alone")
def leader_changes_alone(rig):
    """The leader dies and nothing else: no slot moves, no request waits long."""
    witnesses = serve(rig, many(4, **SINGLE))
    before = {one.volume: rig.status(one.volume)["volume"]["slots"] for one in witnesses}
    leader = rig.await_leader()
    rig.server_kill(leader)
    rig.await_leader(20, other_than=leader)
    hold(rig, witnesses, 6)
    rig.server_start(leader)
    hold(rig, witnesses, 3)
    after = {one.volume: rig.status(one.volume)["volume"]["slots"] for one in witnesses}
    must(before == after, f"slots moved: {before} {after}")
    finish(rig, witnesses, stall_limit_ms=2000)


# ---- servers that are lost for good ----

def lost_shape():
    return Shape(dn=SHAPE.dn, cn=SHAPE.cn, host=SHAPE.host, racks=SHAPE.racks, alone=True)


MIXED = {"one": {"controllers": 1, "standbys": 1}, "two": {"controllers": 2, "standbys": 1}}


def await_held(rig, volumes):
    """All nodes are back with the one server that is left, and no volume is served."""
    rig.wait("all nodes are online", 40, rig.missing_nodes)
    for volume in volumes:
        record = rig.status(volume)["volume"]
        must("hold" in record, f"{volume} is not held")
        must(all(slot["phase"] == "fencing" for slot in record["slots"]), f"{volume} is served: {record['slots']}")


def release(rig, witnesses):
    """Each volume, by its operator; its host goes on where it was."""
    before = witness.totals(witnesses)
    for volume in sorted(one.volume for one in witnesses):
        rig.wait(f"{volume} is released", 60, lambda: None if rig.try_cli("volume", "release", volume, "--yes") else "it is refused")
    witness.progress(witnesses, 50, 120)
    must(all(after > count for after, count in zip(witness.totals(witnesses), before)), "a host did not go on")


@scenario("recovered", lost_shape())
def recovered(rig):
    """Two of three servers are lost for good, in the middle of writes. The third one goes on alone: until a volume is released its
    hosts wait; nothing is lost."""
    witnesses = serve(rig, MIXED)
    rig.server_lose("cp2")
    rig.server_lose("cp3")
    hold(rig, witnesses, 3)
    rig.server_kill("cp1")
    rig.server_once("cp1", "--recover", "--lost", "s2,s3", "--yes")
    rig.server_start("cp1")
    rig.await_leader()
    await_held(rig, MIXED)
    release(rig, witnesses)
    rig.say(rig.cli("cluster", "check").strip())
    finish(rig, witnesses, stall_limit_ms=120000)


@scenario("restored", lost_shape())
def restored(rig):
    """All servers are lost for good, with one volume that the backup does not know. A new one goes on with the backup: what it
    knows is released, and loses nothing; disks are released last."""
    witnesses = serve(rig, MIXED)
    backup = os.path.join(rig.state, "backup")
    rig.cli("cluster", "backup", backup)
    rig.create("later")
    hold(rig, witnesses, 3)
    for cp in rig.cps:
        rig.server_lose(cp)
    rig.server_once("cp1", "--restore", backup, "--yes", numbered=False)
    rig.server_start("cp1", numbered=False)
    rig.await_leader()
    must(sorted(rig.volumes()) == sorted(MIXED), f"volumes: {rig.volumes()}")
    await_held(rig, MIXED)
    release(rig, witnesses)
    disks = sorted(rig.disk_nodes())
    rig.cli("disk", "release", *disks, "--yes")
    rig.say(rig.cli("cluster", "check").strip())
    # There is room again: a copy that is lost now is made anew on what was released.
    victim, keys = busiest(rig, list(MIXED))
    rig.kill(victim)
    await_moved(rig, keys, victim)
    rig.boot(victim)
    finish(rig, witnesses, stall_limit_ms=120000)
