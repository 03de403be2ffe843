# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk Nodes that die, come back, or return errors."""
import witness
from scenario import await_moved, busiest, finish, hold, last, many, must, scenario, serve

MIRRORED = {"controllers": 1, "standbys": 1, "copies": 2}


def busiest_disk_node(rig, volumes):
    nodes = [node for name in volumes for *_, node in rig.members(name)]
    return max(set(nodes), key=nodes.count)


def await_not_in_sync(rig, volumes, nodes, seconds=20):
    """Until no member on these nodes counts as in sync."""
    rig.wait(f"the members on {' '.join(nodes)} do not count", seconds, lambda: ", ".join(
        f"{name} {ld['id']} is {state}" for name in volumes for _, _, ld, state, node in rig.members(name)
        if node in nodes and state == "in-sync"))


@scenario("power_cut_within")
def power_cut_within(rig):
    """A Disk Node is away for a while: writes go on without it, and it is rebuilt when it is back."""
    witnesses = serve(rig, many(4, **MIRRORED))
    volumes = [one.volume for one in witnesses]
    victim = busiest_disk_node(rig, volumes)
    rig.kill(victim)
    await_not_in_sync(rig, volumes, [victim])
    hold(rig, witnesses, 3)
    rig.boot(victim)
    finish(rig, witnesses)


@scenario("power_cut_after")
def power_cut_after(rig):
    """A Disk Node is away for longer than the waiting time: another disk takes its place; what it held is released."""
    rig.cli("cluster", "set", "--rebuild-after", "5s")
    try:
        witnesses = serve(rig, many(4, **MIRRORED))
        volumes = [one.volume for one in witnesses]
        victim = busiest_disk_node(rig, volumes)
        rig.kill(victim)
        took = rig.wait(f"nothing is placed on {victim}", 60, lambda: ", ".join(
            name for name in volumes if any(node == victim for *_, node in rig.members(name))))
        took += rig.await_healthy(90, leaving=False)
        rig.goal("redundant again after the loss of a Disk Node", round(took, 1), "s", 20)
        rig.boot(victim)
        finish(rig, witnesses)
        must(rig.ask("disk", "list")["disks"] and not any(
            disk["lds"] for disk in rig.ask("disk", "list")["disks"] if disk["node"] == victim), f"{victim} still has LDs")
    finally:
        rig.cli("cluster", "set", "--rebuild-after", "10m")


@scenario("rack_lost")
def rack_lost(rig):
    """Both Disk Nodes of a rack lose power; copies are spread over racks."""
    witnesses = serve(rig, many(4, spread="rack", **MIRRORED))
    volumes = [one.volume for one in witnesses]
    rig.kill("dn1", "dn2")
    await_not_in_sync(rig, volumes, ["dn1", "dn2"])
    hold(rig, witnesses, 3)
    rig.boot("dn1", "dn2")
    finish(rig, witnesses)


@scenario("frozen")
def frozen(rig):
    """A Disk Node stops for 10 s: what it did not acknowledge was not acknowledged to the host."""
    witnesses = serve(rig, many(2, **MIRRORED))
    volumes = [one.volume for one in witnesses]
    victim = busiest_disk_node(rig, volumes)
    rig.freeze(victim)
    await_not_in_sync(rig, volumes, [victim])
    hold(rig, witnesses, 5)
    rig.thaw(victim)
    finish(rig, witnesses)


@scenario("rebuild_interrupted")
def rebuild_interrupted(rig):
    """The holder dies while a member is being rebuilt: the rebuild begins again, and no half-copied member counts."""
    witnesses = serve(rig, many(1, size="256MiB", **MIRRORED), "--threads 4 --blocks 16")
    volume = witnesses[0].volume
    victim = busiest_disk_node(rig, [volume])
    rig.cli("cluster", "set", "--rebuild-rate", "4MiB")
    try:
        rig.kill(victim)
        await_not_in_sync(rig, [volume], [victim])
        rig.boot(victim)
        rig.wait("a rebuild is under way", 30, lambda: None if any(
            state == "rebuilding" for _, _, _, state, _ in rig.members(volume)) else "none is")
        holder, keys = busiest(rig, [volume])
        rig.kill(holder)
        await_moved(rig, keys, holder)
        must(not any(state == "in-sync" and node == victim for *_, state, node in rig.members(volume)),
             "the half-copied member counts as in sync")
    finally:
        rig.cli("cluster", "set", "--rebuild-rate", "none")
    rig.boot(holder)
    finish(rig, witnesses, healthy=120)


