# SPDX-License-Identifier: GPL-2.0-or-later
"""One client floods a server; what becomes of the requests of another one, of agents, of a failover, of the leader."""

import os
import resource
import subprocess
import sys
import tempfile
import time
import unittest

from harness import ClusterTest, Connection, GIB, SLOW, main, wait_until
from msgpack_small import pack

FLOODER = "127.0.0.2"  # where the flood comes from
OTHER = "127.0.0.3"  # who wants only one thing
ASKED = 30
# How many changes of the flood may take effect while the other client waits for two answers. A loaded machine is slow for
# both, so that is what tells whose turn it was. A server has 512 requests under way, and takes one of each address in turn.
AHEAD = 8 * 512
CONNECTIONS = 10000
BYTES_EACH = 16384


class Flood:
    def __init__(self, test, server, connections, requests):
        file = tempfile.NamedTemporaryFile(dir=test.cluster.directory, delete=False)
        with file:
            file.write(b"".join(pack([0, number, *request]) for number, request in enumerate(requests)))
        words = [sys.executable, "-B", os.path.join(os.path.dirname(__file__), "flood.py")]
        self.process = subprocess.Popen(
            words + [server.api, FLOODER, str(connections), file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        test.addCleanup(self.kill)
        if self.process.stdout.readline() != "open\n":
            raise AssertionError("the flood did not begin")

    def end(self):
        """How many of its connections were closed."""
        self.process.stdin.close()
        return int(self.process.stdout.read())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Overload(ClusterTest):
    def lay(self):
        # The machine may keep a leader waiting longer than the default.
        self.cluster = self.make(options=["--election-timeout-ms=2000"])
        self.rack(self.cluster, 2, storage_only=True)
        for name in ("controller1", "controller2", "controller3", "flooded", "other"):
            self.cluster.agent(name, disks=0, storage_only=name in ("flooded", "other"))
            wait_until("it is there", lambda name=name: self.cluster.call("node.get", {"name": name}))
        self.cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "copies": 2, "standbys": 1})
        self.online(self.cluster, "vol")
        self.leader = self.cluster.leader()

    def ask(self, server):
        """The other client's requests, a change and a read in turn: how long each pair took, and how many changes took
        effect from one answer to the next but one."""
        times, revisions = [], []
        with Connection(server.api, 5.0, OTHER) as connection:
            for number in range(ASKED):
                begin = time.monotonic()
                method = "node.cordon" if number % 2 == 0 else "node.uncordon"
                revisions.append(connection.call(method, {"name": "other"}, 20)["revision"])
                connection.call("volume.get", {"name": "vol"}, 20)
                times.append(time.monotonic() - begin)
        return sorted(times), sorted(b - a for a, b in zip(revisions, revisions[1:]))

    def served(self, what, server):
        """The other client does not wait for the flood, no lease is lost, and the leader stays."""
        sessions = sum(agent.sessions for agent in self.cluster.agents)
        term = self.leader.info()["term"]
        times, ahead = self.ask(server)
        middle, late = len(times) // 2, int(len(times) * 0.99) - 1
        print(f"{what}: median {times[middle] * 1000:.1f} ms, p99 {times[late] * 1000:.1f} ms;"
              f" changes meanwhile: median {ahead[middle]}, p99 {ahead[late - 1]}")
        self.assertLess(ahead[late - 1], AHEAD, what)
        self.assertEqual(self.leader.info()["term"], term, f"{what}: another leader")
        self.assertEqual(sum(agent.sessions for agent in self.cluster.agents), sessions, f"{what}: leases were lost")

    def move(self):
        """How long it takes until somebody else serves the volume, once its controller is silent."""

        def volume():
            return self.leader.call("volume.get", {"name": "vol"})["volume"]

        wait_until("a standby", lambda: "standby" in [controller["role"] for controller in volume()["controllers"]])
        slot = volume()["slots"][0]
        holder = next(agent for agent in self.cluster.agents if agent.name_ == slot["holder"])
        begin = time.monotonic()
        holder.silent.set()

        def moved():
            now = volume()["slots"][0]
            return now["epoch"] > slot["epoch"] and now["phase"] == "serving"

        wait_until("another controller serves", moved)
        took_s = time.monotonic() - begin
        holder.silent.clear()
        wait_until("it is back", lambda: self.leader.call("node.get", {"name": holder.name_})["health"] == "online")
        return took_s

    def test_flood(self):
        self.lay()
        changes = [("node.cordon", [{"name": "flooded"}]), ("node.uncordon", [{"name": "flooded"}])]
        reads = [("volume.list", [{}]), ("volume.get", [{"name": "vol"}]), ("event.list", [{"after_revision": 1}])]
        self.served("calm", self.leader)
        calm_s = self.move()
        flood = Flood(self, self.leader, 1, changes * 256)
        self.served("a connection with changes", self.leader)
        flood.end()
        follower = self.cluster.followers()[0]
        flood = Flood(self, follower, 200, (changes + reads) * 20)
        self.served("200 connections to a follower", follower)
        flood.end()
        flood = Flood(self, self.leader, 1000, (changes + reads) * 20)
        self.served("1000 connections", self.leader)
        took_s = self.move()
        print(f"failover: {calm_s:.2f} s, in a flood {took_s:.2f} s")
        self.assertLess(took_s, 2 * calm_s * SLOW)
        self.assertEqual(flood.end(), 0)
        self.cluster.check_replicas()

    @unittest.skipIf(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CONNECTIONS + 1000, "too few open files")
    def test_ten_thousand_connections(self):
        self.lay()
        self.served("calm", self.leader)
        before = self.resident(self.leader)
        flood = Flood(self, self.leader, CONNECTIONS, [])
        self.served(f"{CONNECTIONS} connections", self.leader)
        each = (self.resident(self.leader) - before) // CONNECTIONS
        print(f"{each} bytes of memory for each connection")
        self.assertLess(each, BYTES_EACH)
        self.assertEqual(flood.end(), 0)

    def resident(self, server):
        with open(f"/proc/{server.process.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
