# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a start takes with many volumes, and what servers use of memory and processors, with and without them.

A server counts as serving when it answers a read that is behind everything committed. The rack's nodes have no agents: a
start is over before the first lease would be.
"""

import json
import os
import subprocess
import time

import harness
import report
import targets

IDLE_S = 10.0
SERVE_GOAL_MS, MEMORY_GOAL_MB, IDLE_MEMORY_GOAL_MB = 1000, 300, 20
WAIT_S = 120.0


class Server(targets.QuietServer):
    def arguments(self):
        """Those that join are given a number."""
        return [word for word in super().arguments() if self.number == 1 or not word.startswith("--id=")]


class Cluster(harness.Cluster):
    make_server = Server


def memory_mb(server):
    """Resident: its own, and what it has mapped of files, which the kernel takes back when it needs it."""
    with open(f"/proc/{server.process.pid}/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    own, mapped, peak = (int(lines[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile", "VmHWM"))
    return {"own": own, "mapped": mapped, "all": own + mapped, "peak": peak}


def cpu_seconds(server):
    with open(f"/proc/{server.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(cluster, seconds):
    """Of each server, the leader first: memory, and the part of a processor that it uses when nobody asks for anything."""
    leader = cluster.leader()
    servers = sorted(cluster.servers, key=lambda server: server is not leader)
    before = [cpu_seconds(server) for server in servers]
    began = time.monotonic()
    time.sleep(seconds)  # what is measured, not a wait
    spent = time.monotonic() - began
    return [
        dict(memory_mb(server), cpu_percent=(cpu_seconds(server) - used) / spent * 100)
        for server, used in zip(servers, before)
    ]


def empty(seconds, count):
    cluster = targets.QuietCluster(count)
    try:
        cluster.start()
        cluster.init()
        return idle(cluster, seconds)
    finally:
        cluster.stop()
        cluster.remove()


def grow(cluster):
    """The other two join the one that has everything."""
    for server in cluster.servers[1:]:
        server.start()
        cluster.call("cluster.add_server", {
            "name": f"m{server.number}", "raft_address": server.raft, "api_address": server.api,
        })

        def settled():
            status = cluster.call("cluster.status")
            return status.get("waits_for") is None and len(status["servers"]) == server.number

        harness.wait_until(f"server {server.number} has joined", settled, WAIT_S)


def serves(servers, name, began):
    """Milliseconds until one of them answers the read."""
    deadline = began + WAIT_S * harness.SLOW
    while time.monotonic() < deadline:
        for server in servers:
            try:
                with harness.Connection(server.api, 1.0) as connection:
                    connection.call("volume.get", {"name": name}, 1.0)
                return (time.monotonic() - began) * 1000
            except (harness.RpcError, OSError):
                pass
        time.sleep(0.002)  # between two tries: what is measured is not to be held up by them
    raise AssertionError("no server serves")


def start_timed(servers, name):
    began = time.monotonic()
    for server in servers:
        server.launch()
    return serves(servers, name, began)


def one_stopped(cluster, name):
    follower = cluster.followers()[0]
    follower.stop(60)
    return start_timed([follower], name)


def one_killed(cluster, name):
    follower = cluster.followers()[0]
    follower.kill()
    return start_timed([follower], name)


def all_stopped(cluster, name):
    wrong = cluster.stop()
    if wrong:
        raise targets.LoadFailed(f"dnvmed: {wrong}")
    for server in cluster.servers:
        server.process = None
    return start_timed(cluster.servers, name)


def all_killed(cluster, name):
    for server in cluster.servers:
        server.kill()
    return start_timed(cluster.servers, name)


STARTS = {
    "one, stopped before": one_stopped,
    "one, killed before": one_killed,
    "all, stopped before": all_stopped,
    "all, killed before": all_killed,
}


def full(volumes, rounds, seconds, count, kinds):
    cluster = Cluster(count)
    first = cluster.servers[0]
    name = f"volume-{volumes:06}"
    try:
        words = [os.path.join(harness.BIN, "bench_volumes"), first.directory, first.raft, first.api, str(volumes)]
        made = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
        first_ms = start_timed([first], name)
        grow(cluster)
        starts = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind in kinds:
                starts[kind].append(STARTS[kind](cluster, name))
                cluster.leader()
        return dict(made, first_ms=first_ms, starts=starts, idle=idle(cluster, seconds))
    finally:
        cluster.stop()
        cluster.remove()


def run(arguments):
    volumes = 100 if arguments.smoke else arguments.volumes
    seconds = 0.1 if arguments.smoke else IDLE_S
    count = 1 if arguments.smoke else targets.SERVERS
    rounds = 1 if arguments.smoke else arguments.rounds
    kinds = ["all, killed before"] if arguments.smoke else list(STARTS)
    results = {"empty": empty(seconds, count), "volumes": volumes}
    results["full"] = full(volumes, rounds, seconds, count, kinds)
    return results, tables(results)


def met(value, goal):
    return "yes" if value <= goal else "no"


def tables(results):
    starts = report.Table("servers that start", "times", "median ms", "worst ms", "goal ms", "met")
    for kind, times in results["full"]["starts"].items():
        worst = max(times)
        starts.row(
            kind, len(times), f"{report.median(times):.0f}", f"{worst:.0f}", SERVE_GOAL_MS, met(worst, SERVE_GOAL_MS)
        )
    uses = report.Table("server", "volumes", "MB", "of it own", "of it mapped", "peak MB", "CPU %", "goal MB", "met")
    for key, volumes, goal in (("empty", 0, IDLE_MEMORY_GOAL_MB), ("full", results["volumes"], MEMORY_GOAL_MB)):
        servers = results["empty"] if key == "empty" else results["full"]["idle"]
        for at, one in enumerate(servers):
            uses.row(
                "leader" if at == 0 else "follower", volumes, f"{one['all']:.0f}", f"{one['own']:.0f}",
                f"{one['mapped']:.0f}", f"{one['peak']:.0f}", f"{one['cpu_percent']:.1f}", goal, met(one["all"], goal),
            )
    return [starts, uses]
