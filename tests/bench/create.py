# SPDX-License-Identifier: GPL-2.0-or-later
"""How many volumes are made in a second, from volume.create until they are online, with few volumes and with many.

A rack of 32 nodes with 128 disks, for which bench_nodes speaks: it does at once what it is told. Each volume has two copies,
one controller and one standby; the client waits for it as libdnvme does.
"""

import commits
import report
import speakers
import targets

LEVELS = (1, 16, 128)
CONNECTIONS = 16
EXISTING = (0, 10000, 100000)
NODES = 32
# Whatever else the machine does: a leader that is deposed for that would end the measurement.
OPTIONS = ("--election-timeout-ms=4000",)
FEW_SHARE_GOAL = 0.8
ETCD_GOAL = 1.0


def measure(make, levels, seconds, warm):
    """The levels one after the other, each on what the ones before left."""
    target = make()
    results = {}
    try:
        target.start()
        for level in levels:
            used = commits.cpu_seconds(target.processes())
            result = targets.load_run(
                target, outstanding=level, connections=min(level, CONNECTIONS), seconds=seconds, warm=warm
            )
            spent = commits.cpu_seconds(target.processes()) - used
            result["server_cpu_us"] = spent / max(result["per_second"] * (seconds + warm), 1) * 1e6
            results[level] = result
    finally:
        target.stop()
    return results


def run(arguments):
    levels = LEVELS[1:2] if arguments.smoke else LEVELS
    existing = (20,) if arguments.smoke else EXISTING
    count = 1 if arguments.smoke else targets.SERVERS
    seconds, warm = (0.3, 0.1) if arguments.smoke else (arguments.seconds, 0.5)
    kinds = {f"{many}": lambda many=many: speakers.Rack(count, many, NODES, options=OPTIONS) for many in existing}
    if arguments.etcd:
        kinds["etcd"] = targets.Etcd
    rounds = [
        {name: measure(make, levels, seconds, warm) for name, make in kinds.items()}
        for _ in range(1 if arguments.smoke else arguments.rounds)
    ]
    table = report.Table("server", "volumes", "outstanding", "done/s", "p50 ms", "p99 ms", "longest ms", "CPU µs")
    for name in kinds:
        for level in levels:
            of = {
                key: report.median([one[name][level][key] for one in rounds])
                for key in ("per_second", "p50_ms", "p99_ms", "max_ms", "server_cpu_us")
            }
            table.row(
                "etcd" if name == "etcd" else "dnvme", "-" if name == "etcd" else name, level,
                f"{of['per_second']:.0f}", f"{of['p50_ms']:.2f}", f"{of['p99_ms']:.1f}", f"{of['max_ms']:.0f}",
                f"{of['server_cpu_us']:.0f}",
            )
    ratios = ratios_of(kinds, levels, rounds)
    return {"rounds": rounds, "ratios": ratios, "seconds": seconds}, [table, ratio_table(ratios, levels)]


def ratios_of(kinds, levels, rounds):
    """Within each round; the median of the rounds."""
    few, many = list(kinds)[0], [name for name in kinds if name != "etcd"][-1]
    pairs = {f"{many} volumes against {few}": (many, few)}
    if "etcd" in kinds:
        pairs[f"{few} volumes against puts of etcd"] = (few, "etcd")
    return {
        what: {
            level: report.median(
                [one[a][level]["per_second"] / max(one[b][level]["per_second"], 1e-9) for one in rounds]
            )
            for level in levels
        }
        for what, (a, b) in pairs.items()
    }


def ratio_table(ratios, levels):
    table = report.Table("done/s", *[f"{level}" for level in levels], "goal", "met")
    for what, values in ratios.items():
        goal = ETCD_GOAL if "etcd" in what else FEW_SHARE_GOAL
        met = all(value >= goal for value in values.values())
        table.row(what, *[f"{value:.2f}" for value in values.values()], f">= {goal}", "yes" if met else "no")
    return table
