# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs that somebody asks for while hosts write: volumes that grow, and snapshots."""
import collections
import hashlib
import os
import struct
import time

import witness
from rig import Failure, Shape, address
from scenario import SHAPE, await_moved, busiest, finish, hold, many, must, scenario, serve

MIB = 1 << 20
BLOCKS = MIB // 4096
OLD, NEW = 32, 96
PHASES = ("exporting", "formatting", "joining", "resizing", "over")
CAPABLE = Shape(dn=SHAPE.dn, cn=SHAPE.cn, host=SHAPE.host, racks=SHAPE.racks, writethrough=True)
STRIPED = {"size": f"{OLD}MiB", "controllers": 2, "standbys": 1}


def begin(rig, shape, options="--threads 2 --rate 200"):
    """A volume whose first MiB a witness writes."""
    return serve(rig, many(1, **shape), f"--region 0:{OLD * BLOCKS} {options}")


def beyond(rig, first, start, end):
    """A witness behind that: nobody wrote there before."""
    more = witness.Witness(rig, first.volume, first.device, first.host,
                           options=f"--region {start * BLOCKS}:{(end - start) * BLOCKS} --threads 2 --rate 200",
                           tag=f"-{start}")
    witness.start([more])
    return more


def host_sees(rig, first, mib):
    def look():
        size = int(rig.sh(first.host, f"blockdev --getsize64 {first.device}"))
        return None if size == mib * MIB else f"it has {size} bytes"
    rig.wait(f"the host sees {mib} MiB", 10, look)


def job(rig, name):
    return rig.ask_or_none("job", "get", name)


def await_job(rig, name, state, seconds=60):
    def look():
        found = job(rig, name)
        if found is None:
            return "no answer"
        now = found["operation"]["state"]
        if now != state and now in ("done", "cancelled", "failed"):
            raise Failure(f"job {name} is {now}: {found['operation'].get('error')}")
        return None if now == state else f"{found['phase']}: {found.get('waits_for')}"
    rig.wait(f"job {name} is {state}", seconds, look)


def extend(rig, volume, mib, *words):
    return rig.ask("volume", "extend", volume, "--size", f"{mib}MiB", "--no-wait", *words)["id"]


def free(rig):
    return {disk["id"]: disk.get("extents_free", 0) for disk in rig.ask("disk", "list")["disks"]}


def grow(rig, shape):
    witnesses = begin(rig, shape)
    volume = witnesses[0].volume
    rig.cli("volume", "extend", volume, "--size", f"{NEW}MiB", "--timeout", "100s", timeout=120)
    rig.say(f"{volume} has {NEW} MiB")
    host_sees(rig, witnesses[0], NEW)
    witnesses.append(beyond(rig, witnesses[0], OLD, NEW))
    witness.progress(witnesses, 50)
    victim, keys = busiest(rig, [volume])
    rig.kill(victim)
    await_moved(rig, keys, victim)
    host_sees(rig, witnesses[0], NEW)
    witness.progress(witnesses, 50)
    rig.boot(victim)
    finish(rig, witnesses)


@scenario("extend")
def extend_thick(rig):
    """A thick volume with two controllers grows under writes: its host sees it, writes to what is new, and loses nothing of that
    when a controller dies afterwards."""
    grow(rig, STRIPED)


@scenario("extend_strict", CAPABLE)
def extend_strict(rig):
    """The same with one controller, three copies, and thin blocks whose writes are forced."""
    grow(rig, dict(STRIPED, controllers=1, provision="thin", durability="strict", copies=3))


@scenario("extend_failover")
def extend_failover(rig):
    """Its holder loses power in each phase: another one goes on, and the job is done."""
    witnesses = begin(rig, {"size": f"{OLD}MiB", "controllers": 2, "standbys": 1})
    volume, mib = witnesses[0].volume, OLD
    for phase in PHASES[:4]:
        victim, keys = busiest(rig, [volume])
        name = extend(rig, volume, mib + 32)

        def look():
            found = job(rig, name)
            if found is None:
                return "no answer"
            now = found["operation"]["phase"]
            return None if PHASES.index(now) >= PHASES.index(phase) else now
        rig.wait(f"job {name} is {phase}", 60, look, every=0.01)
        rig.kill(victim)
        await_moved(rig, keys, victim)
        await_job(rig, name, "done")
        host_sees(rig, witnesses[0], mib + 32)
        witnesses.append(beyond(rig, witnesses[0], mib, mib + 32))
        mib += 32
        witness.progress(witnesses, 20)
        rig.boot(victim)
        rig.await_healthy(60, [volume])
    finish(rig, witnesses)


