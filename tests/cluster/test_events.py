# SPDX-License-Identifier: GPL-2.0-or-later
"""event.list: what happened, from any server, without a gap and without a repeat."""

import json
import os
import subprocess
import time

from harness import BIN, SLOW, ClusterTest, GIB, main, wait_until

WAIT_MS = 15000
PROMPT_S = 6.0 * SLOW


def numbers(events):
    return [(event["revision"], event["index"]) for event in events]


class Events(ClusterTest):
    def all(self, server, **params):
        """Every page."""
        events = []
        while True:
            page = server.call("event.list", params)
            events += page.get("events", [])
            params = {**params, "after_revision": page["revision"], "after_index": page.get("index", 0)}
            if not page.get("more"):
                return events

    def switch(self, cluster, name="node1"):
        """One event."""
        cordoned = cluster.call("node.get", {"name": name})["node"].get("cordoned", False)
        return cluster.call("node.uncordon" if cordoned else "node.cordon", {"name": name})["revision"]

    def waiting(self, server, **params):
        connection = server.connect()
        self.addCleanup(connection.close)
        msgid = connection.request("event.list", {"wait_ms": WAIT_MS, **params})
        # The server takes what came before on the same connection first, so from here on it waits.
        connection.call("server.info")
        return connection, msgid

    def test_every_server_tells_the_same(self):
        cluster = self.make()
        self.rack(cluster)
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB})
        self.online(cluster, "vol")
        cluster.call("volume.delete", {"name": "vol"})
        wait_until("the volume is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0)
        cluster.check_replicas()
        lists = [self.all(server) for server in cluster.servers]
        self.assertEqual(lists[0], lists[1])
        self.assertEqual(lists[0], lists[2])
        self.assertEqual(lists[0], self.all(cluster.servers[1], limit=1))
        kinds = [event["kind"] for event in lists[0]]
        self.assertEqual(kinds[0], "cluster-created")
        self.assertEqual(kinds.count("node-added"), 3)
        self.assertEqual(kinds.count("volume-created"), 1)
        phases = [event["state"] for event in lists[0] if event["kind"] == "volume-phase"]
        self.assertEqual(
            phases, ["assembling", "exporting", "online", "unexporting", "dismantling", "releasing"]
        )
        self.assertEqual(numbers(lists[0]), sorted(set(numbers(lists[0]))))
        self.assertEqual([e for e in lists[0] if e.get("volume") == "v1"], self.all(cluster.servers[2], volume="v1"))
        self.assertEqual([e for e in lists[0] if e.get("node") == "node2"], self.all(cluster.servers[2], node="node2"))

    def test_an_event_wakes(self):
        cluster = self.make()
        self.rack(cluster)
        for server in [cluster.leader()] + cluster.followers():
            after = wait_until("it is up to date", lambda s=server: s.call("event.list")["revision"])
            connection, msgid = self.waiting(server, after_revision=after)
            other, other_id = self.waiting(server, after_revision=after, node="node2", wait_ms=500)
            begun = time.monotonic()
            revision = self.switch(cluster)
            answer = connection.response(msgid)
            self.assertLess(time.monotonic() - begun, PROMPT_S)
            self.assertEqual(numbers(answer["events"]), [(revision, 1)])
            self.assertEqual(answer["revision"], revision)
            # It was not about that node; what was looked at need not be looked at again.
            answer = other.response(other_id)
            self.assertEqual(answer.get("events", []), [])
            self.assertGreaterEqual(answer["revision"], revision)

    def test_who_is_cut_off_says_so(self):
        cluster = self.make()
        after = cluster.servers[0].call("event.list")["revision"]
        for server in cluster.servers[1:]:
            server.kill()
        wait_until("it knows no leader", lambda: cluster.servers[0].info()["role"] != "leader")
        self.refused(
            "UNAVAILABLE",
            lambda: cluster.servers[0].call("event.list", {"after_revision": after, "wait_ms": WAIT_MS}),
            "no server leads",
        )
        # What it knows, it tells.
        self.assertEqual(cluster.servers[0].call("event.list")["events"][0]["kind"], "cluster-created")

    def test_input(self):
        cluster = self.make()
        server = cluster.servers[0]
        self.refused("INVALID_ARGUMENT", lambda: server.call("event.list", {"wait_ms": 15001}), "wait_ms")
        self.refused("INVALID_ARGUMENT", lambda: server.call("event.list", {"after": 3}), "after")
        page = server.call("event.list", {"after_revision": 1 << 63, "after_index": 5})
        self.assertEqual((page["revision"], page["index"]), (1 << 63, 5))

    def test_not_a_cluster_yet(self):
        cluster = self.make(init=False)
        self.refused("FAILED_PRECONDITION", lambda: cluster.servers[0].call("event.list"), "not part of a cluster")

    def watch(self, cluster, *options):
        servers = ",".join(server.api for server in cluster.servers)
        process = subprocess.Popen(
            [os.path.join(BIN, "dnvme"), "event", "watch", "-s", servers, "-o", "json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_a_watch_outlives_servers(self):
        """Servers die one after the other under those who watch: each sees every event once."""
        cluster = self.make()
        self.rack(cluster)
        watchers = [self.watch(cluster) for _ in range(3)]
        # All of them have begun.
        seen = [[json.loads(w.stdout.readline())] for w in watchers]
        for _ in range(3):
            leader = cluster.leader()
            for _ in range(5):
                self.switch(cluster)
            leader.kill()
            self.switch(cluster, "node2")
            leader.start()
            wait_until("it is back", leader.info)
        last = self.switch(cluster, "node3")
        for watcher, events in zip(watchers, seen):
            while events[-1]["revision"] < last:
                events.append(json.loads(watcher.stdout.readline()))
        cluster.check_replicas()
        wanted = self.all(cluster.leader())
        for events in seen:
            self.assertEqual(numbers(events), numbers(wanted))
            self.assertEqual([event["kind"] for event in events], [event["kind"] for event in wanted])


if __name__ == "__main__":
    main()
