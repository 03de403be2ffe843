# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk Nodes that die, come back, or return errors."""
import json
import random
import time

import witness
from rig import Failure
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


def disk_written(rig, volume, node):
    """How many bytes were ever written to the disk of a Disk Node."""
    path = next(disk["path"] for disk in rig.status(volume)["disks"] if disk["node"] == node)
    return int(rig.sh(node, f"cat /sys/block/{path.rsplit('/', 1)[-1]}/stat").split()[6]) << 9


def await_copied(rig, witnesses, node, before, what):
    """Until its member is in sync again, and equal: the part of the volume that was written to its disk for it."""
    volume = witnesses[0].volume
    took = rig.await_healthy(120, [volume])
    part = round((disk_written(rig, volume, node) - before) / LARGE * 100, 1)
    rig.say(f"{what}: in sync after {took:.1f} s, {part} % of its size was written to the disk of {node}")
    results = witness.stop(witnesses)
    must(not any(result["errors"] or result["stale"] for result in results), f"the witness says {results}")
    witness.members_must_agree(rig, [volume])
    witness.start(witnesses)
    return part


LARGE = 512 << 20


@scenario("resync_by_bitmap")
def resync_by_bitmap(rig):
    """A Disk Node is cut off, and back: what was written meanwhile is copied to it and no more, even when it is cut off again
    in the middle of that. When it loses power it may have forgotten what its cache held, and all of it is copied."""
    witnesses = serve(rig, many(1, size="512MiB", **MIRRORED), "--read-percent 30 --threads 2 --rate 100 --region 0:8192")
    volume = witnesses[0].volume
    victim = rig.members(volume)[1][4]

    def cut_off():
        rig.cut(victim)
        await_not_in_sync(rig, [volume], [victim])
        hold(rig, witnesses, 5)
        before = disk_written(rig, volume, victim)
        rig.heal(victim)
        return before
    part = await_copied(rig, witnesses, victim, cut_off(), "cut off")
    rig.goal("written for a member that was cut off", part, "%", 15)
    must(part < 25, f"{part} % was written for a member that was cut off")
    rig.cli("cluster", "set", "--rebuild-rate", "1MiB")
    try:
        before = cut_off()
        holder = rig.holder(volume)
        rig.wait("the group copies to it", 30, lambda: None if " recover " in rig.sh(
            holder, "dmsetup status --noflush --target raid") else "it does not")
        rig.cut(victim)
        rig.wait(f"the member on {victim} is stale", 20, lambda: ", ".join(
            f"{ld['id']} is {state}" for _, _, ld, state, node in rig.members(volume)
            if node == victim and state != "stale"))
        hold(rig, witnesses, 3)
    finally:
        rig.cli("cluster", "set", "--rebuild-rate", "none")
    lost = next(ld for _, _, ld, _, node in rig.members(volume) if node == victim)
    must(not lost.get("whole") and lost.get("resync"), f"it was not cut off in the middle: {lost}")
    rig.heal(victim)
    part = await_copied(rig, witnesses, victim, before, "cut off twice")
    must(part < 40, f"{part} % was written for a member that was cut off twice")
    rig.kill(victim)
    await_not_in_sync(rig, [volume], [victim])
    hold(rig, witnesses, 3)
    rig.boot(victim)
    part = await_copied(rig, witnesses, victim, 0, "power cut")
    must(part > 90, f"only {part} % was written for a member whose cache was lost")
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


