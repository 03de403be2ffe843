#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs fault scenarios, all of one shape on one rack.

usage: faults.py [--bin FOLDER] [--driver uml|qemu] [--kernel 6.1|6.12] [--seed N] [--faults N] [--keep] [--list] [SCENARIO|TOPIC…]
"""
import argparse
import importlib
import json
import os
import pkgutil
import random
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import scenario  # noqa: E402
import scenarios  # noqa: E402
from rig import ROOT, Rig  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description="Runs fault scenarios on virtual racks.")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "release", "bin"), help="folder of the programs")
    parser.add_argument("--driver", default="uml", choices=("uml", "qemu"))
    parser.add_argument("--kernel", help="of uml guests: 6.1 or 6.12")
    parser.add_argument("--name", default=f"faults-{os.getpid()}", help="name of the rack")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), help="of random faults")
    parser.add_argument("--faults", type=int, default=50, help="how many random faults")
    parser.add_argument("--module", help="the write-through target, instead of building it (uml guests)")
    parser.add_argument("--hours", type=float, default=0, help="repeat for so long")
    parser.add_argument("--keep", action="store_true", help="leave the rack as it is when a scenario fails")
    parser.add_argument("--logs", default=os.path.join(ROOT, "build", "faults"), help="what is collected of failures")
    parser.add_argument("--collect", action="store_true", help="of what passes as well, before it is cleared away")
    parser.add_argument("--figures", help="write the figures to this file, as JSON")
    parser.add_argument("--no-limits", action="store_true",
                        help="tell times, fail on none: how loaded this machine is says nothing of what is lost")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("scenarios", nargs="*", help="names, or topics; all if none")
    return parser.parse_args()


def chosen(wanted):
    if not wanted:
        return list(scenario.SCENARIOS)
    names = []
    for word in wanted:
        found = [name for name in scenario.SCENARIOS if name == word or name.startswith(word + ".")]
        if not found:
            sys.exit(f"faults.py: there is no scenario {word}: see --list")
        names += found
    return names


class Runner:
    def __init__(self, options):
        self.options = options
        self.rig = None
        self.failed, self.passed, self.figures = [], [], []

    def rig_for(self, shape):
        if self.rig is not None and self.rig.shape.key() != shape.key():
            self.drop()
        if self.rig is None:
            self.rig = Rig(self.options.name, self.options.bin, shape, self.options.driver,
                           self.options.kernel)
            self.rig.seed, self.rig.fault_count = self.options.seed, self.options.faults
            self.rig.module = self.options.module
            self.rig.limits = not self.options.no_limits
            self.rig.up()
        return self.rig

    def drop(self):
        if self.rig is not None:
            self.rig.down()
            self.rig = None

    def run(self, name):
        function, shape = scenario.SCENARIOS[name]
        print(f"--- {name}: {' '.join((function.__doc__ or '').split())}", flush=True)
        begin = time.monotonic()
        try:
            rig = self.rig_for(shape)
            rig.figures = []
            function(rig)
            if self.options.collect:
                rig.collect(os.path.join(self.options.logs, name))
            rig.reset()
        except KeyboardInterrupt:
            raise
        except Exception as error:  # whatever it was, the next scenario gets a fresh rack
            self.failed.append(name)
            print(f"FAILED {name} after {time.monotonic() - begin:.0f} s: {error}", flush=True)
            traceback.print_exc(limit=-4)
            if self.rig is not None:
                folder = os.path.join(self.options.logs, name)
                try:
                    self.rig.collect(folder)
                    print(f"logs: {folder}", flush=True)
                except Exception as second:  # a failing collection must not hide the failure
                    print(f"logs could not be collected: {second}", flush=True)
                if self.options.keep:
                    sys.exit(f"the rack {self.options.name} is left as it is")
                self.drop()
            return
        self.figures.append({"scenario": name, "seconds": round(time.monotonic() - begin, 1), "figures": rig.figures})
        self.passed.append(name)
        print(f"passed {name} in {time.monotonic() - begin:.0f} s", flush=True)


def main():
    options = arguments()
    for module in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda module: module.name):
        importlib.import_module(f"scenarios.{module.name}")
    if options.list:
        for name, (function, _) in scenario.SCENARIOS.items():
            print(f"{name:40} {' '.join((function.__doc__ or '').split())}")
        return 0
    runner = Runner(options)
    end = time.monotonic() + options.hours * 3600
    print(f"seed {options.seed}", flush=True)
    try:
        while True:
            for name in chosen(options.scenarios):
                runner.run(name)
            if runner.failed or time.monotonic() >= end:
                break
            options.seed += 1
            if runner.rig is not None:
                runner.rig.seed = options.seed
            print(f"seed {options.seed}", flush=True)
    finally:
        if not options.keep or not runner.failed:
            runner.drop()
    if options.figures:
        with open(options.figures, "w", encoding="utf-8") as out:
            json.dump(runner.figures, out, indent=1)
    print(f"{len(runner.passed)} passed, {len(runner.failed)} failed{': ' if runner.failed else ''}{' '.join(runner.failed)}")
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
