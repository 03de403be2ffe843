# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables for people, JSON for programs, and the machine that both came from."""

import json
import os
import platform
import statistics
import subprocess


def median(values):
    return statistics.median(values)


class Table:
    def __init__(self, *heads):
        self.rows = [[str(head) for head in heads]]

    def row(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def text(self):
        widths = [max(len(row[at]) for row in self.rows) for at in range(len(self.rows[0]))]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in self.rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines)


def first_line(path, key):
    with open(path) as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(key)), "unknown")


def version(words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine(directory):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {
        "processors": os.cpu_count(),
        "processor": first_line("/proc/cpuinfo", "model name"),
        "memory": first_line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "filesystem": version(["stat", "-f", "-c", "%T", directory]),
        "commit": version(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12"]),
        "load": os.getloadavg()[0],
    }


def write(path, question, results, about):
    with open(path, "w") as file:
        json.dump({"question": question, "machine": about, "results": results}, file, indent=1)
        file.write("\n")
