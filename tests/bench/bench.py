#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast it is, one program for each question; docs/PERFORMANCE.md says what came of it and what it means.

    commits   committed commands per second and their latency, beside bare libraft and etcd
    create    volumes made per second, until they are online, with few volumes and with many, beside raw puts of etcd
    gap       how long no command is committed when the leader dies, stops, is cut off, or hands over
    nodes     what heartbeats of many nodes cost, how soon a new leader has them all, and how soon a dead one is planned away
    restart   how long a start takes with many volumes, and what memory and time servers use
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "cluster")]

SKIPPED = 77
QUESTIONS = ("commits", "create", "gap", "nodes", "restart")


def arguments_parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="*", help="one or more of: " + ", ".join(QUESTIONS) + " (all)")
    parser.add_argument("--bin", help="folder of the programs")
    parser.add_argument("--out", help="folder for results, and for what servers write: on a real disk")
    parser.add_argument("--seconds", type=float, default=2.0, help="that are measured at a time (2)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken (3)")
    parser.add_argument("--faults", type=int, default=10, help="gap: of each kind (10)")
    parser.add_argument("--server-option", action="append", default=[], help="gap: of dnvmed; may be repeated")
    parser.add_argument("--volumes", type=int, default=100000, help="restart (100000)")
    parser.add_argument("--nodes", type=int, default=1000, help="nodes (1000)")
    parser.add_argument("--without-etcd", dest="etcd", action="store_false", help="do not compare with etcd")
    parser.add_argument("--smoke", action="store_true", help="only whether the programs work, in seconds")
    return parser.parse_args()


def etcd_missing():
    """What is not here of what a comparison with etcd needs."""
    if not shutil.which("etcd"):
        return "there is no etcd (Debian: etcd-server)"
    load = os.path.join(os.environ["DNVME_BIN"], "bench_load")
    tried = subprocess.run([load, "--protocol=etcd"], capture_output=True, text=True, check=False).stderr
    return "bench_load was built without libnghttp2" if "no protocol" in tried else None


def answer(question, arguments, report):
    module = __import__(question)
    about = report.machine(arguments.out)
    results, tables = module.run(arguments)
    report.write(os.path.join(arguments.out, f"{question}.json"), question, results, about)
    print(f"## {question}")
    print(", ".join(f"{key} {value}" for key, value in about.items()) + "\n")
    for table in tables:
        print(table.text() + "\n")
    sys.stdout.flush()


def main():
    arguments = arguments_parse()
    for question in arguments.question:
        if question not in QUESTIONS:
            sys.exit(f"bench: there is no question {question}; there are: {', '.join(QUESTIONS)}")
    os.environ.setdefault("DNVME_BIN", os.path.abspath(arguments.bin))
    import harness
    import report

    os.makedirs(arguments.out, exist_ok=True)
    tempfile.tempdir = tempfile.mkdtemp(prefix="run-", dir=os.path.abspath(arguments.out))
    if arguments.etcd and (missing := etcd_missing()):
        print(f"bench: etcd is left out: {missing}", file=sys.stderr)
        arguments.etcd = False
    answered = 0
    try:
        for question in arguments.question or QUESTIONS:
            if question == "gap" and os.geteuid() != 0:
                print("bench: gap is left out: it makes network namespaces, which needs root", file=sys.stderr)
                continue
            answer(question, arguments, report)
            answered += 1
    finally:
        shutil.rmtree(tempfile.tempdir, ignore_errors=True)
        os.rmdir(harness.REPORTS)
    sys.exit(0 if answered else SKIPPED)


if __name__ == "__main__":
    main()
