# SPDX-License-Identifier: GPL-2.0-or-later
"""Power that is lost again while the server starts after a power loss: the start is recorded, and cut at every moment."""

import argparse
import copy
import random
import time

import disk
import harness
import real
import told
import trace
import workload


def record(image, about, kind, program):
    """Start on a medium, take a command or two, die: the events, the medium as it was before, and the revision of the
    state that was found on it."""
    cluster = harness.Cluster(1, workload.SERVER_OPTIONS)
    cluster.network = about.api.rsplit(".", 1)[0]
    victim = workload.RecordedServer(cluster, about.number, program, boot=2)
    cluster.servers = [victim]
    try:
        image.make(victim.root)
        medium = disk.Disk()
        medium.load(victim.root)
        victim.start()
        revision = 0
        if kind == "alone" and victim.info()["role"] != "uninitialized":
            status = harness.wait_until("it answers", lambda: cluster.leader().call("cluster.status"))
            revision = status["revision"]
            for node in cluster.leader().call("node.list").get("nodes", [])[:1]:
                cluster.retry("node.drain", {"name": node["node"]["name"]})
                cluster.retry("node.uncordon", {"name": node["node"]["name"]})
        victim.crash()
        return trace.read(victim.trace), medium, revision
    finally:
        for server in cluster.alive():
            server.kill()
        cluster.remove()


def examine(events, about, kind, digests, options, report, examine_events):
    begun = time.monotonic()
    wanted = real.moments(events, f"{options.seed}/again", options.again)
    replay, report.replay = report.replay, None  # each such start goes its own way
    inner = argparse.Namespace(**{**vars(options), "moments": None, "moment": None, "part": None})
    medium = disk.Disk()
    listener = told.Listener(events, about.number, harness.API_PORT, harness.RAFT_PORT)
    moments = media = starts = 0
    for moment, event in enumerate(events):
        medium.apply(event)
        listener.hear(event)
        if moment not in wanted:
            continue
        source = random.Random(f"{options.seed}/again/{moment}")
        choice = disk.Choice(source.choice(("none", "pages", "sectors")), source.choice(("none", "prefix")), source)
        second, base, revision = record(disk.Image(medium, choice), about, kind, options.program)
        # What was not told may be lost, and another command has its revision then.
        same = {known: digest for known, digest in digests.items() if known <= revision}
        found = sum(report.failures.values())
        before = copy.deepcopy(listener.told)
        counts = examine_events(second, about, kind, same, inner, report, base, before)
        moments, media, starts = moments + counts[0], media + counts[1], starts + counts[2]
        if sum(report.failures.values()) > found:
            print(f"  that was in a start after a power loss after event {moment} ({choice})")
    report.replay = replay
    print(
        f"{len(wanted)} starts after a power loss cut at {moments} moments: {media} media, {starts} of them different, "
        f"{time.monotonic() - begun:.1f} s"
    )
