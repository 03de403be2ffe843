#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real servers and agents under traffic and faults, and what must be so of what clients saw. docs/TESTING.md.

    traffic/    what clients do, and the history of it
    fault/      namespaces, cuts, and everything else that befalls the cluster
    model/      what an object is to its clients
    check/      what must be so in a history
    report/     the picture
"""

import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import harness
import scenarios
from check import rules
from fault import network
from fault.cluster import Agent, Cluster
from fault.faults import FAULTS, leader_of
from report import timeline
from traffic.clients import LibraryClient, RawClient
from traffic.history import History
from traffic.leases import Tenant, register
from traffic.watchers import Watcher, all_events
from traffic.workload import Client, listed, object_count, switch_read

INSIDE = "DNVME_ATTACK_INSIDE"
SKIPPED = 77
CONVERGE_S = 90.0
TOLD_MAX = 10
MIB = 1 << 20


def inside(words):
    """Run this program once more, as the first process of namespaces of its own: when it ends, whatever it started ends
    with it, and so do bridges, cuts and mounts. And it ends when we do."""
    own = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
    own += ["--kill-child", sys.executable, "-B", os.path.abspath(__file__)]
    return subprocess.run(own + words, env=dict(os.environ, **{INSIDE: "1"}), check=False).returncode


class Attack:
    def __init__(self, scenario, seed, directory, program, expected):
        self.scenario = dict(scenario, objects=object_count(scenario["seconds"]))
        self.seed = seed
        self.random = random.Random(seed)
        self.directory = directory
        self.program = program
        self.expected = expected  # rules: the run ends when one of them is broken
        self.history = History(os.path.join(directory, "history.jsonl"))
        self.ending = threading.Event()
        self.initial = {}
        self.wrong = []
        self.fault_counts = collections.Counter()
        self.disks = []
        self.cluster = None

    # --- what is there before it begins ---

    def setup(self):
        self.cluster = cluster = Cluster(self.scenario, self.program)
        cluster.client_addresses = []
        if self.scenario["small_disk_mib"]:
            self.disks = [harness.SmallDisk(server, self.scenario["small_disk_mib"]) for server in cluster.servers]
        for server in cluster.servers:
            server.launch()
        for server in cluster.servers:
            server.ready()
        cluster.init()
        agents = [Agent(cluster, number + 1) for number in range(self.scenario["agents"])]
        for agent in agents:
            self.adopt(agent)
        for number in range(self.scenario["objects"]):
            self.object_make(number)

    def adopt(self, agent):
        cluster = self.cluster
        for path in agent.paths:
            harness.wait_until(
                f"{agent.name_} has {path}",
                lambda path=path: cluster.call("disk.add", {"node": agent.name_, "path": path}),
            )

    def object_make(self, number):
        """A switch, and a volume for hosts."""
        leader = self.cluster.leader()
        self.initial[f"r{number}"] = switch_read(register(leader, f"r{number}"))
        if self.scenario["agents"]:
            params = {"name": f"h{number}", "size_bytes": 16 * MIB, "copies": 1, "provision": "thin"}
            # A slow machine may keep agents waiting for longer than a lease.
            harness.wait_until("there is a node for a volume", lambda: leader.call("volume.create", params))

    def clients(self):
        addresses = [server.api for server in self.cluster.servers]
        began = time.monotonic()
        kinds = [kind for kind in ("raw", "library", "readers") for _ in range(self.scenario[kind])]
        for number, kind in enumerate(kinds, 1):
            seed = self.random.getrandbits(32)
            if kind != "library":
                source = self.cluster.net.local(number)
                transport = RawClient(addresses, source, seed, self.scenario["follow"] and kind == "raw")
            else:
                source = f"{network.LIBRARY}.{number}"
                transport = LibraryClient(addresses, self.cluster.net.endpoint(f"c{number}", source).prefix, seed)
            self.cluster.client_addresses.append(source)
            scenario = dict(self.scenario, mix=scenarios.READS) if kind == "readers" else self.scenario
            yield Client(number, transport, self.history, scenario, seed, began, self.ending)

    def tenants(self):
        for server in self.cluster.servers if self.scenario["tenants"] else []:
            source = self.cluster.net.local(100 + server.number)
            yield Tenant(server.number, server.api, source, self.history, self.ending)

    def watchers(self):
        addresses = [server.api for server in self.cluster.servers]
        for number in range(1, self.scenario["watchers"] + 1):
            source = self.cluster.net.local(120 + number)
            yield Watcher(number, addresses, source, self.random.getrandbits(32), self.history, self.ending)

    # --- the attack ---

    def faults_once(self, deadline):
        names = list(self.scenario["faults"])
        chosen = self.random.sample(names, min(self.random.randint(1, self.scenario["at_once"]), len(names)))
        standing = []
        try:
            for name in chosen:
                fault = FAULTS[name](self.cluster, random.Random(self.random.getrandbits(32)))
                process = f"fault-{sum(self.fault_counts.values())}"
                self.fault_counts[name] += 1
                standing.append((name, process, fault))
                victims = fault.begin()
                self.history.add(process, "invoke", "fault", value=name, victims=victims)
            self.ending.wait(min(self.random.uniform(*self.scenario["hold_s"]), max(deadline - time.monotonic(), 0)))
        finally:
            for name, process, fault in reversed(standing):
                fault.heal()
                self.history.add(process, "ok", "fault", value=name)

    def run(self):
        self.setup()
        threads = list(self.clients()) + list(self.tenants()) + list(self.watchers())
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self.scenario["seconds"]
        while time.monotonic() < deadline and not any(thread.failure for thread in threads):
            self.ending.wait(min(self.random.uniform(*self.scenario["calm_s"]), max(deadline - time.monotonic(), 0)))
            if self.scenario["faults"] and time.monotonic() < deadline:
                self.faults_once(deadline)
            if self.expected and self.caught():
                break
        self.ending.set()
        if self.expected and self.caught():
            return  # what a server with a planted bug comes to is nobody's business
        for thread in threads:
            thread.join(30 * harness.SLOW)
            if thread.failure or thread.is_alive():
                self.wrong.append(f"traffic: {thread.name} of the attack ended: {thread.failure!r}")
        self.converge()

    # --- what is there when it is over ---

    def settled(self):
        """Every node of ours is online, every volume is online with nothing to do, or gone."""
        for server in self.cluster.servers:
            server.revive()
        with leader_of(self.cluster).connect() as connection:
            names = {agent.name_ for agent in self.cluster.agents}
            for item in connection.call("node.list").get("nodes", []):
                if item["node"]["name"] in names and item["health"] != "online":
                    return None
            volumes = connection.call("volume.list").get("volumes", [])
            jobs = connection.call("job.list").get("jobs", [])
            if self.cluster.agents and (jobs or any(volume["phase"] != "online" for volume in volumes)):
                return None
            # A volume that is being released has no name any more, and is in no list.
            lds = sum(disk.get("lds", 0) for disk in connection.call("disk.list").get("disks", []))
            return lds == sum(len(list(harness.volume_extents(volume))) for volume in volumes)

    def converge(self):
        cluster = self.cluster
        harness.wait_until("everything is settled", self.settled, CONVERGE_S)
        cluster.check_replicas()
        cluster.check_extents()
        self.read_all()

    def read_all(self):
        """The last word on every object, as one more client."""
        process = "last"
        with self.cluster.leader().connect() as connection:
            self.history.add(process, "invoke", "list", key="volumes")
            self.history.add(process, "ok", "list", key="volumes", result=listed(connection.call("volume.list")))
            for name in self.initial:
                self.history.add(process, "invoke", "read", key=f"switch:{name}")
                seen = switch_read(connection.call("node.get", {"name": name}))
                self.history.add(process, "ok", "read", key=f"switch:{name}", result=seen)
            self.history.add(process, "invoke", "events", key="events")
            self.history.add(process, "ok", "events", key="events", result=all_events(connection))

    def end(self):
        """Ends whatever still runs; says what did not end as it should."""
        if self.cluster is None:
            return
        for server in self.cluster.servers:
            server.revive()
            self.wrong += server.wrong
        self.wrong += [sentence for server in self.cluster.spares for sentence in server.wrong]
        self.wrong += [f"at the end: {sentence}" for sentence in self.cluster.stop()]
        self.wrong += [f"agent: {agent.failure}" for agent in self.cluster.agents if agent.failure]
        for disk in self.disks:
            disk.remove()
        reports = harness.sanitizer_reports()
        if reports:
            self.wrong.append(f"a sanitizer reported:\n{reports}")
        for name in os.listdir(self.cluster.directory):
            if name.endswith(".log"):
                shutil.copy(os.path.join(self.cluster.directory, name), self.directory)
        self.cluster.remove()

    def caught(self):
        with self.history.lock:
            events = list(self.history.events)
        return sorted({rule for rule, _ in rules.all_rules(events, self.initial)} & set(self.expected))

    def verdict(self):
        """[(rule, sentence)], [(name, value)] of what is worth to tell."""
        events = self.history.events
        wrong = [("cluster", sentence) for sentence in self.wrong] + rules.all_rules(events, self.initial)
        types = collections.Counter(e["type"] for e in events if e["f"] not in ("fault", "lease", "watch"))
        leases = sum(e["f"] == "lease" and e["type"] == "ok" for e in events)
        watched = sum(len(e["result"]) for e in events if e["f"] == "watch" and e["type"] == "ok")
        facts = [
            ("scenario", self.scenario["name"]),
            ("seed", self.seed),
            ("server", self.program),
            ("operations", f"{types['invoke']}: {types['ok']} done, {types['fail']} refused, {types['info']} unknown"),
            ("leases", leases),
            ("watched", f"{watched} events"),
            ("faults", ", ".join(f"{count} {name}" for name, count in sorted(self.fault_counts.items())) or "none"),
        ]
        timeline.write(
            os.path.join(self.directory, "report.html"),
            f"attack: {self.scenario['name']}, seed {self.seed}",
            facts,
            [f"{rule}: {sentence}" for rule, sentence in wrong],
            events,
        )
        return wrong, facts


def attack(scenario, seed, directory, program, expected):
    os.makedirs(directory, exist_ok=True)
    run = Attack(scenario, seed, directory, program, expected)
    try:
        run.run()
    except Exception as error:
        run.wrong.append(f"{type(error).__name__}: {error}")
    finally:
        run.ending.set()
        run.end()
        run.history.close()
    return run.verdict()


def arguments():
    parser = argparse.ArgumentParser(description="Attack a cluster, and check what its clients saw.")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--scenario", action="append", help="one of them; several times for several (default: all)")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--fault", action="append", help="instead of the scenario's; several times for several")
    parser.add_argument("--seconds", type=float, help="of traffic and faults (default: the scenario's, 60)")
    parser.add_argument("--seed", type=int, help="of choices (default: a new one, which is told)")
    parser.add_argument("--out", default="build/attack", help="folder for histories, reports and logs")
    parser.add_argument("--bin", help="folder of the programs")
    parser.add_argument("--server", default="dnvmed", help="name of the server program")
    parser.add_argument("--expect", help="rules with commas of which one must be broken, for planted bugs: ends when it is")
    parser.add_argument("--runs", type=int, default=1, help="so often, each with the next seed")
    return parser.parse_args()


def one(options, name, seed):
    """One run; inside."""
    harness.BIN = os.path.abspath(options.bin) if options.bin else harness.BIN
    scenario = scenarios.scenario(name)
    if options.seconds:
        scenario["seconds"] = options.seconds
    if options.fault:
        scenario["faults"] = options.fault
    directory = os.path.join(os.path.abspath(options.out), f"{name}-{seed}-{options.server}")
    began = time.monotonic()
    expected = options.expect.split(",") if options.expect else []
    wrong, facts = attack(scenario, seed, directory, options.server, expected)
    told = "; ".join(f"{key} {value}" for key, value in facts)
    print(f"attack: {told}; {time.monotonic() - began:.0f} s; {directory}", flush=True)
    for rule, sentence in wrong[:TOLD_MAX]:
        print(f"  {rule}: {sentence}", flush=True)
    if len(wrong) > TOLD_MAX:
        print(f"  and {len(wrong) - TOLD_MAX} more, in report.html", flush=True)
    if not expected:
        return int(bool(wrong))
    caught = sorted({rule for rule, _ in wrong} & set(expected))
    print(f"  the planted bug is caught by: {', '.join(caught) or 'NOBODY'}", flush=True)
    return int(not caught)


def main():
    options = arguments()
    if options.list:
        for name, what in scenarios.SCENARIOS.items():
            print(f"{name}: {', '.join(what['faults']) or 'no faults'}")
        return 0
    if os.geteuid() != 0:
        print("attack: namespaces, mounts and cuts need root")
        return SKIPPED
    if os.environ.get(INSIDE):
        return one(options, options.only, options.seed)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    failed = []
    for name in options.scenario or list(scenarios.SCENARIOS):
        for seed in range(first, first + options.runs):
            # The last of each option wins.
            if inside(sys.argv[1:] + ["--only", name, "--seed", str(seed)]) != 0:
                failed.append(f"{name} with seed {seed}")
    if failed:
        print(f"attack: FAILED: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