@scenario("extend_cancelled")
def extend_cancelled(rig):
    """Cancelled while a Disk Node is away, and failed by its deadline: nothing of it is left over anywhere."""
    witnesses = begin(rig, STRIPED)
    volume, before = witnesses[0].volume, free(rig)
    for words, state in (((), "cancelled"), (("--deadline", "2s"), "failed")):
        # The disk with the most room takes part: its agent stands still before it made anything. One that is gone would not
        # be asked.
        node = rig.disk_nodes()[max(before, key=before.get)]
        rig.agent_stop(node)
        name = extend(rig, volume, NEW, *words)
        if state == "cancelled":
            rig.cli("job", "cancel", name, "--no-wait")
        else:  # not earlier: the job might be done before its deadline
            await_job(rig, name, "failing")
        rig.agent_continue(node)
        await_job(rig, name, state)
        must(free(rig) == before, f"extents are missing: {before} and {free(rig)}")
        for other in rig.nodes:
            left = [line for line in rig.leftovers(other) if ".g1" in line]
            must(not left, f"{other} has {left}")
        witness.progress(witnesses, 20)
    finish(rig, witnesses)


# ---- disks that are emptied ----

def await_empty(rig, disk):
    def look():
        found = rig.ask_or_none("disk", "get", disk)
        if found is None:
            return "no answer"
        return f"{found['lds']} LDs are left: {rig.ask_or_none('job', 'list')}" if found.get("lds") else None
    rig.wait(f"disk {disk} is empty", 180, look, every=0.5)


@scenario("disk_drain")
def disk_drain(rig):
    """Disks of a volume with two controllers are emptied under writes; the first one is removed, and a holder loses power in the
    middle of the second: nothing is lost, and never are there fewer copies than two."""
    witnesses = begin(rig, STRIPED)
    volume = witnesses[0].volume
    members = rig.members(volume)
    first = members[0][2]["disk"]
    node = rig.disk_nodes()[first]
    plan = rig.ask("disk", "drain", first, "--dry-run")
    must(plan["count"] == sum(ld["disk"] == first for _, _, ld, _, _ in members), f"the plan names {plan}")
    rig.cli("disk", "drain", first, "--timeout", "180s", timeout=200)
    rig.say(f"disk {first} is empty")
    witness.progress(witnesses, 50)
    rig.await_healthy(60, [volume])
    rig.cli("disk", "remove", first)
    second = next(ld["disk"] for _, _, ld, _, _ in rig.members(volume) if ld["disk"] != first)
    # One disk less: what is emptied now goes where there is room.
    plan = rig.ask("disk", "drain", second, "--dry-run")
    if plan.get("blocking", 0):
        rig.say(f"no place is left for what is on disk {second}")
    else:
        rig.cli("disk", "drain", second, "--no-wait")

        def look():
            counts = {}
            for leg, group, _, state, _ in rig.members(volume):
                counts[leg, group] = counts.get((leg, group), 0) + 1
            return None if 3 in counts.values() else f"none is on its way: {counts}"
        rig.wait("an LD is on its way", 60, look, every=0.05)
        victim, keys = busiest(rig, [volume])
        rig.kill(victim)
        await_moved(rig, keys, victim)
        rig.boot(victim)
        await_empty(rig, second)
        rig.cli("disk", "undrain", second)
    witness.progress(witnesses, 50)
    rig.disk_add(node)  # for whatever runs next on this rack
    finish(rig, witnesses)


# ---- snapshots ----

WIDE = {"size": "36MiB", "controllers": 3, "legs": 3, "standbys": 1, "provision": "thin",
        "durability": "strict"}  # 576 chunks, 64 on each leg
CHUNK = 64 << 10
MAGIC, HEADER = 0x5353454e5449572d, struct.Struct("<QQQQQQ")


def host_now(rig, host):
    return int(rig.sh(host, "date +%s%N"))


