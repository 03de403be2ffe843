# SPDX-License-Identifier: GPL-2.0-or-later
"""Witnesses in the guests of a rig: started, asked, ended, judged. And copies of a group compared."""
import json
import os
import re
import struct

from rig import Failure

RECORD = struct.Struct("<HHiQQQ")
RUN, ISSUED, DONE, FAILED, READ, END = range(1, 7)
FOLDER = "/run/witness"
LD_DATA_OFFSET = (1 + 4) << 20  # lib/model/layout.h: label, raid metadata
CHUNK_SECTORS = 128  # the block of a pool, and what `witness digest` takes together


class Witness:
    def __init__(self, rig, volume, device, host="host1", verb="write", options="--read-percent 30 --threads 2", tag=""):
        self.rig, self.volume, self.device, self.host = rig, volume, device, host
        self.verb, self.options = verb, options
        self.base = f"{FOLDER}/{volume}{tag}"
        self.pid = None
        self.result = None
        rig.witnesses.append(self)

    def script(self):
        return (f"mkdir -p {FOLDER}; rm -f {self.base}.out; setsid witness {self.verb} {self.device} "
                f"--journal {self.base}.journal --until-signal {self.options} </dev/null >{self.base}.out "
                f"2>>{self.base}.err & echo $!\n")

    def abandon(self):
        """Another volume may have its name: a journal that stayed would make that one look as if it had lost everything."""
        if self.host not in self.rig.off:
            kill = f"kill -9 {self.pid}; " if self.pid else ""
            self.rig.sh(self.host, f"{kill}rm -f {self.base}.*", check=False)
        self.pid = None

    def done(self):
        """Writes acknowledged so far."""
        return json.loads(self.rig.sh(self.host, f"witness status --journal {self.base}.journal"))["writes"]

    def run(self):
        """What its blocks are marked with."""
        return json.loads(self.rig.sh(self.host, f"witness status --journal {self.base}.journal"))["run"]

    def check(self, options=""):
        return f"witness check {self.device} --journal {self.base}.journal {options}\n"

    def records(self):
        """(kind, count, error, block, sequence, time) of the journal, pulled out of the guest."""
        path = os.path.join(self.rig.state, os.path.basename(self.base) + ".journal")
        self.rig.rack("get", self.host, f"{self.base}.journal", path)
        with open(path, "rb") as journal:
            data = journal.read()
        return list(RECORD.iter_unpack(data[:len(data) - len(data) % RECORD.size]))


def start(witnesses):
    """All of one host in one command: a command costs more than a witness."""
    rig = witnesses[0].rig
    for host in {witness.host for witness in witnesses}:
        mine = [witness for witness in witnesses if witness.host == host]
        pids = rig.sh(host, "".join(witness.script() for witness in mine)).split()
        for witness, pid in zip(mine, pids):
            witness.pid, witness.result = pid, None
    progress(witnesses, 20)
    return witnesses


def totals(witnesses):
    """Writes of each so far; 0 for one whose journal is not there yet."""
    rig, host = witnesses[0].rig, witnesses[0].host
    text = rig.sh(host, "".join(f"witness status --journal {witness.base}.journal 2>/dev/null || echo '{{\"writes\": 0}}'\n"
                                for witness in witnesses), timeout=60)
    return [json.loads(line)["writes"] for line in text.splitlines()]


def progress(witnesses, writes, seconds=60):
    """Waits until each has `writes` more acknowledged."""
    rig = witnesses[0].rig
    before = totals(witnesses)

    def look():
        now = totals(witnesses)
        return ", ".join(f"{witness.volume} has {count - old} of {writes} writes"
                         for witness, old, count in zip(witnesses, before, now) if count < old + writes)
    return rig.wait("writes go on", seconds, look, every=max(0.1, 0.02 * len(witnesses)))  # a process for each


def stop(witnesses, seconds=90):
    """Ends them; what each said. Requests that never end make it say `stuck`."""
    rig = witnesses[0].rig
    for host in {witness.host for witness in witnesses}:
        mine = [witness for witness in witnesses if witness.host == host]
        rig.sh(host, "kill " + " ".join(witness.pid for witness in mine), check=False)

        def look():
            ended = rig.sh(host, f"cd {FOLDER}; wc -c " + " ".join(f"{witness.base}.out" for witness in mine))
            return "they do not end" if any(line.split()[0] == "0" for line in ended.splitlines()) else None
        rig.wait("the witnesses end", seconds, look)
        for witness in mine:
            witness.result = json.loads(rig.sh(host, f"cat {witness.base}.out"))
            witness.pid = None
    return [witness.result for witness in witnesses]


