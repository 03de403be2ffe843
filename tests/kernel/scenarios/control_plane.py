# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane fails, alone or in the middle of a failover."""
import witness
from scenario import await_moved, await_phase, busiest, finish, hold, many, must, scenario, serve

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