def snapshot(rig, volume, name, *words):
    """Takes one; from when to when by the host's clock, and its record."""
    begin, made = 0, []

    def look():
        # What moves is waited for: on a busy machine that is often, and no fault of the snapshot.
        nonlocal begin
        begin = host_now(rig, "host1")
        found = rig.ask_or_none("snapshot", "create", volume, name, "--no-wait", *words)
        if found is None:
            return "it is refused"
        rig.wait(f"job {found['id']} is over", 120, lambda: None if (job(rig, found["id"]) or {}).get("phase") in (
            "done", "failed") else "not yet", every=0.02)
        made[:] = [found["id"]]
        return None if job(rig, found["id"])["phase"] == "done" else job(rig, found["id"])["operation"]["error"]["message"]
    rig.wait(f"snapshot {name} is taken", 240, look)
    end = host_now(rig, "host1")
    tries = job(rig, made[0])["operation"]["snapshot"]
    rig.say(f"snapshot {name} is taken, given up before: {tries.get('tries', 0)} {tries.get('last_error')}")
    return begin, end, rig.ask("snapshot", "get", volume, name)["snapshot"]


def legs(rig, volume):
    """(node, pool, bytes) of each leg, in stripe order."""
    record = rig.status(volume)["volume"]
    return [(record["slots"][leg.get("slot", 0)]["holder"], f"dnvme-pool-{record['id']}.l{number}", leg["size_bytes"])
            for number, leg in enumerate(record["legs"])]


def image(rig, volume, number):
    """The same, once more when a slot moved meanwhile: on a busy machine that is no fault of the snapshot, which moves with it."""
    found = []

    def look():
        rig.await_healthy(120, [volume])
        try:
            found[:] = [image_once(rig, volume, number)]
        except Failure as failure:
            return str(failure)
        return None
    rig.wait(f"thin device {number} is read", 300, look)
    return found[0]


def image_once(rig, volume, number):
    """What a snapshot holds: its thin devices are activated by hand, read-only, and put together as the stripe does it."""
    def read(leg):
        index, (node, pool, size) = leg
        path = os.path.join(rig.state, f"{volume}.{number}.l{index}")
        rig.sh(node, f"set -e; dmsetup create look{index} --readonly --table '0 {size // 512} thin /dev/mapper/{pool} {number}'; "
                     f"trap 'dmsetup remove --retry look{index}' EXIT; "
                     f"dd if=/dev/mapper/look{index} of=/run/look{index} bs=64k iflag=direct status=none", timeout=60)
        rig.rack("get", node, f"/run/look{index}", path)
        rig.sh(node, f"rm /run/look{index}")
        with open(path, "rb") as file:
            return file.read()
    parts = rig.each(read, enumerate(legs(rig, volume)))
    columns = [parts[key] for key in sorted(parts, key=lambda key: key[0])]
    return b"".join(column[at:at + CHUNK] for at in range(0, len(columns[0]), CHUNK) for column in columns)


def must_be_of_one_moment(rig, writer, content, begin, end):
    """Each block has its last write that was acknowledged before some moment, or a later one that had begun by then; and that
    moment is one for all of them."""
    issued, done = collections.defaultdict(dict), collections.defaultdict(dict)
    for kind, count, _, block, sequence, time_ns in writer.records():
        for i in range(count if kind in (witness.ISSUED, witness.DONE) else 0):
            (issued if kind == witness.ISSUED else done)[block + i][sequence + i] = time_ns
    run, latest, earliest, found = int(writer.run(), 16), (0, None), (float("inf"), None), 0
    for block, writes in issued.items():
        magic, whose, number, sequence, _, _ = HEADER.unpack_from(content, block * 4096)
        if magic != MAGIC:
            must(not any(content[block * 4096:(block + 1) * 4096]), f"block {block} of the snapshot is torn")
            sequence = 0
        else:
            must((whose, number) == (run, block), f"block {block} of the snapshot is block {number} of {whose:x}")
            must(sequence in writes, f"block {block} of the snapshot has write {sequence}, which nobody sent")
            latest = max(latest, (writes[sequence], block))
            found += 1
        later = [time_ns for other, time_ns in done[block].items() if other > sequence]
        earliest = min([earliest] + [(time_ns, block) for time_ns in later])
    must(latest[0] <= earliest[0], f"not of one moment: a write to block {latest[1]} is in it that began at {latest[0]}, and one "
                                   f"to block {earliest[1]} is not that was acknowledged at {earliest[0]}")
    must(earliest[0] >= begin, f"a write to block {earliest[1]} is missing that was acknowledged before it was asked for")
    must(latest[0] <= end, f"a write to block {latest[1]} is in it that began after it was done")
    rig.say(f"of one moment: {found} of {len(issued)} blocks written by then, the moment is "
            f"{(latest[0] - begin) / 1e6:.0f} to {(min(earliest[0], end) - begin) / 1e6:.0f} ms after the command began")