@scenario("medium_error_unreported")
def medium_error_unreported(rig):
    """The same, but nobody hears of the error: most servers are gone when the disk fails, and before they are back the
    holder and the node of the good copy lose power. Raft calls the bad member in sync, its disk is there and fenced: the
    volume waits all the same, and says for what. The disks of this rack have volatile caches, so that the good copy is not sure
    to have everything when it is back: none is taken but by force, and then that one. (It has everything here: what a
    virtual disk holds survives its machine.)"""
    witnesses = serve(rig, many(1, **MIRRORED))
    volume = witnesses[0].volume
    (_, _, bad, _, bad_node), (_, _, good, _, good_node) = rig.members(volume)
    path = next(disk["path"] for disk in rig.status(volume)["disks"] if disk["node"] == bad_node)
    holder, _ = busiest(rig, [volume])
    epoch = rig.status(volume)["volume"]["slots"][0]["epoch"]
    for cp in rig.cps[1:]:
        rig.server_kill(cp)
    # One that still believes that it leads could write down what it is told, and have it committed later.
    rig.wait("nobody leads", 30, lambda: rig.ask_or_none("cluster", "status", "--timeout", "1s"))
    fail_requests(rig, bad_node, path, 5)
    rig.wait("the group dropped the bad member", 20, lambda: None if dropped(rig, holder) else "it did not")
    fail_no_more(rig, bad_node, path)
    rig.say(f"{holder} goes on without {bad['id']}")
    witness.progress(witnesses, 20)
    rig.kill(good_node, holder)
    # What an agent forgets, its kernel remembers.
    rig.agent_kill(bad_node)
    for cp in rig.cps[1:]:
        rig.server_start(cp)
    rig.agent_start(bad_node)
    rig.await_leader()
    states = {ld["id"]: state for _, _, ld, state, _ in rig.members(volume)}
    must(states == {bad["id"]: "in-sync", good["id"]: "in-sync"}, f"the error was told: {states}")
    rig.wait("the volume says what it waits for", 20, lambda: waits_without(rig, volume, bad["id"], good["id"], good_node))
    last(rig, 12)
    status = rig.status(volume)
    slot = status["volume"]["slots"][0]
    must(slot["epoch"] > epoch and slot["phase"] == "fencing", f"the slot is {slot['phase']} in epoch {slot['epoch']}")
    missing = waits_without(rig, volume, bad["id"], good["id"], good_node)
    must(missing is None, missing)
    rig.boot(good_node, holder)

    def forced():
        """By a plan; while the node of the good copy is not heard of, that is the other one. Until that copy is fenced it is
        not known what it is worth, and a plan is of one revision: each change of the volume has both again."""
        plan = rig.ask_or_none("volume", "force", volume) or {"groups": []}
        takes = [member["ld"] for group in plan["groups"] for member in group["members"] if member.get("taken")]
        if takes != [good["id"]]:
            return f"the plan takes {takes}"
        states = {ld["id"]: state for _, _, ld, state, _ in rig.members(volume)}
        must(states == {bad["id"]: "in-sync", good["id"]: "in-sync"}, f"one of them was taken unasked: {states}")
        try:
            rig.cli("volume", "force", volume, "--slot", "0", "--revision", str(plan["revision"]), "--yes-i-may-lose-data",
                    timeout=150)
        except Failure as failure:
            return str(failure)
        rig.say(f"done with this plan: {json.dumps(plan)}")
        return None
    rig.wait(f"{good['id']} is taken by force", 60, forced)
    rig.wait(f"{bad['id']} is given up", 30, lambda: None if all(
        ld["state"] != "in-sync" or ld["id"] != bad["id"] or ld.get("stale_reason")
        for _, _, ld, _, _ in rig.members(volume)) else "it is not")
    witness.progress(witnesses, 20, 60)
    finish(rig, witnesses, stall_limit_ms=90000)


def fail_a_read(rig, volume, device, bad, node, host="host1"):
    """One request to read from a member fails, and no other: it fails no write, as there are none."""
    path = next(disk["path"] for disk in rig.status(volume)["disks"] if disk["node"] == node)
    seen = [None, 0]

    def quiet():
        written = disk_written(rig, volume, node)
        if written != seen[0]:
            seen[:] = [written, time.monotonic()]
        return None if time.monotonic() - seen[1] > 12 else "something is"
    rig.wait(f"nothing is written to {path} of {node}", 90, quiet, every=1)
    fail_requests(rig, node, path, 1)
    rig.wait(f"{bad} failed a read", 60, lambda: None if rig.sh(
        node, "cat /sys/kernel/debug/fail_make_request/times").strip() == "0" else rig.sh(
        host, f"for at in $(seq {random.randrange(256)} 256 8191); do dd if={device} of=/dev/null bs=4096 count=1 "
              "iflag=direct skip=$at 2>/dev/null & done; wait") or "not yet")
    fail_no_more(rig, node, path)


@scenario("medium_error_repaired")
def medium_error_repaired(rig):
    """A disk fails a read, and its group repairs the block from the other copy. Later the node of that copy and the holder
    lose power: the volume goes on with the member that failed the read, as it missed nothing."""
    witnesses = serve(rig, many(1, **MIRRORED))
    volume = witnesses[0].volume
    (_, _, bad, _, bad_node), (_, _, _, _, good_node) = rig.members(volume)
    holder, keys = busiest(rig, [volume])
    must(not any(result["errors"] for result in witness.stop(witnesses)), "the witness saw errors")
    fail_a_read(rig, volume, witnesses[0].device, bad["id"], bad_node)

    def excused():
        ld = next(ld for _, _, ld, _, _ in rig.members(volume) if ld["id"] == bad["id"])
        return None if ld["state"] == "in-sync" and "failed_reads" in ld and not ld.get("drain") else f"it is {ld}"
    took = rig.wait(f"what {bad['id']} failed to read is repaired", 30, excused)
    rig.say(f"that is known {took:.1f} s later")
    must(not dropped(rig, holder), "the group dropped a member")
    witness.start(witnesses)
    witness.progress(witnesses, 20)
    rig.kill(good_node, holder)
    await_moved(rig, keys, holder)
    witness.progress(witnesses, 20, 30)
    states = {ld["id"]: ld["state"] for _, _, ld, _, _ in rig.members(volume)}
    must(states[bad["id"]] == "in-sync", f"the members are {states}")
    rig.boot(good_node, holder)
    # The node of the good copy is waited for until its time is over, and the old holder's gate as long as that is not fenced.
    finish(rig, witnesses, stall_limit_ms=15000)


