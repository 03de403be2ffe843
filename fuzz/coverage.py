#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""coverage.py BUILD SECONDS [TARGET…]: which lines of its decoder (decoders.txt) each target reaches, from the corpus and
so many seconds of fuzzing. BUILD has the programs of the preset fuzz-coverage."""
import fnmatch
import json
import os
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(SOURCE)


def decoders():
    with open(os.path.join(SOURCE, "decoders.txt"), encoding="utf-8") as lines:
        return {words[0]: words[1:] for words in map(str.split, lines) if words}


def profile(program, target, seconds, folder):
    """Run, and have the counters in one file."""
    environment = dict(os.environ, LLVM_PROFILE_FILE=os.path.join(folder, "%p.profraw"))
    options = ["-runs=0"] if seconds == 0 else []
    run = subprocess.run([os.path.join(SOURCE, "run.sh"), program, SOURCE, target, str(seconds or 60)] + options,
                         env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                         check=False)
    if run.returncode != 0:
        sys.exit(run.stdout + f"{target} failed")
    merged = os.path.join(folder, "merged")
    raw = [os.path.join(folder, name) for name in os.listdir(folder)]
    subprocess.run(["llvm-profdata", "merge", "-sparse", "-o", merged] + raw, check=True)
    return merged


def lines_of(program, merged, build):
    """Lines, and those reached, of each file below the root."""
    export = subprocess.run(["llvm-cov", "export", "-summary-only", "-instr-profile", merged, program],
                            stdout=subprocess.PIPE, cwd=build, check=True)
    for entry in json.loads(export.stdout)["data"][0]["files"]:
        path = os.path.relpath(os.path.normpath(os.path.join(build, entry["filename"])), ROOT)
        yield path, entry["summary"]["lines"]["count"], entry["summary"]["lines"]["covered"]


def main():
    build, seconds, targets = os.path.abspath(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    for target, patterns in decoders().items():
        if targets and target not in targets:
            continue
        program = os.path.join(build, "bin", f"fuzz_{target}")
        with tempfile.TemporaryDirectory() as folder:
            merged = profile(program, target, seconds, folder)
            files = [entry for entry in lines_of(program, merged, build)
                     if any(fnmatch.fnmatch(entry[0], pattern) for pattern in patterns)]
        count, covered = sum(f[1] for f in files), sum(f[2] for f in files)
        print(f"{target:<15} {100 * covered / count:5.1f} % of {count} lines")
        for path, lines, reached in files:
            print(f"    {path:<40} {100 * reached / lines:5.1f} % of {lines}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