def judge(witnesses, errors_allowed=False):
    """Ends them and checks each device: no error, nothing stale, foreign or lost. Gives the figures of all together."""
    rig = witnesses[0].rig
    results = stop(witnesses)
    worst = max(results, key=lambda result: result["stall_ms"])
    figures = {"volumes": len(results), "writes": sum(result["writes"] for result in results),
               "reads": sum(result["reads"] for result in results), "stall_ms": worst["stall_ms"],
               "stall_at": worst["stall_at_ns"] / 1e9 - rig.begin, "p50_us": max(result["p50_us"] for result in results),
               "p99_us": max(result["p99_us"] for result in results)}
    rig.say(f"witnesses: {figures['writes']} writes, {figures['reads']} reads, longest stall {figures['stall_ms']} ms "
            f"(began at {figures['stall_at']:.1f}s), p50 {figures['p50_us']} µs, p99 {figures['p99_us']} µs")
    wrong = []
    for witness, result in zip(witnesses, results):
        bad = {key: result[key] for key in ("errors", "stale", "foreign", "stuck") if result[key]}
        if errors_allowed:
            bad.pop("errors", None)
        if bad:
            said = rig.sh(witness.host, f"tail -n 5 {witness.base}.err", check=False)
            first = f"{result['error']} at {result['error_at_ns'] / 1e9 - rig.begin:.1f}s" if result["errors"] else ""
            wrong.append(f"{witness.volume}: {bad} {first} {said}")
    wrong += lost(witnesses)
    if wrong:
        raise Failure("; ".join(wrong))
    return figures


def lost(witnesses, options=""):
    """What the devices lack of what was acknowledged; empty when nothing."""
    rig, wrong = witnesses[0].rig, []
    for witness in witnesses:
        done = rig.rack("exec", "--timeout", "120", witness.host, witness.check(options), check=False)
        if done.returncode != 0:
            wrong.append(f"{witness.volume}: {done.stdout.strip()} {done.stderr[-600:]}")
    return wrong


def chunks_in_use(rig, volume):
    """{(leg, group): chunks of 64 KiB of its members' data that its pool has given to the volume or to a snapshot}."""
    record, used = rig.status(volume)["volume"], {}
    for number, leg in enumerate(record["legs"]):
        name, holder = f"{record['id']}.l{number}", record["slots"][leg.get("slot", 0)]["holder"]
        # Where the pool's data is: from which sector on of the pool, how many, from which sector on of the group.
        text = rig.sh(holder, f"""set -e; dmsetup table dnvme-thindata-{name}; echo; dmsetup message dnvme-pool-{name} 0 reserve_metadata_snap
            trap 'dmsetup message dnvme-pool-{name} 0 release_metadata_snap' EXIT; thin_dump -m /dev/mapper/dnvme-thinmeta-{name}""",
                      timeout=60)
        table, dump = text.split("\n\n", 1)
        parts = [[int(words[at]) for at in (0, 1, 4)] for words in (line.split() for line in table.splitlines())]
        blocks = [block for first, length in re.findall(r'data_begin="(\d+)" length="(\d+)"', dump)
                  for block in range(int(first), int(first) + int(length))]
        blocks += [int(block) for block in re.findall(r'data_block="(\d+)"', dump)]
        for group, (start, length, offset) in enumerate(parts):
            inside = [block * CHUNK_SECTORS for block in blocks if start <= block * CHUNK_SECTORS < start + length]
            used[number, group] = {(sector - start + offset) // CHUNK_SECTORS for sector in inside}
    return used


def members_differ(rig, volume):
    """Compares the data of the in-sync members of each group, 64 KiB by 64 KiB, where one of its witnesses wrote;
    what differs. Of blocks that the volume never wrote nobody promised that they are alike: they hold what earlier volumes
    left in that space, or this one, whose members were there before they were moved."""
    used = chunks_in_use(rig, volume)
    groups = {}
    runs = " ".join(f"--run {one.run()}" for one in rig.witnesses if one.volume == volume)
    for leg, group, ld, state, node in rig.members(volume):
        if state == "in-sync":
            groups.setdefault((leg, group), []).append((ld["id"], node))
    wanted = [(ld, node) for members in groups.values() if len(members) > 1 for ld, node in members]

    def digest(member):
        ld, node = member
        text = rig.sh(node, f"witness digest /dev/mapper/dnvme-ld-{ld} --offset {LD_DATA_OFFSET} {runs}", timeout=120)
        return {words[0]: (words[1], int(words[2])) for words in (line.split() for line in text.splitlines())}
    digests = rig.each(digest, wanted)
    found, compared = [], 0
    for (leg, group), members in groups.items():
        if len(members) < 2:
            continue
        first = digests[members[0]]
        for member in members[1:]:
            other = digests[member]
            for chunk in first.keys() | other.keys():
                if int(chunk) not in used[leg, group]:
                    continue
                one, two = first.get(chunk, ("", 0)), other.get(chunk, ("", 0))
                if one[1] == 0 and two[1] == 0:
                    continue
                compared += 1
                if one != two:
                    found.append(f"leg {leg} group {group}: chunk {chunk} of {members[0]} and {member}")
    return found, compared


def members_must_agree(rig, volumes):
    compared = 0
    for volume in volumes:
        found, count = members_differ(rig, volume)
        compared += count
        if found:
            raise Failure(f"copies of {volume} differ in {len(found)} places: {'; '.join(found[:3])}")
    rig.say(f"copies are alike: {compared} pieces of 64 KiB compared")
