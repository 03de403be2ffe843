# SPDX-License-Identifier: GPL-2.0-or-later
"""What many nodes cost the leader, how soon a new leader has them all, and how soon one that dies is planned away.

bench_nodes speaks for the nodes, over a connection for each: heartbeats, reports and sessions as an agent has them.
"""

import datetime
import re
import time

import harness
import report
import restart
import speakers
import targets

NODES, ON_NODE, VOLUMES = 1000, 500, 2000
CPU_GOAL_PERCENT, CONVERGE_GOAL_S, PLAN_GOAL_S = 10.0, 2.0, 0.5
IDLE_S = 10.0
MOVES, SERVES = "slot moves volume=", "slot is in another phase .*to=serving"


def idle(rack, seconds):
    """The part of a processor that the leader takes for heartbeats, and how long they take."""
    leader = rack.cluster.leader()
    followers = [server for server in rack.cluster.servers if server is not leader]
    rack.speakers.beats()
    before = [restart.cpu_seconds(server) for server in [leader] + followers]
    speaker_before, began = rack.speakers.cpu_seconds(), time.monotonic()
    time.sleep(seconds)  # what is measured, not a wait
    beats, spent = rack.speakers.beats(), time.monotonic() - began
    shares = [
        (restart.cpu_seconds(server) - used) / spent * 100
        for server, used in zip([leader] + followers, before)
    ]
    return {
        "beats_per_second": beats["count"] / spent,
        "behind": beats["behind"],
        "mean_ms": beats["mean_ms"],
        "max_ms": beats["max_ms"],
        "leader_percent": shares[0],
        "followers_percent": shares[1:],
        "beat_us": shares[0] / 100 * spent / max(beats["count"], 1) * 1e6,
        "speakers_percent": (rack.speakers.cpu_seconds() - speaker_before) / spent * 100,
        "memory": restart.memory_mb(leader),
    }


def log_times(server, pattern):
    """When each line was written that has it, in seconds of the wall clock."""
    times = []
    for line in server.log().split("\n"):
        if re.search(pattern, line):
            at = datetime.datetime.strptime(line.split(" ", 1)[0], "%Y-%m-%dT%H:%M:%S.%fZ")
            times.append(at.replace(tzinfo=datetime.timezone.utc).timestamp())
    return times


def converge(rack):
    """The leader is killed: until another one leads, and until it has all nodes with all that they have to say."""
    killed = rack.cluster.leader()
    began, wall = time.monotonic(), time.time()
    killed.kill()
    there = rack.speakers.event("there", began)
    leader = rack.cluster.leader()
    leads = [at for at in log_times(leader, "this server leads") if at > wall]
    killed.start()
    rack.settle()
    return {"elected_s": leads[-1] - wall, "there_s": there["at"] - began}


def transfer(rack):
    """The same when leadership is handed over."""
    leader = rack.cluster.leader()
    other = next(server for server in rack.cluster.servers if server is not leader)
    name = next(one["name"] for one in rack.cluster.call("cluster.status")["servers"] if one["id"] == other.number)
    began = time.monotonic()
    rack.cluster.call("cluster.transfer", {"name": name})
    there = rack.speakers.event("there", began)
    rack.settle()
    return {"there_s": there["at"] - began}


def failover(rack, to_the_end):
    """A node with many volumes falls silent: from when it is called offline until each slot has its next holder, and
    until all are served again."""
    leader = rack.cluster.leader()
    since = time.time()
    rack.speakers.say("stop node1")
    rack.speakers.event("stopped")

    def times(pattern):
        return [at for at in log_times(leader, pattern) if at > since]

    def all_are(pattern):
        return lambda: len(times(pattern)) >= rack.on_first

    harness.wait_until("all slots move", all_are(MOVES), 60)
    offline = times("node changed health node=node1 health=offline")[-1]
    result = {"plan_s": max(times(MOVES)) - offline, "moves": len(times(MOVES))}
    if to_the_end:
        harness.wait_until("all slots are served again", all_are(SERVES), 120)
        result["served_s"] = max(times(SERVES)) - offline
    # More than that: the machine held other nodes up for a lease as well.
    result["disturbed"] = result["moves"] > rack.on_first
    return result


def run(arguments):
    nodes, volumes, on_first = (20, 40, 10) if arguments.smoke else (arguments.nodes, VOLUMES, ON_NODE)
    rack = speakers.Rack(1 if arguments.smoke else targets.SERVERS, volumes, nodes, on_first)
    results = {"nodes": nodes, "volumes": volumes, "on_node": on_first, "converge": [], "transfer": []}
    try:
        rack.start()
        results["idle"] = idle(rack, 0.3 if arguments.smoke else IDLE_S)
        for _ in range(0 if arguments.smoke else arguments.rounds):
            results["converge"].append(converge(rack))
            results["transfer"].append(transfer(rack))
        results["failover"] = failover(rack, not arguments.smoke)
    finally:
        rack.stop()
    return results, tables(results)


def met(value, goal):
    return "yes" if value <= goal else "no"


def tables(results):
    one = results["idle"]
    cost = report.Table(
        "nodes", "heartbeats/s", "leader CPU %", "µs each", "answered in ms", "longest ms", "MB", "goal CPU %", "met"
    )
    cost.row(
        results["nodes"], f"{one['beats_per_second']:.0f}", f"{one['leader_percent']:.1f}", f"{one['beat_us']:.1f}",
        f"{one['mean_ms']:.2f}", f"{one['max_ms']:.0f}", f"{one['memory']['all']:.0f}", CPU_GOAL_PERCENT,
        met(one["leader_percent"], CPU_GOAL_PERCENT),
    )
    times = report.Table("what", "times", "median s", "worst s", "goal s", "met")

    def row(what, values, goal=None):
        if values:
            worst = max(values)
            times.row(what, len(values), f"{report.median(values):.2f}", f"{worst:.2f}",
                      "-" if goal is None else goal, "-" if goal is None else met(worst, goal))

    row("leader killed: another one leads", [one["elected_s"] for one in results["converge"]])
    row("leader killed: all nodes have told it all", [one["there_s"] for one in results["converge"]], CONVERGE_GOAL_S)
    row("leadership handed over: the same", [one["there_s"] for one in results["transfer"]], CONVERGE_GOAL_S)
    disturbed = " (disturbed)" if results["failover"]["disturbed"] else ""
    row(f"a node with {results['on_node']} volumes is offline: each has its next holder" + disturbed,
        [results["failover"]["plan_s"]], PLAN_GOAL_S)
    row("and all are served again", [results["failover"][key] for key in ("served_s",) if key in results["failover"]])
    return [cost, times]
