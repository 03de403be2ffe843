# SPDX-License-Identifier: GPL-2.0-or-later
"""How many commands are committed in a second, and how long one takes, beside bare libraft and etcd."""

import os

import report
import targets

LEVELS = (1, 16, 128, 512)
CONNECTIONS = 16
GOALS = {"bare": ("per_second", 512, 0.8, "at least"), "etcd": ("per_second", 512, 6.0, "at least")}
P50_GOAL = 1.2


def cpu_seconds(pids):
    """What the servers used so far, user and system."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def measure(make, levels, seconds, warm):
    """A fresh group, the levels one after the other."""
    target = make()
    results = {}
    try:
        target.start()
        for level in levels:
            used = cpu_seconds(target.processes())
            result = targets.load_run(
                target, outstanding=level, connections=min(level, CONNECTIONS), seconds=seconds, warm=warm
            )
            spent = cpu_seconds(target.processes()) - used
            # The warm part counts in what was spent, so it counts in what was done, too.
            all_done = max(result["per_second"] * (seconds + warm), 1)
            result["server_cpu_us"] = spent / all_done * 1e6
            result["client_cpu_us"] = result["client_cpu_seconds"] / all_done * 1e6
            results[level] = result
    finally:
        target.stop()
    return results


def chosen(arguments, levels):
    kinds = {"dnvme": lambda: targets.Dnvme(max(levels)), "bare": targets.Bare}
    if arguments.etcd:
        kinds["etcd"] = targets.Etcd
    return kinds


def run(arguments):
    levels = LEVELS[1:2] if arguments.smoke else LEVELS
    kinds = chosen(arguments, levels)
    seconds = 0.3 if arguments.smoke else arguments.seconds
    warm = 0.1 if arguments.smoke else 0.5
    rounds = [
        {name: measure(make, levels, seconds, warm) for name, make in kinds.items()}
        for _ in range(1 if arguments.smoke else arguments.rounds)
    ]
    table = report.Table("server", "outstanding", "commits/s", "p50 ms", "p99 ms", "longest ms", "CPU µs", "client's")
    medians = {}
    for name in kinds:
        for level in levels:
            of = {
                key: report.median([one[name][level][key] for one in rounds])
                for key in ("per_second", "p50_ms", "p99_ms", "max_ms", "server_cpu_us", "client_cpu_us")
            }
            medians[name, level] = of
            table.row(
                name, level, f"{of['per_second']:.0f}", f"{of['p50_ms']:.2f}", f"{of['p99_ms']:.1f}",
                f"{of['max_ms']:.0f}", f"{of['server_cpu_us']:.0f}", f"{of['client_cpu_us']:.0f}",
            )
    ratios = ratios_of(kinds, levels, rounds)
    return {"rounds": rounds, "ratios": ratios, "seconds": seconds}, [table, ratio_table(ratios, levels)]


def ratios_of(kinds, levels, rounds):
    """dnvmed against each other server, within each round; the median of the rounds."""
    return {
        f"{key} against {name} at {level}": report.median(
            [one["dnvme"][level][key] / max(one[name][level][key], 1e-9) for one in rounds]
        )
        for name in kinds
        if name != "dnvme"
        for key in ("per_second", "p50_ms")
        for level in levels
    }


def ratio_table(ratios, levels):
    table = report.Table("dnvmed against", "what", *[f"{level}" for level in levels], "goal", "met")
    for name, (key, level, goal, _) in GOALS.items():
        lines = [("commits/s", key, level, goal, lambda value, goal: value >= goal, f">= {goal} at {level}")]
        if name == "bare":
            met = lambda value, goal: value <= goal
            lines.append(("p50", "p50_ms", 1, P50_GOAL, met, f"<= {P50_GOAL} at 1"))
        for what, key, at, goal, met, text in lines:
            values = [ratios.get(f"{key} against {name} at {one}") for one in levels]
            if None in values:
                continue
            reached = ratios.get(f"{key} against {name} at {at}")
            verdict = "-" if reached is None else "yes" if met(reached, goal) else "no"
            table.row(name, what, *[f"{value:.2f}" for value in values], text, verdict)
    return table
