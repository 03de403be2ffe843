#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the lines that tests reached, by folder, and the files that are furthest from it. Fails below a goal.

usage: coverage.py SUMMARY, which gcovr --json-summary wrote
"""
import json
import sys

# Percent of the lines: folder -> goal. A file counts in the longest folder that it lies in. agent/backend/sim stands in
# for a kernel in tests, and what it can do for the simulation only counts as not reached: no goal.
GOALS = {
    "lib": 90,
    "store": 90,
    "fsm": 90,
    "raft": 90,
    "src": 90,
    "src/leader": 90,
    "agent": 90,
    "agent/backend": 0,
    "client": 90,
    "client/cli": 80,
}
FILES = 20


def percent(reached, lines):
    return 100 * reached / lines if lines else 0.0


def folder_of(filename):
    within = [folder for folder in GOALS if filename.startswith(folder + "/")]
    return max(within, key=len, default=None)


def main(path):
    with open(path, encoding="utf-8") as summary:
        files = json.load(summary)["files"]
    below = 0
    for folder, goal in GOALS.items():
        inside = [one for one in files if folder_of(one["filename"]) == folder]
        reached = sum(one["line_covered"] for one in inside)
        lines = sum(one["line_total"] for one in inside)
        # A folder without a file was not measured.
        missed = percent(reached, lines) < goal
        below += missed
        print(f"{folder:14} {percent(reached, lines):5.1f} %  {reached} of {lines} lines"
              + (f", below the goal of {goal} %" if missed else ""))
    print("\nMost lines that are not reached:")
    for one in sorted(files, key=lambda one: one["line_covered"] - one["line_total"])[:FILES]:
        print(f"{one['filename']:40} {percent(one['line_covered'], one['line_total']):5.1f} %  "
              f"{one['line_total'] - one['line_covered']} lines")
    if below:
        sys.exit(f"coverage.py: {below} of {len(GOALS)} folders are below their goal")


if len(sys.argv) != 2:
    sys.exit(__doc__)
main(sys.argv[1])