def longest_wait(writer, begin, end):
    """Of a write that was under way in that time, in milliseconds."""
    under_way, longest = {}, 0
    for kind, _, _, block, sequence, time_ns in writer.records():
        if kind == witness.ISSUED:
            under_way[block, sequence] = time_ns
        elif kind == witness.DONE and begin <= time_ns <= end:
            longest = max(longest, time_ns - under_way[block, sequence])
    return round(longest / 1e6)


def pauses(rig, node):
    return rig.sh(node, "grep -h 'pause' /run/dnvme/agent.log | grep after_ms | tail -n 3 || :").strip()


def used_blocks(rig, volume):
    """Of all pools together."""
    def look(leg):
        node, pool, _ = leg
        return int(rig.sh(node, f"dmsetup status {pool}").split()[5].split("/")[0])
    return sum(rig.each(look, legs(rig, volume)).values())


@scenario("snapshot", CAPABLE)
def snapshot_taken(rig):
    """A volume with nine legs on three controllers is kept under writes, more than once: what is kept is of one moment, hosts
    wait half a second, and room comes back when it is deleted."""
    witnesses = serve(rig, many(1, **WIDE), f"--region 0:{36 * BLOCKS} --threads 4 --read-percent 10")
    volume, writer = witnesses[0].volume, witnesses[0]
    for name in ("one", "two"):
        rig.await_healthy(60, [volume])
        # A machine that is busy with other things must not make it fail: how long it takes is told.
        begin, end, record = snapshot(rig, volume, name, "--pause-limit", "5s")
        witness.progress(witnesses, 50)
        must_be_of_one_moment(rig, writer, image(rig, volume, record["thin"]), begin, end)
        rig.goal(f"longest wait of a write while snapshot {name} is taken", longest_wait(writer, begin, end), "ms", 500)
        for node in {node for node, _, _ in legs(rig, volume)}:
            rig.say(f"{node}: {pauses(rig, node)}")
    before = used_blocks(rig, volume)
    for name in ("one", "two"):
        rig.cli("snapshot", "delete", volume, name, timeout=60)
    after = used_blocks(rig, volume)
    rig.say(f"blocks in use: {before} with two snapshots, {after} without")
    must(after < before, "no room came back")
    must(not rig.ask("snapshot", "list", volume).get("dropped_thins"), "something is still to be deleted")
    finish(rig, witnesses)


@scenario("snapshot_agent", CAPABLE)
def snapshot_agent(rig):
    """A controller's agent is killed while it holds up its hosts: they go on when the limit is over, without it; the attempt is
    given up, and another one takes the snapshot."""
    witnesses = serve(rig, many(1, **dict(WIDE, size="32MiB", controllers=2, legs=2)),
                      f"--region 0:{32 * BLOCKS} --threads 4 --read-percent 10")
    volume, writer = witnesses[0].volume, witnesses[0]
    victim, record = rig.holder(volume), rig.status(volume)["volume"]["id"]
    for turn in range(5):
        # Nothing but what the shell has itself, as a process of its own would come too late.
        rig.sh(victim, "rm -f /run/killed; nohup sh -c '"
                       "until test -s /run/killed; do sleep 0.01; for file in /run/dnvme/pause.*; do "
                       "while read -r word rest; do test $word = held || continue; read -r pid </run/dnvme/agent.pid; "
                       "kill -9 $pid; echo yes >/run/killed; break 2; done <$file; done; done; tail -n 1 $file >/run/killed' "
                       ">/dev/null 2>&1 </dev/null &")
        rig.await_healthy(120, [volume])
        begin = host_now(rig, "host1")
        name = rig.ask("snapshot", "create", volume, f"kept{turn}", "--pause-limit", "5s", "--no-wait")["id"]
        rig.wait("the agent is killed while it holds", 60, lambda: None if rig.sh(
            victim, "cat /run/killed 2>/dev/null || :").strip() else "not yet", every=0.1)
        rig.no_agent.add(victim)
        if rig.sh(victim, "cat /run/killed").split()[0] in ("held", "made"):
            break
        rig.say("it had let go when its agent was killed: once more")
        rig.agent_start(victim)
        await_job(rig, name, "done", 100)
    rig.wait("what is held goes on without its agent", 10, lambda: None if rig.sh(
        victim, f"dmsetup info -c --noheadings -o suspended dnvme-volume-{record}").strip() == "Active" else "suspended", every=0.1)
    rig.say(rig.sh(victim, "cat /run/dnvme/pause.* | tail -n 1"))
    must("broken the limit is over" in rig.sh(victim, "cat /run/dnvme/pause.*"), "it did not let go at the limit")
    witness.progress(witnesses, 20)
    rig.agent_start(victim)
    await_job(rig, name, "done", 100)
    end = host_now(rig, "host1")
    found = rig.ask("snapshot", "get", volume, f"kept{turn}")["snapshot"]
    must(job(rig, name)["operation"]["snapshot"].get("tries"), "it was not given up once")
    rig.await_healthy(60, [volume])
    must_be_of_one_moment(rig, writer, image(rig, volume, found["thin"]), begin, end)
    for other in rig.ask("snapshot", "list", volume)["snapshots"]:
        rig.cli("snapshot", "delete", volume, other["name"], timeout=60)
    finish(rig, witnesses)


