# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed program on media that a power loss may have left, as an operator would start it."""

import os
import random
import shutil
import tempfile
import time

import disk
import harness
import told
import workload


def moments(events, seed, count):
    """Spread over the whole work, not before there is a cluster."""
    begin = next(n for n, event in enumerate(events) if event.name == "data/member" or event.other == "data/member")
    return sorted(random.Random(f"{seed}/real").sample(range(begin, len(events)), count))


class Sample:
    def __init__(self, about, directory, digests):
        self.about, self.directory, self.digests = about, directory, digests

    def group(self, place):
        """The group as it was: same addresses; the others go on from where they ended."""
        count = workload.WORKLOADS[self.about.workload][1]
        cluster = harness.Cluster(count, workload.SERVER_OPTIONS)
        cluster.network = self.about.api.rsplit(".", 1)[0]
        cluster.servers = [harness.Server(cluster, number) for number in range(1, count + 1)]
        cluster.servers[0].directory = os.path.join(place, "data")
        for server in cluster.servers[1:]:
            shutil.copytree(os.path.join(self.directory, f"server{server.number}"), server.directory)
        return cluster

    def start(self, image, promises):
        """None, or the sentence that says what is wrong."""
        place = tempfile.mkdtemp(prefix="dnvme-power-real-")
        image.make(os.path.join(place, "disk"))
        cluster = self.group(os.path.join(place, "disk"))
        try:
            for server in reversed(cluster.servers):
                server.start()
            return self.wrong(cluster, promises)
        except Exception as error:
            return f"{error!r}\n{cluster.servers[0].log()[-2000:] if os.path.exists(cluster.servers[0].log_path) else ''}"
        finally:
            for server in cluster.alive():
                server.kill()
            cluster.remove()
            shutil.rmtree(place)

    def wrong(self, cluster, promises):
        leader = cluster.leader()
        revision = leader.call("cluster.status")["revision"]
        digest = leader.info(digest=True)["digest"]
        if revision < promises.revision:
            return f"its state has revision {revision}, {promises.revision} was told"
        if revision in self.digests and self.digests[revision] != digest:
            return f"its state at revision {revision} is another one"
        # It takes commands, and every server has them.
        for node in leader.call("node.list").get("nodes", [])[:1]:
            cluster.retry("node.drain", {"name": node["node"]["name"]})
        cluster.check_replicas()
        wrong = cluster.stop()
        return f"they did not stop as they should: {wrong}" if wrong else None


def examine(events, about, directory, digests, options, report):
    begun = time.monotonic()
    wanted = moments(events, options.seed, options.real)
    sample = Sample(about, directory, digests)
    medium = disk.Disk()
    listener = told.Listener(events, about.number, harness.API_PORT, harness.RAFT_PORT)
    for moment, event in enumerate(events):
        medium.apply(event)
        listener.hear(event)
        if moment not in wanted:
            continue
        source = random.Random(f"{options.seed}/real/{moment}")
        choice = disk.Choice(source.choice(("none", "pages", "sectors")), source.choice(("none", "prefix")), source)
        image = disk.Image(medium, choice)
        sentence = sample.start(image, listener.told)
        if sentence is not None:
            report.failure(moment, "real", choice, event, listener.told, image, sentence)
    print(f"dnvmed itself on {len(wanted)} media, {time.monotonic() - begun:.1f} s")
