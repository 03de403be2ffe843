#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the lines that tests reached, by folder, and the files that are furthest from it.

usage: coverage.py SUMMARY, which gcovr --json-summary wrote
"""
import json
import sys

FOLDERS = ("fsm", "src/leader", "src", "raft", "store", "agent", "lib", "client")
FILES = 20


def percent(reached, all_lines):
    return f"{100 * reached / all_lines:5.1f} %" if all_lines else "     –"


def main(path):
    with open(path, encoding="utf-8") as summary:
        files = json.load(summary)["files"]
    if not files:
        sys.exit(f"coverage.py: {path} names no file: did the tests run?")
    for folder in FOLDERS:
        within = [one for one in files if one["filename"].startswith(folder + "/")]
        reached = sum(one["line_covered"] for one in within)
        lines = sum(one["line_total"] for one in within)
        print(f"{folder:12} {percent(reached, lines)}  {reached} of {lines} lines")
    print("\nMost lines that are not reached:")
    for one in sorted(files, key=lambda one: one["line_covered"] - one["line_total"])[:FILES]:
        print(f"{one['filename']:40} {percent(one['line_covered'], one['line_total'])}  "
              f"{one['line_total'] - one['line_covered']} lines")


main(sys.argv[1])
