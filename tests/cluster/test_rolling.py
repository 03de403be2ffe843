# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers are restarted, and brought to the next version, one after the other, while clients of libdnvme go on: no request
fails, and none takes long.

The next version is `dnvmed_canaries` with the planted change `next_version`: it knows one more version of the state.
"""

import itertools
import json
import os
import subprocess
import threading
import time

from harness import BIN, SLOW, Cluster, ClusterTest, Server, main, wait_until

CLIENTS = 8
LONGEST_S = 2.0


class Client(threading.Thread):
    """Calls again and again, one after the other, over libdnvme; it repeats nothing by itself."""

    def __init__(self, cluster, calls, servers=None):
        super().__init__(daemon=True)
        self.calls = calls  # gives method and params
        self.ending = threading.Event()
        self.done = 0
        self.longest = (0.0, None)
        self.failures = []
        addresses = ",".join(server.api for server in servers or cluster.servers)
        self.process = subprocess.Popen(
            [os.path.join(BIN, "attack_client"), addresses], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.start()

    def run(self):
        for method, params in self.calls:
            if self.ending.is_set():
                break
            began = time.monotonic()
            self.process.stdin.write(f"30000 - {method} {json.dumps(params)}\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
            self.longest = max(self.longest, (time.monotonic() - began, method), key=lambda pair: pair[0])
            self.done += 1
            if not answer.startswith("ok "):
                self.failures.append(f"{method} {params}: {answer.strip()}")
        self.process.stdin.close()
        self.process.wait(20 * SLOW)
        self.process.stdout.close()

    def end(self):
        self.ending.set()
        self.join(60 * SLOW)


class Stalls(threading.Thread):
    """How long the machine and its disk kept everybody waiting, at the longest."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.path = os.path.join(directory, "stalls")
        self.ending = threading.Event()
        self.longest_s = 0.0
        self.start()

    def run(self):
        with open(self.path, "wb", buffering=0) as file:
            before = time.monotonic()
            while not self.ending.wait(0.02):
                file.write(bytes(512))
                os.fdatasync(file)
                now = time.monotonic()
                self.longest_s = max(self.longest_s, now - before - 0.02)
                before = now


class Versioned(Server):
    """Of this version, or the next."""

    next = False

    def arguments(self):
        program, *rest = super().arguments()
        if not self.next:
            return [program, *rest]
        return ["env", "DNVME_CANARY=next_version", f"{program}_canaries", *rest]


class Rolling(ClusterTest):
    def make(self):
        cluster = Cluster(0)
        cluster.servers = [Versioned(cluster, number) for number in (1, 2, 3)]
        self.addCleanup(cluster.remove)
        self.addCleanup(self.end, cluster)
        cluster.start()
        cluster.init()
        return cluster

    def clients(self, cluster):
        """Reads and changes of all kinds, and a client that makes volumes and removes them."""
        settings = (("cluster.set", {"settings": {"rebuild_after_ms": value}}) for value in itertools.count(1000))
        cordons = itertools.cycle([("node.cordon", {"name": "node1"}), ("node.uncordon", {"name": "node1"})])
        names = (f"v{number}x" for number in itertools.count(1))
        volumes = (
            call
            for name in names
            for call in (
                ("volume.create", {"name": name, "size_bytes": 1 << 26, "copies": 1}),
                ("volume.get", {"name": name}),
                ("volume.delete", {"name": name}),
            )
        )
        reads = itertools.cycle([("node.list", {}), ("volume.list", {}), ("cluster.status", {}), ("event.list", {"limit": 8})])
        # It is given one server only, which it asks for the others first.
        alone = itertools.chain([("cluster.status", {})], (("node.list", {}) for _ in itertools.count()))
        kinds = [settings, cordons, volumes, *([reads] * (CLIENTS - 4))]
        lock = threading.Lock()

        def safe(calls):
            while True:
                with lock:
                    call = next(calls)
                yield call

        clients = [Client(cluster, safe(calls)) for calls in kinds] + [Client(cluster, alone, cluster.servers[:1])]
        for client in clients:
            self.addCleanup(client.end)
        self.stalls = Stalls(cluster.directory)
        self.addCleanup(self.stalls.ending.set)
        return clients

    def ended(self, clients):
        for client in clients:
            client.end()
        self.stalls.ending.set()
        longest, method = max((client.longest for client in clients), key=lambda pair: pair[0])
        done, stall = sum(client.done for client in clients), self.stalls.longest_s
        print(f"{done} requests of {len(clients)} clients; the longest: {longest:.3f} s, {method}; machine: {stall:.3f} s")
        self.assertEqual([line for client in clients for line in client.failures], [])
        for client in clients:
            self.assertGreater(client.done, 20)
        self.assertLess(longest, LONGEST_S * SLOW + 2 * stall)

    def restart(self, cluster, server):
        """One that leads is stopped as an operator does it."""
        if server.info()["role"] != "leader":
            cluster.retry("cluster.transfer", {"name": f"s{server.number}"})
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        print(f"server {server.number} ended within {time.monotonic() - began:.3f} s")
        # Leadership went before the server did.
        self.assertIn("leader", [other.info()["role"] for other in cluster.alive()])
        server.start()
        wait_until(
            "it has caught up",
            lambda: server.info()["applied_index"] + 100 >= cluster.leader().info()["applied_index"],
        )

    def test_restart(self):
        cluster = self.make()
        self.rack(cluster)
        clients = self.clients(cluster)
        for server in cluster.servers:
            self.restart(cluster, server)
        self.ended(clients)
        cluster.check_replicas()

    def state_version(self, cluster):
        return cluster.retry("cluster.status", {}).get("state_version", 1)

    def test_upgrade(self):
        """What is new is used when all servers know it, and not before; who does not know it takes no part any more."""
        cluster = self.make()
        self.rack(cluster)
        clients = self.clients(cluster)
        for server in cluster.servers:
            self.assertEqual(self.state_version(cluster), 1)
            server.next = True
            self.restart(cluster, server)
        wait_until("the next version is in use", lambda: self.state_version(cluster) == 2)
        self.ended(clients)
        cluster.check_replicas()
        last = cluster.servers[2]
        self.assertEqual(last.stop(), 0)
        last.next = False
        last.launch()
        self.assertEqual(last.process.wait(20 * SLOW), 1)
        last.process = None
        self.assertIn("the group's state is of version 2, this program knows version 1", last.log())
        # From an empty folder, and as a member: it is told the same.
        newcomer = Versioned(cluster, 4)
        cluster.servers.append(newcomer)
        newcomer.start()
        cluster.retry("cluster.add_server", {"name": "old", "raft_address": newcomer.raft, "api_address": newcomer.api})
        waits = lambda: cluster.retry("cluster.status", {}).get("waits_for", "")
        wait_until("it says why", lambda: "this program knows version 1" in waits())
        cluster.retry("cluster.remove_server", {"name": "old"})
        newcomer.kill()
        cluster.servers.remove(newcomer)
        last.next = True
        last.start()
        cluster.check_replicas()


if __name__ == "__main__":
    main()
