#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Power loss at every moment: does a server start, and does it hold what it told others?

A workload runs once in the recorder. Then, for each moment of it, media are made that a power loss may have left
behind, and a server is started on each. See docs/TESTING.md.
"""

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))

import again
import disk
import harness
import real
import told
import trace
import workload

KEPT_MAX = 5  # failures whose medium is kept


class Recover:
    """power_recover, several at a time: what a server holds that starts on a directory."""

    WORKERS = 4  # a start mostly waits

    def __init__(self, victim, kind, program):
        arguments = [os.path.join(harness.BIN, program), str(victim.number), victim.api, victim.raft, kind]
        self.workers = [
            subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(self.WORKERS)
        ]
        self.known = {}  # digest of an image: answer
        self.directory = tempfile.mkdtemp(
            prefix="dnvme-power-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
        )
        self.starts = 0

    def start(self, images):
        """The answer of each."""
        keys = [image.digest() for image in images]
        new = {key: image for key, image in zip(keys, images) if key not in self.known}
        waiting = list(new)
        while waiting:
            running = list(zip(self.workers, waiting))
            del waiting[: len(running)]
            for number, (worker, key) in enumerate(running):
                place = os.path.join(self.directory, str(number))
                new[key].make(place)
                worker.stdin.write(os.path.join(place, "data") + "\n")
                worker.stdin.flush()
            for number, (worker, key) in enumerate(running):
                self.known[key] = json.loads(worker.stdout.readline())
                shutil.rmtree(os.path.join(self.directory, str(number)))
                self.starts += 1
        return [self.known[key] for key in keys]

    def close(self):
        for worker in self.workers:
            worker.stdin.close()
            worker.wait()
        shutil.rmtree(self.directory)


class Check:
    """What must be so after a power loss, given what the server had told by then."""

    def __init__(self, kind, digests):
        self.kind = kind
        self.digests = dict(digests)
        self.stored = 0  # Raft index up to which the log must be there
        self.stored_changes = 0

    @staticmethod
    def last(answer):
        return max(answer.get("start", 1) + len(answer.get("terms", [])) - 1, answer.get("snapshot_index", 0))

    @staticmethod
    def term_at(answer, index):
        at = index - answer.get("start", 1)
        if 0 <= at < len(answer.get("terms", [])):
            return answer["terms"][at]
        return answer.get("snapshot_term") if index == answer.get("snapshot_index", 0) else None

    def moment(self, promises, whole):
        """`whole`: what a server holds that finds everything, as after the death of a process only."""
        if promises.stored_changes != self.stored_changes:
            self.stored = promises.stored
            self.stored_changes = promises.stored_changes
        # Entries that another leader replaced need not be there.
        if "refused" not in whole and "failed" not in whole:
            self.stored = min(self.stored, self.last(whole))

    def wrong(self, answer, promises, whole):
        """The sentence that says what is wrong, or None."""
        if "failed" in answer:
            return f"{answer['failed']} ({answer['status']}): {answer['log'][-500:]}"
        if "refused" in answer:
            return f"refused in {answer['where']}: {answer['refused']} (hint: {answer['hint']})"
        if promises.cluster and answer["cluster"] != promises.cluster:
            return f"it knows the cluster {answer['cluster']}"
        if self.kind == "alone":
            return self.wrong_state(answer, promises)
        return self.wrong_log(answer, promises, whole)

    def wrong_state(self, answer, promises):
        revision, digest = answer["revision"], answer["digest"]
        if revision < promises.revision:
            return f"its state has revision {revision}, {promises.revision} was told"
        if self.digests.setdefault(revision, digest) != digest:
            return f"its state at revision {revision} is another one"
        return None

    def wrong_log(self, answer, promises, whole):
        term, vote = answer.get("term", 0), answer.get("vote", 0)
        if term < promises.term:
            return f"its term is {term}, {promises.term} was told"
        if term in promises.votes and vote != promises.votes[term]:
            return f"in term {term} it voted for {vote}, {promises.votes[term]} was told"
        if self.last(answer) < self.stored:
            return f"its log ends at {self.last(answer)}, {self.stored} was told"
        for index in range(max(1, self.stored - 64), self.stored + 1):
            terms = self.term_at(answer, index), self.term_at(whole, index)
            if None not in terms and terms[0] != terms[1]:
                return f"entry {index} is of term {terms[0]}, not {terms[1]}"
        return None


def choices(seed, moment, count):
    """All that is certain, and `count` parts of what is not."""
    chosen = [disk.Choice("none", "none")]
    source = random.Random(f"{seed}/{moment}")
    kinds = [
        (data, names)
        for data in ("pages", "sectors", "all", "none")
        for names in ("prefix", "any", "all", "none")
        if (data, names) not in (("none", "none"), ("all", "all"))
    ]
    for number in range(count):
        data, names = source.choice(kinds)
        chosen.append(disk.Choice(data, names, random.Random(f"{seed}/{moment}/{number}")))
    return chosen


class Report:
    def __init__(self, options, replay):
        self.options, self.replay = options, replay
        self.failures = collections.Counter()
        self.shown = 0

    def failure(self, moment, number, choice, event, promises, image, sentence):
        names = "ordered names" if choice.names != "any" else "unordered names"
        self.failures[names] += 1
        if self.shown >= KEPT_MAX:
            return
        self.shown += 1
        print(f"power loss after event {moment} ({event}), part {number} ({choice}): {sentence}")
        print(f"  told: {promises}")
        if self.replay:
            print(f"  replay: {self.replay} --parts {self.options.parts} --moment {moment} --part {number}")
        if self.options.keep:
            place = os.path.join(self.options.keep, f"{moment}-{number}")
            shutil.rmtree(place, ignore_errors=True)
            os.makedirs(self.options.keep, exist_ok=True)
            image.make(place)
            print(f"  the medium: {place}")
        else:
            print(image.summary())


def examine(events, victim, kind, digests, options, report, medium=None, before=None):
    """Every moment, or as many as are wanted; returns how many moments, media and starts there were, and what was told.

    `medium` and `before`: what was there and what was told before the first event."""
    medium = medium or disk.Disk()
    listener = told.Listener(events, victim.number, harness.API_PORT, harness.RAFT_PORT, before)
    check = Check(kind, digests)
    recover = Recover(victim, kind, options.recover)
    moments = media = 0
    wanted = moments_wanted(events, options)
    try:
        for moment, event in enumerate(events):
            changed = medium.apply(event)
            heard = listener.hear(event)
            if moment not in wanted or not (changed or heard):
                continue
            if options.caught and report.failures:
                break
            moments += 1
            chosen = [disk.Choice("all", "all")]
            if options.moment in (None, moment):
                parts = options.parts * (4 if medium.first_write_undecided() else 1)
                chosen += choices(options.seed, moment, parts)
            images = [disk.Image(medium, choice) for choice in chosen]
            answers = recover.start(images)
            whole = answers[0]
            check.moment(listener.told, whole)
            for number, (choice, image, answer) in enumerate(zip(chosen, images, answers)):
                if options.part not in (None, number) or options.moment not in (None, moment):
                    continue
                media += 1
                sentence = check.wrong(answer, listener.told, whole)
                if sentence is not None:
                    report.failure(moment, number, choice, event, listener.told, image, sentence)
    finally:
        recover.close()
    return moments, media, recover.starts, listener.told


def moments_wanted(events, options):
    if options.moment is not None:
        # The log's floor depends on what went before.
        return {number for number, event in enumerate(events) if event.kind == "unlink"} | {options.moment}
    if options.moments is None:
        return set(range(len(events)))
    source = random.Random(f"{options.seed}/moments")
    wanted = set(source.sample(range(len(events)), min(options.moments, len(events))))
    # What is told must be there from that moment on; later it mostly is.
    told_at = [number for number, event in enumerate(events) if event.kind == "send_begin"]
    wanted.update(source.sample(told_at, min(options.moments, len(told_at))))
    # Names are few and matter most.
    for number, event in enumerate(events):
        if event.kind in ("unlink", "rename", "link", "end"):
            wanted.update((number, number + 1))
    return wanted


def record(options, directory):
    recording = workload.record(options.workload, options.program, options.length, options.caught)
    os.makedirs(directory, exist_ok=True)
    shutil.copy(recording.victim.trace, os.path.join(directory, "trace"))
    victim = recording.victim
    about = {
        "workload": options.workload,
        "number": victim.number,
        "api": victim.api,
        "raft": victim.raft,
        "digests": {str(revision): digest for revision, digest in recording.digests.items()},
    }
    for server in recording.cluster.servers[1:]:
        shutil.copytree(server.directory, os.path.join(directory, f"server{server.number}"))
    with open(os.path.join(directory, "about"), "w") as file:
        json.dump(about, file)
    recording.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workload", choices=sorted(workload.WORKLOADS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--length", type=int, default=24, help="commands in a row (%(default)s)")
    parser.add_argument("--moments", type=int, help="look at so many moments only, and at all that change names")
    parser.add_argument("--parts", type=int, default=3, help="media for each moment besides the certain one")
    parser.add_argument("--program", default="power_dnvmed", help="the server to record")
    parser.add_argument("--recover", default="power_recover", help="what starts on the media")
    parser.add_argument("--trace", help="where the recording is, or goes; one that is there is used again")
    parser.add_argument("--moment", type=int, help="look at this moment only")
    parser.add_argument("--part", type=int, help="and at this medium")
    parser.add_argument("--real", type=int, default=0, help="start the installed program on so many media as well")
    parser.add_argument("--again", type=int, default=0, help="record so many starts after a power loss, and cut them")
    parser.add_argument("--keep", help="a directory for the media of the first failures")
    parser.add_argument("--caught", action="store_true", help="the program has a planted bug: succeed if it is found")
    options = parser.parse_args()
    directory = options.trace or tempfile.mkdtemp(prefix="dnvme-power-trace-")
    started = time.monotonic()
    if not os.path.exists(os.path.join(directory, "about")):
        record(options, directory)
    recorded = time.monotonic()
    with open(os.path.join(directory, "about")) as file:
        about = json.load(file)
    victim = argparse.Namespace(**about)
    events = trace.read(os.path.join(directory, "trace"))
    replay = f"DNVME_BIN={harness.BIN} {sys.argv[0]} {options.workload} --seed {options.seed} --trace {directory}"
    report = Report(options, replay)
    kind = "alone" if workload.WORKLOADS[about["workload"]][1] == 1 else "member"
    digests = {int(revision): digest for revision, digest in about["digests"].items()}
    moments, media, starts, promises = examine(events, victim, kind, digests, options, report)
    checked = time.monotonic()
    if options.again and not report.failures:
        again.examine(events, victim, kind, digests, options, report, examine)
    if options.real and not report.failures:
        real.examine(events, victim, directory, digests, options, report)
    print(
        f"{options.workload}: seed {options.seed}, {len(events)} events recorded in {recorded - started:.1f} s; "
        f"{moments} moments, {media} media, {starts} of them different, {checked - recorded:.1f} s; "
        f"told: {promises.answers} answers, {promises}; "
        f"failures: {sum(report.failures.values())} {dict(report.failures) or ''}"
    )
    found = bool(report.failures)
    if not found and not options.trace:
        shutil.rmtree(directory)
    if options.caught:
        print("the planted bug was caught" if found else "the planted bug was NOT caught")
        return 0 if found else 1
    return 1 if found else 0


if __name__ == "__main__":
    try:
        status = main()
    finally:
        reports = harness.sanitizer_reports()
        os.rmdir(harness.REPORTS)
    if reports:
        print(reports, file=sys.stderr)
    sys.exit(status or bool(reports))
