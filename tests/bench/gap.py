#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How long no command is committed when something befalls the leader.

Clients ask all three servers at once, and keep on; each answer's time is kept. A gap is the longest time between two
answers, of whichever server, from a moment before the fault until commits flow again. A control without a fault says
what this machine does by itself.
"""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "cluster"), os.path.join(HERE, "..", "cluster", "attack")]

import harness
import report
import targets
from fault import network

OUTSTANDING = 12
BEFORE_NS = 50_000_000
STEADY_NS = 300_000_000
GOALS = {"kill": (500, 1000), "pause": (500, 1000), "cut": (500, 1000), "transfer": (20, None)}
KINDS = ("none", "transfer", "kill", "pause", "cut")


class Server(targets.QuietServer):
    def __init__(self, cluster, number):
        super().__init__(cluster, number)
        self.endpoint = cluster.net.endpoint(f"s{number}", self.host)

    def arguments(self):
        return self.endpoint.prefix + super().arguments()


class Cluster(harness.Cluster):
    make_server = Server

    def __init__(self, options):
        self.net = network.Network()
        super().__init__(targets.SERVERS, options, network.SERVERS)


class Answers:
    """The times that the generator writes."""

    def __init__(self, path):
        self.file = open(path, "rb")

    def last(self):
        size = os.fstat(self.file.fileno()).st_size // 8 * 8
        if size == 0:
            return 0
        self.file.seek(size - 8)
        return struct.unpack("=Q", self.file.read(8))[0]

    def wait_behind(self, moment_ns):
        harness.wait_until("commits flow", lambda: self.last() > moment_ns)

    def between(self, begin, end):
        """Those of this time, with the last one before and the first one after."""
        self.file.seek(0)
        data = self.file.read()
        times = struct.unpack(f"={len(data) // 8}Q", data[: len(data) // 8 * 8])
        first = next((at for at, value in enumerate(times) if value >= begin), len(times))
        last = next((at for at in range(first, len(times)) if times[at] > end), len(times) - 1)
        return times[max(first - 1, 0) : last + 1]

    def gap_ms(self, begin, end):
        times = self.between(begin, end)
        return max((after - before for before, after in zip(times, times[1:])), default=0) / 1e6


class Bench:
    def __init__(self, directory, options):
        self.cluster = Cluster(options)
        self.times = os.path.join(directory, "times")
        self.load = None
        self.answers = None

    def start(self):
        self.cluster.start()
        self.cluster.init()
        targets.register(self.cluster, OUTSTANDING)
        words = targets.load_words(
            "dnvme",
            [server.api for server in self.cluster.servers],
            outstanding=OUTSTANDING, connections=targets.SERVERS, seconds=86400, times=self.times,
        )
        self.load = subprocess.Popen(words + ["--faults"], stdout=subprocess.DEVNULL)
        harness.wait_until("the load runs", lambda: os.path.exists(self.times))
        self.answers = Answers(self.times)

    def stop(self):
        if self.load is not None:
            self.load.terminate()
            if self.load.wait(10) != 0:
                raise targets.LoadFailed("the load ended by itself")
        self.cluster.net.heal()
        wrong = self.cluster.stop()
        self.cluster.remove()
        if wrong:
            raise targets.LoadFailed(f"dnvmed: {wrong}")

    # --- what befalls the leader: each returns how to heal it ---

    def none(self, leader):
        return lambda: None

    def kill(self, leader):
        leader.kill()
        return leader.start

    def pause(self, leader):
        leader.pause()
        return leader.resume

    def cut(self, leader):
        others = [server.host for server in self.cluster.servers if server is not leader]
        self.cluster.net.cut([(leader.host, host) for host in others] + [(host, leader.host) for host in others])
        return self.cluster.net.heal

    def transfer(self, leader):
        others = [server for server in self.cluster.servers if server is not leader]
        try:
            leader.call("cluster.transfer", {"name": f"s{random.choice(others).number}"})
        except harness.RpcError as error:
            self.refused = str(error)
        return lambda: None

    # --- one fault ---

    def settle(self):
        """Commits flow, and every server has nearly what the leader has."""
        leader = self.cluster.leader()

        def caught_up():
            infos = [server.info() for server in self.cluster.servers]
            least = min(info.get("applied_index", 0) for info in infos)
            return least + 200 > leader.info()["applied_index"]

        harness.wait_until("all servers have caught up", caught_up, 60)
        self.answers.wait_behind(time.monotonic_ns() + STEADY_NS)
        return leader

    def befall(self, kind):
        leader = self.settle()
        self.refused = None
        began = time.monotonic_ns() - BEFORE_NS
        heal = getattr(self, kind)(leader)
        if kind not in ("none", "transfer"):
            self.cluster.leader([server for server in self.cluster.servers if server is not leader])
        self.answers.wait_behind(time.monotonic_ns() + STEADY_NS)
        healed = time.monotonic_ns()
        gap = self.answers.gap_ms(began, healed)
        heal()
        self.settle()
        back = self.answers.gap_ms(healed, time.monotonic_ns())
        return {"kind": kind, "gap_ms": gap, "back_ms": back, "refused": self.refused}


def inside(path, faults, kinds, options):
    """In namespaces of our own."""
    bench = Bench(tempfile.gettempdir(), options)
    results = []
    try:
        bench.start()
        for _ in range(faults):
            for kind in kinds:
                results.append(bench.befall(kind))
    finally:
        bench.stop()
    with open(path, "w") as file:
        json.dump(results, file)


def run(arguments):
    """Raises the namespaces, as the first process in which everything ends when we do."""
    path = os.path.join(tempfile.gettempdir(), "gaps.json")
    own = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
    own += ["--kill-child", sys.executable, "-B", os.path.abspath(__file__)]
    kinds = ("transfer",) if arguments.smoke else KINDS
    faults = 1 if arguments.smoke else arguments.faults
    subprocess.run(
        own + [path, str(faults), ",".join(kinds)] + arguments.server_option,
        env=dict(os.environ, TMPDIR=tempfile.gettempdir()),
        check=True,
    )
    with open(path) as file:
        results = json.load(file)
    table = report.Table("befalls the leader", "times", "refused", "median ms", "worst ms", "back, worst ms", "goal ms", "met")
    for kind in kinds:
        of = [result for result in results if result["kind"] == kind]
        gaps = [result["gap_ms"] for result in of]
        back = max(result["back_ms"] for result in of)
        refused = sum(result["refused"] is not None for result in of)
        middle, worst = report.median(gaps), max(gaps)
        goal_median, goal_worst = GOALS.get(kind, (None, None))
        met = goal_median is None or (middle <= goal_median and (goal_worst is None or worst <= goal_worst))
        goal = "-" if goal_median is None else f"median {goal_median}" + (f", worst {goal_worst}" if goal_worst else "")
        verdict = "-" if goal_median is None else "yes" if met else "no"
        table.row(kind, len(gaps), refused, f"{middle:.0f}", f"{worst:.0f}", f"{back:.0f}", goal, verdict)
    return {"gaps": results, "options": arguments.server_option}, [table]


if __name__ == "__main__":
    inside(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4:])