def readable(rig, host, device):
    """All that a device holds."""
    path = os.path.join(rig.state, "readable")
    rig.sh(host, f"dd if={device} of=/run/readable bs=64k iflag=direct status=none", timeout=120)
    rig.rack("get", host, "/run/readable", path)
    rig.sh(host, "rm /run/readable")
    with open(path, "rb") as file:
        return file.read()


def sums(rig, host):
    """One for each time that a device was read as a whole."""
    return rig.sh(host, "cat /run/sums 2>/dev/null || :").split()


@scenario("snapshot_read", CAPABLE)
def snapshot_read(rig):
    """Another host reads a snapshot while its volume is written: what it reads is of one moment and stays so, while both holders
    lose power, one after the other, and a slot is moved by hand; no host and no node can write to it; nothing is left of it."""
    witnesses = serve(rig, many(1, **dict(WIDE, size="32MiB", controllers=2, legs=2)),
                      f"--region 0:{32 * BLOCKS} --threads 2 --read-percent 10 --rate 200")
    volume, writer, reader = witnesses[0].volume, witnesses[0], "host2"
    servers = ",".join(f"{address(cp)}:7420" for cp in rig.cps)
    begin, end, record = snapshot(rig, volume, "kept", "--pause-limit", "5s")
    rig.cli("snapshot", "attach", volume, "kept", rig.host_nqn(reader))
    device = rig.connect([f"{volume}@kept"], reader, watch=False)[f"{volume}@kept"]
    size = int(rig.sh(reader, f"blockdev --getsize64 {device}"))
    must(size == record["size_bytes"], f"it has {size} bytes, not {record['size_bytes']}")
    content = readable(rig, reader, device)
    must_be_of_one_moment(rig, writer, content, begin, end)
    whole = hashlib.sha256(content).hexdigest()
    refused = ("dd if=/dev/zero of={0} bs=4k count=1 oflag=direct conv=notrunc,fsync 2>&1; "
               "blkdiscard {0} 2>&1; blkdiscard -z {0} 2>&1")
    rig.say(rig.sh(reader, refused.format(device), check=False).replace("\n", "; "))
    for node, pool, _ in legs(rig, volume):
        name = pool.replace("-pool-", "-snapread-") + f".t{record['thin']}"
        text = rig.sh(node, refused.format(f"/dev/mapper/{name}"), check=False)
        must("rror" in text, f"{node} could write to {name}: {text}")
    must(readable(rig, reader, device) == content, "what was refused was written")
    snapshot(rig, volume, "another", "--pause-limit", "5s")
    rig.cli("snapshot", "attach", volume, "another", rig.host_nqn(reader))
    another = rig.connect([f"{volume}@another"], reader, watch=False)[f"{volume}@another"]
    latest = hashlib.sha256(readable(rig, reader, another)).hexdigest()
    must(latest != whole, "nothing was written between two snapshots")
    rig.sh(reader, f"rm -f /run/sums /run/enough; nohup sh -c 'while [ ! -e /run/enough ]; do {{ dd if={device} bs=64k "
                   "iflag=direct status=none || echo broken; } | sha256sum | cut -c1-64 >>/run/sums; done' "
                   ">/run/reader.log 2>&1 </dev/null &")
    for turn in range(2):
        rig.wait("the snapshot is read", 60, lambda: None if sums(rig, reader) else "not yet")
        victim, keys = busiest(rig, [volume])
        rig.kill(victim)
        await_moved(rig, keys, victim)
        count = len(sums(rig, reader))
        took = rig.wait("the snapshot is read from beginning to end once more", 240,
                        lambda: None if len(sums(rig, reader)) >= count + 2 else "not yet")
        rig.say(f"the snapshot was read on {took} s after the slots served")
        witness.progress(witnesses, 20)
        rig.boot(victim)
        rig.await_healthy(120, [volume])
        rig.sh(reader, f"dnvme --server {servers} host connect {volume}@kept --timeout 60", timeout=90)
    # By hand, where the old holder lives and takes its export away, while another snapshot is at the same port.
    for turn in range(2):
        old, count = rig.holder(volume), len(sums(rig, reader))
        rig.cli("volume", "move", volume, "--slot", "0", "--timeout", "100s", timeout=120)
        rig.say(f"slot 0 moved from {old} to {rig.holder(volume)}")
        rig.wait("the snapshot is read from beginning to end once more", 240,
                 lambda: None if len(sums(rig, reader)) >= count + 2 else "not yet")
        rig.await_healthy(120, [volume])
    must(hashlib.sha256(readable(rig, reader, another)).hexdigest() == latest, "the second snapshot is another one by now")
    rig.sh(reader, "touch /run/enough")
    rig.say(f"it was read {len(sums(rig, reader))} times: {rig.sh(reader, 'cat /run/reader.log')}")
    must(set(sums(rig, reader)) == {whole}, f"not each time the same: {collections.Counter(sums(rig, reader))}")
    must(not rig.try_cli("snapshot", "delete", volume, "kept"), "it is deleted while a host may read it")
    rig.wait("nobody reads it", 60, lambda: rig.sh(reader, "pgrep -x dd || :").strip() or None)
    for name in ("kept", "another"):
        rig.sh(reader, f"dnvme --server {servers} host disconnect {volume}@{name} --timeout 60", timeout=90)
        rig.cli("snapshot", "detach", volume, name, rig.host_nqn(reader))
        rig.cli("snapshot", "delete", volume, name, timeout=60)
    for node in rig.nodes:
        left = [line for line in rig.leftovers(node) if "snap" in line]
        must(not left, f"{node} has {left}")
    finish(rig, witnesses)


