# SPDX-License-Identifier: GPL-2.0-or-later
"""Old owners that live on: cut off, stuck, or pushing while a Disk Node begins anew."""
import collections

import witness
from rig import Failure
from scenario import await_moved, await_phase, busiest, disk_nodes, finish, hold, last, many, must, scenario, serve

SINGLE = {"controllers": 1, "standbys": 1, "copies": 2}
HALF = 16 << 20 >> 12  # blocks in one half of a volume of 32 MiB
CLOCKS_MS = 5  # within what the distance of two guests' clocks must be known, or their journals cannot be compared


def clocks_apart(rig, one, two, before=None):
    """Between which two values (ns) the clock of one guest minus that of another is; with what was found before, in all."""
    low, high = rig.clocks_apart(one, two)
    if before is not None:
        low, high = min(low, before[0]), max(high, before[1])
    rig.say(f"the clock of {one} is {low / 1e6:.2f} to {high / 1e6:.2f} ms ahead of that of {two}")
    must(high - low <= CLOCKS_MS * 1000000, f"the clocks of {one} and {two} cannot be compared: {low} to {high} ns apart")
    return low, high


def stale_reads(writer, reader, ahead_ns):
    """Reads of one journal that were older than what the other one says was acknowledged before they began, with when that was
    on the reader's clock, at the latest. The writer's clock is `ahead_ns` ahead of the reader's, or more."""
    done = collections.defaultdict(list)
    for kind, count, _, block, sequence, when in writer:
        if kind == witness.DONE:
            for i in range(count):
                done[block + i].append((when - ahead_ns, sequence + i))
    wrong, compared = [], 0
    for kind, _, error, block, sequence, when in reader:
        if kind != witness.READ or error:
            continue
        known = [one for one in done[block] if one[0] < when]
        compared += bool(known)
        if known and sequence < known[-1][1]:
            wrong.append((block, sequence, known[-1][1], known[-1][0], when))
    return wrong, compared


@scenario("cut_from_control_plane")
def cut_from_control_plane(rig):
    """The old controller is cut off from the servers only. Hosts still reach it, and so does one Disk Node, which is cut off
    from the servers too; the other one is fenced. From the fence on it acknowledges no write, and once the new owner has
    acknowledged one, it serves no read that is older."""
    writers = serve(rig, {"vol": SINGLE}, f"--region 0:{HALF} --read-percent 30 --threads 2")
    volume = "vol"
    ahead = clocks_apart(rig, "host1", "host2")
    victim, keys = busiest(rig, [volume])
    # A second host that knows no other path than the old one.
    rig.attach([volume], "host2")
    device = rig.connect([volume], "host2", watch=False)[volume]
    rig.only_path(device, victim, "host2")
    reader = witness.Witness(rig, volume, device, "host2", verb="watch", tag="-reads",
                             options=f"--region 0:{HALF} --threads 2 --grace 1")
    late = witness.Witness(rig, volume, device, "host2", tag="-writes",
                           options=f"--region {HALF}:{HALF} --read-percent 0 --threads 2 --grace 1")
    reader.pid = rig.sh("host2", reader.script()).strip()
    witness.start([late])
    witness.progress(writers, 20)
    epoch = rig.status(volume)["volume"]["slots"][0]["epoch"]
    reached, fenced = disk_nodes(rig, volume)[:2]
    rig.say(f"the old owner is {victim}; {reached} stays with it, {fenced} will be fenced")
    rig.each(lambda node: rig.cut(node, *rig.cps), [victim, reached])
    await_phase(rig, keys[0], ("assembling", "exporting"), epoch)
    fence_ns = int(rig.sh("host2", "date +%s%N"))
    await_moved(rig, keys, victim)
    hold(rig, writers, 5)
    acknowledged = [record for record in late.records() if record[0] == witness.DONE and record[5] > fence_ns]
    must(not acknowledged, f"the old owner acknowledged {len(acknowledged)} writes after the fence")
    ahead = clocks_apart(rig, "host1", "host2", ahead)
    wrong, compared = stale_reads(writers[0].records(), reader.records(), ahead[0])
    must(compared > 50, f"only {compared} reads through the old owner could be compared")
    must(not wrong, f"{len(wrong)} stale reads through the old owner: " + "; ".join(
        f"block {block}: {found} instead of {known}, {(when - done) / 1e6:.2f} ms after its acknowledgement, "
        f"at {when / 1e9 - rig.begin:.2f}s" for block, found, known, done, when in wrong[:10]))
    rig.say(f"{compared} reads through the old owner compared, none stale; no write acknowledged after the fence")
    rig.heal(victim)
    rig.heal(reached)
    # Its requests still wait; with the new paths they are answered.
    rig.connect([volume], "host2")
    witness.progress([late], 5)
    results = witness.stop([late])
    must(not results[0]["errors"], f"host2 saw errors: {results[0]}")
    must(not witness.lost([late]), "host2 lost writes")
    finish(rig, writers, stall_limit_ms=20000)


@scenario("cut_from_everything")
def cut_from_everything(rig):
    """The old controller is cut off from all and comes back: it finds itself fenced."""
    witnesses = serve(rig, many(2, **SINGLE), "--threads 4")
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    rig.cut(victim)
    await_moved(rig, keys, victim)
    hold(rig, witnesses, 5)
    rig.heal(victim)
    hold(rig, witnesses, 5)
    finish(rig, witnesses)


