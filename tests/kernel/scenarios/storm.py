# SPDX-License-Identifier: GPL-2.0-or-later
"""Many random faults in a row, never more at a time than redundancy allows. The seed is printed and gives the same faults."""
import random

import witness
from rig import Failure
from scenario import SHAPE, finish, must, scenario, serve
from scenarios.operations import CAPABLE, await_empty, host_now, image, must_be_of_one_moment

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


    def endure(self, witnesses, number, count):
        """One fault, until nobody misses anything any more."""
        rig = self.rig
        name, act, undo = self.fault()
        rig.say(f"fault {number} of {count}: {name}")
        act()
        # With the fault there every volume goes on; one whose host lost two controllers soon after each other waits 20 s.
        witness.progress(witnesses, self.random.choice([1, 10, 60]), 40)
        undo()
        rig.wait("all nodes are online", 40, rig.missing_nodes)
        witness.progress(witnesses, 5, 60)


def storm(rig, count):
    witnesses = serve(rig, VOLUMES, "--threads 2 --rate 60 --read-percent 30 --blocks 4")
    chance = Storm(rig, rig.seed)
    for number in range(1, count + 1):
        chance.endure(witnesses, number, count)
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


KEPT = 2  # snapshots of a volume at a time
SIZE, STEP, SIZE_MAX = 32, 16, 80  # MiB
OVER = ("done", "cancelled", "failed")


class Operator:
    """Somebody who has a volume grow, takes snapshots, deletes them, moves slots, drains nodes and disks, and gives up at times.
    What is refused is no fault as long as not all is."""

    def __init__(self, rig, chance, witnesses):
        self.rig, self.random = rig, chance
        self.writers = {one.volume: one for one in witnesses}
        self.sizes = dict.fromkeys(self.writers, SIZE)
        self.snapshots = {volume: [] for volume in self.writers}  # (name, begin, end, record)
        self.asked, self.refused, self.ended, self.count = 0, 0, [], 0

    def ask(self, *words):
        """Its answer; None when it is refused."""
        self.asked += 1
        try:
            return self.rig.ask(*words, "--no-wait", timeout=60)
        except Failure as failure:
            self.refused += 1
            self.rig.say(f"refused: {str(failure)[:300]}")
            return None

    def begin(self):
        """Asks for something; gives what has to be waited for, a function, or None."""
        volume = self.random.choice(sorted(self.writers))
        return self.random.choice([self.extend, self.snapshot, self.snapshot, self.move, self.standbys, self.node_drain,
                                   self.disk_drain])(volume)

    def job_ends(self, answer):
        """Waits for its end, or gives it up first. Whatever becomes of it: never does it stay."""
        found = []

        def look():
            job = self.rig.ask_or_none("job", "get", answer["id"])
            if job is None:
                return "no answer"
            found[:] = [job["operation"]]
            return None if found[0]["state"] in OVER else f"{job['phase']}: {job.get('waits_for')}"
        if self.random.random() < 0.3:
            self.rig.try_cli("job", "cancel", answer["id"], "--no-wait")
        self.rig.wait(f"job {answer['id']} is over", 180, look)
        self.ended.append(found[0]["state"])
        self.rig.say(f"job {answer['id']} is {found[0]['state']}: {(found[0].get('error') or {}).get('message', '')}")
        return found[0]["state"] == "done"

    def extend(self, volume):
        size = self.sizes[volume] + STEP
        if size > SIZE_MAX:
            return self.snapshot(volume)
        self.rig.say(f"{volume} grows to {size} MiB")
        answer = self.ask("volume", "extend", volume, "--size", f"{size}MiB")

        def end():
            if self.job_ends(answer):
                self.sizes[volume] = size
        return answer and end

    def snapshot(self, volume):
        if len(self.snapshots[volume]) == KEPT:
            name = self.snapshots[volume].pop(0)[0]
            self.rig.say(f"snapshot {name} of {volume} is deleted")
            self.rig.cli("snapshot", "delete", volume, name, "--no-wait")
            return None
        self.count += 1
        name, begin = f"s{self.count}", host_now(self.rig, "host1")
        self.rig.say(f"snapshot {name} of {volume} is taken")
        answer = self.ask("snapshot", "create", volume, name, "--pause-limit", "5s", "--deadline", "60s")

        def end():
            if self.job_ends(answer):
                self.snapshots[volume].append((name, begin, host_now(self.rig, "host1"), self.rig.ask(
                    "snapshot", "get", volume, name)["snapshot"]))
        return answer and end

    def move(self, volume):
        to = self.random.choice(self.rig.cns)
        self.rig.say(f"slot 0 of {volume} is moved to {to}")
        answer = self.ask("volume", "move", volume, "--slot", "0", "--to", to, "--deadline", "60s")
        return answer and (lambda: self.job_ends(answer))

    def standbys(self, volume):
        self.rig.say(f"{volume} has two standbys, and one again")

        def end():
            self.rig.cli("volume", "set", volume, "--standbys", "1", "--no-wait")
        return self.ask("volume", "set", volume, "--standbys", "2") and end

    def node_drain(self, _):
        node = self.random.choice(self.rig.cns)
        self.rig.say(f"{node} is drained")

        def end():
            self.rig.cli("node", "uncordon", node)
        return self.ask("node", "drain", node) and end

    def disk_drain(self, _):
        disk = self.random.choice(sorted(self.rig.disk_nodes()))
        self.rig.say(f"disk {disk} is emptied")

        def end():
            if self.random.random() < 0.5:
                await_empty(self.rig, disk)
            self.rig.cli("disk", "undrain", disk)
        return self.ask("disk", "drain", disk) and end

    def judge(self):
        self.rig.say(f"asked for {self.asked}, {self.refused} refused; jobs: {self.ended}")
        must(self.refused < self.asked, "everything was refused")
        for volume, kept in self.snapshots.items():
            for name, begin, end, record in kept:
                self.rig.say(f"snapshot {name} of {volume}:")
                must_be_of_one_moment(self.rig, self.writers[volume], image(self.rig, volume, record["thin"]), begin, end)
                self.rig.cli("snapshot", "delete", volume, name, timeout=60)


@scenario("operations", CAPABLE)
def operations(rig):
    """Faults as in a storm, and an operator at work meanwhile: volumes grow, snapshots are taken and deleted, nodes and disks are
    drained, some of it is cancelled. Nothing is lost, no job stays, each snapshot is of one moment, and the state is sound."""
    shapes = {"one": {"controllers": 1, "standbys": 1, "copies": 2, "spread": "rack"},
              "two": {"controllers": 2, "standbys": 1, "copies": 2, "spread": "rack"}}
    witnesses = serve(rig, {name: {**shape, "provision": "thin", "durability": "strict", "size": f"{SIZE}MiB"}
                            for name, shape in shapes.items()},
                      f"--region 0:{SIZE << 8} --threads 2 --rate 60 --read-percent 30")
    storm_of = Storm(rig, rig.seed)
    operator = Operator(rig, storm_of.random, witnesses)
    for number in range(1, rig.fault_count + 1):
        end = operator.begin()
        storm_of.endure(witnesses, number, rig.fault_count)
        if end is not None:
            end()
        rig.await_healthy(120)
    operator.judge()
    said = rig.cli("cluster", "check", timeout=120)
    must("sound" in said, said)
    rig.say(f"{rig.fault_count} faults, seed {rig.seed}")
    finish(rig, witnesses, stall_limit_ms=30000)