def fail_requests(rig, node, disk, times):
    """The disk returns errors, so many times."""
    rig.sh(node, f"cd /sys/kernel/debug/fail_make_request; echo 0 >verbose; echo 1 >interval; echo {times} >times; "
           f"echo 1 >/sys/block/{disk.rsplit('/', 1)[-1]}/make-it-fail; echo 100 >probability")
    rig.say(f"{disk} of {node} fails {times} requests")


def fail_no_more(rig, node, disk):
    rig.sh(node, "echo 0 >/sys/kernel/debug/fail_make_request/probability; "
           f"echo 0 >/sys/block/{disk.rsplit('/', 1)[-1]}/make-it-fail")


@scenario("medium_error_then_loss")
def medium_error_then_loss(rig):
    """A disk fails a write, so its member misses what follows; then the node of the good copy dies. The volume waits: it
    never goes back to the member that missed something."""
    witnesses = serve(rig, many(1, **MIRRORED))
    volume = witnesses[0].volume
    (_, _, bad, _, bad_node), (_, _, good, _, good_node) = rig.members(volume)
    path = next(disk["path"] for disk in rig.status(volume)["disks"] if disk["node"] == bad_node)
    fail_requests(rig, bad_node, path, 5)
    await_not_in_sync(rig, [volume], [bad_node])
    fail_no_more(rig, bad_node, path)
    states = {ld["id"]: (ld["state"], ld.get("stale_reason")) for _, _, ld, _, _ in rig.members(volume)}
    rig.say(f"members: {states}")
    witness.progress(witnesses, 20)
    holder, _ = busiest(rig, [volume])
    # Before a rebuild of the bad one could be complete, or after: both are right as long as nothing is lost.
    rig.kill(good_node, holder)
    last(rig, 12)
    rig.boot(good_node, holder)
    witness.progress(witnesses, 20, 60)
    finish(rig, witnesses, stall_limit_ms=60000)


@scenario("one_copy_lost")
def one_copy_lost(rig):
    """The only copy of one volume is away. The other volumes of its controller serve, and fail over."""
    single = serve(rig, {"single": {"copies": 1, "controllers": 1, "standbys": 1}}, "--threads 1 --grace 2")
    node = rig.members("single")[0][4]
    others = serve(rig, many(3, **MIRRORED))
    names = [one.volume for one in others]
    rig.kill(node)
    await_not_in_sync(rig, names, [node])
    hold(rig, others, 5)
    holder, keys = busiest(rig, names)
    rig.kill(holder)
    await_moved(rig, keys, holder)
    hold(rig, others, 3)
    rig.boot(node, holder)
    witness.progress(single, 5, 60)
    finish(rig, others + single, stall_limit_ms=60000)


@scenario("all_copies_back")
def all_copies_back(rig):
    """Both copies are away at once: everything waits, and goes on without an error when they are back."""
    witnesses = serve(rig, many(1, **MIRRORED))
    nodes = [node for *_, node in rig.members(witnesses[0].volume)]
    rig.kill(*nodes)
    last(rig, 8)
    rig.boot(*nodes)
    witness.progress(witnesses, 20, 60)
    finish(rig, witnesses, stall_limit_ms=60000)


@scenario("all_copies_back_8")
def all_copies_back_8(rig):
    """Every Disk Node is away and comes back with many exports, made one after the other: no path that asks for one before it
    is there is given up (Linux from 6.10 on)."""
    witnesses = serve(rig, many(8, **MIRRORED), "--threads 1 --rate 40")
    rig.kill(*rig.dns)
    last(rig, 4)
    rig.boot(*rig.dns)
    witness.progress(witnesses, 20, 60)
    finish(rig, witnesses, stall_limit_ms=60000)