@scenario("move_controller")
def move_controller(rig):
    """A slot is moved by hand while hosts write, to its standby, to a node that was no controller, and back: each time without an
    error, in one short pause. One that was given up before it began changes nothing."""
    witnesses = serve(rig, many(1, controllers=2, standbys=1), "--threads 2 --rate 200")
    volume = witnesses[0].volume

    def roles():
        found = rig.ask("volume", "get", volume)["volume"]
        return found, {controller["node"]: controller["role"] for controller in found["controllers"]}

    def move(to):
        rig.await_healthy(60)
        rig.cli("volume", "move", volume, "--slot", "0", "--to", to, "--timeout", "60s", timeout=90)
        found, _ = roles()
        must(found["slots"][0]["holder"] == to and found["slots"][0]["reason"] == "asked",
             f"slot 0 is at {found['slots'][0]['holder']} ({found['slots'][0].get('reason')}), not at {to}")
        rig.say(f"slot 0 of {volume} is at {to}")
        hold(rig, witnesses, 2)

    found, now = roles()
    first = found["slots"][0]["holder"]
    standby = next(node for node, role in now.items() if role == "standby")
    other = next(node for node in rig.cns if node not in now)
    # Its agent is away: nothing moves, and nothing is left of it.
    rig.agent_kill(other)
    name = rig.ask("volume", "move", volume, "--slot", "0", "--to", other, "--no-wait")["id"]
    witness.progress(witnesses, 20)
    rig.cli("job", "cancel", name)
    await_job(rig, name, "cancelled")
    rig.agent_start(other)
    must(roles()[0]["slots"][0]["epoch"] == found["slots"][0]["epoch"], "a move that was cancelled moved something")
    for to in (standby, other, first):
        move(to)
    rig.await_healthy(60)
    figures = witness.judge(witnesses)
    witness.members_must_agree(rig, [volume])
    rig.goal("longest pause of a move", figures["stall_ms"], "ms", 300)
    rig.must_not_hang()