def dropped(rig, holder):
    """Whether a group of the holder failed a member."""
    return any(word.strip("AaD") == "" and "D" in word for line in
               rig.sh(holder, "dmsetup status --noflush --target raid").splitlines() for word in line.split()[3:])


def waits_without(rig, volume, bad, good, good_node):
    """What is missing in the sentence that says what the volume waits for; None: nothing."""
    said = rig.status(volume).get("waits_for") or "nothing"
    words = (bad, "returned I/O errors", good, good_node)
    return None if all(word in said for word in words) else f"it waits for: {said}"


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


def late_witness(rig, volume, device):
    """What it writes is on one copy alone. It is read by nobody: it may be lost."""
    late = [witness.Witness(rig, volume, device, options="--threads 2 --read-percent 0 --region 4096:4096", tag="-late")]
    witness.start(late)
    return late


def serve_by_force(rig, early, late, old, good, good_node):
    """The copy `good` is away, `old` missed what `late` wrote: the volume waits, says what is left, and is served from that."""
    volume = early[0].volume
    rig.wait("it says what is left", 60, lambda: None if "dnvme volume force" in rig.status(volume).get("waits_for", "")
             else rig.status(volume).get("waits_for", "nothing"))
    before = witness.totals(late)
    last(rig, 8)
    must(witness.totals(late) == before, "writes went on without a copy in sync")
    states = {ld["id"]: ld["state"] for _, _, ld, _, _ in rig.members(volume)}
    must(states == {old: "stale", good: "in-sync"}, f"nobody decided anything, and the members are {states}")
    text = rig.cli("volume", "force", volume)
    rig.say("the plan:\n" + text)
    must(f"> {old} " in text and "every write since" in text and good_node in text, "the plan does not say what is lost")
    plan = rig.ask("volume", "force", volume)
    rig.cli("volume", "force", volume, "--slot", "0", "--revision", str(plan["revision"]), "--yes-i-may-lose-data",
            "--powered-off", good_node, timeout=150)
    rig.say("served by force")
    forced = rig.status(volume)["volume"]["forced"][0]
    must([one["ld"] for one in forced["taken"]] == [old] and [one["ld"] for one in forced["given_up"]] == [good],
         f"what is remembered is {forced}")
    witness.progress(late, 20, 60)
    results = witness.stop(late)
    must(results[0]["errors"] == 0, f"writes failed: {results[0]}")
    late[0].abandon()
    rig.witnesses.remove(late[0])
    missing = witness.lost(early)
    must(not missing, f"what the old copy held is not there: {missing}")
    rig.boot(good_node)
    rig.await_healthy(90, [volume])
    witness.start(early)
    witness.progress(early, 20)
    finish(rig, early)


@scenario("force")
def force(rig):
    """The only copy in sync is gone for good, one that missed writes is there. The volume waits, and says so; served by force
    it has what the old copy holds, goes on, and the lost copy comes back by a rebuild."""
    early = serve(rig, many(1, **MIRRORED), "--threads 2 --region 0:4096")
    volume, device = early[0].volume, early[0].device
    (_, _, old, _, old_node), (_, _, good, _, good_node) = rig.members(volume)
    witness.stop(early)
    rig.kill(old_node)
    await_not_in_sync(rig, [volume], [old_node])
    late = late_witness(rig, volume, device)
    witness.progress(late, 50)
    rig.kill(good_node)
    rig.boot(old_node)
    serve_by_force(rig, early, late, old["id"], good["id"], good_node)


@scenario("force_failed")
def force_failed(rig):
    """The same with a copy that its group dropped because its disk returned an error."""
    early = serve(rig, many(1, **MIRRORED), "--threads 2 --region 0:4096")
    volume, device = early[0].volume, early[0].device
    (_, _, old, _, old_node), (_, _, good, _, good_node) = rig.members(volume)
    witness.stop(early)
    path = next(disk["path"] for disk in rig.status(volume)["disks"] if disk["node"] == old_node)
    late = late_witness(rig, volume, device)
    fail_requests(rig, old_node, path, 5)
    await_not_in_sync(rig, [volume], [old_node])
    # Before a rebuild of it begins, which would make it no copy at all.
    rig.kill(good_node)
    fail_no_more(rig, old_node, path)
    state = next(ld for _, _, ld, _, node in rig.members(volume) if node == old_node)
    must(state["stale_reason"] == "medium", f"it was given up for another reason: {state}")
    serve_by_force(rig, early, late, old["id"], good["id"], good_node)


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