@scenario("disk_node_reboots_in_fence")
def disk_node_reboots_in_fence(rig):
    """A Disk Node loses power in the middle of a fence."""
    witnesses = serve(rig, many(1, **SINGLE))
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    epoch = rig.status(keys[0][0])["volume"]["slots"][0]["epoch"]
    node = disk_nodes(rig, keys[0][0])[0]
    rig.kill(victim)
    rig.say(f"seen: {await_phase(rig, keys[0], ('fencing',), epoch)}")
    rig.kill(node)
    rig.boot(node)
    await_moved(rig, keys, victim)
    witness.progress(witnesses, 20)
    rig.boot(victim)
    finish(rig, witnesses, stall_limit_ms=15000)


@scenario("disk_node_reboots_under_old_holder")
def disk_node_reboots_under_old_holder(rig):
    """The old holder lives, cut off from the servers, and pushes; both Disk Nodes begin anew, one after the other. Neither
    lets it in again."""
    witnesses = serve(rig, many(1, **SINGLE), "--threads 4")
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    nodes = disk_nodes(rig, keys[0][0])
    rig.cut(victim, *rig.cps)
    await_moved(rig, keys, victim)
    for node in nodes:
        rig.kill(node)
        rig.boot(node)
        rig.wait("all nodes but the old holder are online", 40,
                 lambda: rig.missing_nodes([one for one in rig.nodes if one != victim]))
        rig.await_healthy(60, leaving=False, standbys=False)
        hold(rig, witnesses, 2)
    rig.heal(victim)
    hold(rig, witnesses, 3)
    finish(rig, witnesses, stall_limit_ms=15000)


@scenario("stale_write")
def stale_write(rig):
    """A controller accepted writes that are stuck on their way to a leg of another controller. The host writes the same
    blocks through that one. Whatever becomes of the stuck writes, the newer data stays."""
    rig.create("vol", controllers=2, standbys=1)
    rig.attach(["vol"])
    device = rig.connect(["vol"])["vol"]
    # Chunks of 64 KiB lie on the legs in turn: the second one is on the leg of the second slot.
    witnesses = witness.start([witness.Witness(rig, "vol", device, options="--region 16:16 --threads 8 --read-percent 20")])
    witness.progress(witnesses, 50)
    for _ in range(3):
        # They begin anew each time, and one of them at another node.
        first, second = (slot["holder"] for slot in rig.status("vol")["volume"]["slots"])
        rig.cut(first, second)
        last(rig, 0.3)
        rig.cut(first, "host1")
        witness.progress(witnesses, 20, 60)
        rig.heal(first)
        witness.progress(witnesses, 20, 60)
        rig.await_healthy(60)
    finish(rig, witnesses, stall_limit_ms=60000)


@scenario("gate_shut")
def gate_shut(rig):
    """The gate of a controller is shut for a moment, as by a lease that ran out, and nobody called its node offline. It stays
    shut until the slot has begun anew, with nothing left of what waited there for the leg of another controller."""
    rig.create("vol", controllers=2, standbys=1)
    rig.attach(["vol"])
    device = rig.connect(["vol"])["vol"]
    witnesses = witness.start([witness.Witness(rig, "vol", device, options="--region 16:16 --threads 8 --read-percent 20")])
    witness.progress(witnesses, 50)
    for _ in range(3):
        slot = rig.status("vol")["volume"]["slots"][0]
        rig.sh(slot["holder"], "nft 'flush set inet dnvme held; flush set inet dnvme lease; flush set inet dnvme lease_other'")
        await_phase(rig, ("vol", 0), ("fencing", "assembling", "exporting", "serving"), slot["epoch"])
        began = rig.status("vol")["volume"]["slots"][0]
        must(began["holder"] == slot["holder"] and began["reason"] == "restart", f"the slot did not begin anew: {began}")
        witness.progress(witnesses, 20, 60)
        rig.await_healthy(60)
    finish(rig, witnesses, stall_limit_ms=20000)


@scenario("detach_under_writes")
def detach_under_writes(rig):
    """A host is detached while it writes and another one is attached: nothing of the first reaches the medium afterwards."""
    old = serve(rig, {"vol": SINGLE}, "--threads 4 --read-percent 0 --grace 1", tag="-old")
    rig.cli("volume", "detach", "vol", rig.host_nqn("host1"))
    detached_ns = int(rig.sh("host1", "date +%s%N"))
    rig.say("host1 is detached")
    rig.attach(["vol"], "host2")
    device = rig.connect(["vol"], "host2")["vol"]
    new = witness.start([witness.Witness(rig, "vol", device, "host2", options="--threads 4 --fresh --read-percent 30")])
    rig.wait("host2 has written every block", 90, lambda: None if rig.sh("host2", f"cat {new[0].base}.out").strip()
             else "it still writes", every=0.5)
    wrong = witness.lost(new)
    must(not wrong, f"host2 lost: {wrong}")
    late = [record for record in old[0].records() if record[0] == witness.DONE and record[5] > detached_ns]
    must(not late, f"host1 had {len(late)} writes acknowledged after it was detached")
    result = new[0].rig.sh("host2", f"cat {new[0].base}.out")
    if '"errors": 0' not in result or '"foreign": 0' not in result:
        raise Failure(f"host2: {result}")
    new[0].pid = None
    rig.await_healthy(30)
    witness.members_must_agree(rig, ["vol"])
