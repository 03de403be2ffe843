# SPDX-License-Identifier: GPL-2.0-or-later
"""A server's disk is really full, or returns errors: it says so, the others go on, and later it has what they have."""

import os
import shutil
import unittest

import harness
from attack.fault.control import Control
from harness import ClusterTest, main, wait_until

SMALL_MIB = 112  # the store's 64 MiB, three segments of the log, and some
FULL = "the disk is full"


@unittest.skipUnless(os.geteuid() == 0, "to mount needs root")
class DiskFull(ClusterTest):
    def create(self, cluster, first, count):
        for number in range(first, first + count):
            cluster.retry("volume.create", {"name": f"vol{number}", "size_bytes": 64 << 20})
        for number in range(first, first + count):
            self.online(cluster, f"vol{number}")

    def ends_full(self, server):
        """It ended by itself, and its last word is why."""
        wait_until(f"server {server.number} ends", lambda: server.process.poll() is not None)
        status = server.process.wait()
        server.process = None
        last = [line for line in server.log().split("\n") if line][-1]
        self.assertEqual(status, 1, last)
        self.assertIn(FULL, last)
        self.assertIn("hint=", last)

    def says_full(self, server):
        wait_until(f"server {server.number} says that its disk is full", lambda: FULL in server.log())

    def agents_are_back(self, cluster):
        wait_until(
            "the agents are with the leader",
            lambda: all(node["health"] == "online" for node in cluster.call("node.list")["nodes"]),
        )

    def restarted_while_full(self, pick):
        cluster = self.make(small_disks={1: SMALL_MIB, 2: SMALL_MIB, 3: SMALL_MIB})
        self.rack(cluster)
        self.create(cluster, 0, 3)
        victim = pick(cluster)
        victim.disk.fill()
        # What its log has room for it still takes.
        self.create(cluster, 3, 10)
        cluster.check_replicas()
        self.says_full(victim)
        victim.kill()
        self.agents_are_back(cluster)
        for number in range(2):
            victim.launch()
            self.ends_full(victim)
            self.create(cluster, 13 + number, 1)
        victim.disk.free()
        victim.start()
        cluster.check_replicas()
        self.create(cluster, 15, 1)
        cluster.check_replicas()
        self.assertEqual(len(cluster.call("volume.list")["volumes"]), 16)

    def test_leader_restarted_while_full(self):
        self.restarted_while_full(lambda cluster: cluster.leader())

    def test_follower_restarted_while_full(self):
        self.restarted_while_full(lambda cluster: cluster.followers()[0])

    def test_snapshot_finds_no_room(self):
        """It can write no snapshot, of its own or the leader's, and falls behind; nobody is the worse for it."""
        cluster = self.make(
            options=["--snapshot-threshold=20", "--snapshot-trailing=5"],
            small_disks={1: SMALL_MIB, 2: SMALL_MIB, 3: SMALL_MIB},
        )
        self.rack(cluster)
        self.create(cluster, 0, 5)
        cluster.check_replicas()
        victim, leader = cluster.followers()[0], cluster.leader()
        victim.disk.fill()
        self.create(cluster, 5, 10)
        victim.pause()
        # Not by way of the one that stands still.
        for number in range(15, 30):
            leader.call("volume.create", {"name": f"vol{number}", "size_bytes": 64 << 20})
        wait_until("all are online", lambda: len(leader.call("volume.list", {"filter": "online"})["volumes"]) == 30)
        victim.resume()
        self.says_full(victim)
        self.create(cluster, 30, 5)
        self.assertIsNone(victim.process.poll())
        victim.disk.free()
        cluster.check_replicas()
        self.assertEqual(len(cluster.call("volume.list")["volumes"]), 35)

    def writes_fail(self, pick):
        """Writes of the log return errors: it ends and says so, the others go on, and on a good disk it is back."""
        cluster = self.make(count=0, init=False)
        cluster.servers = [harness.Server(cluster, number) for number in range(1, 4)]
        for server in cluster.servers:
            server.disk = Control(os.path.join(cluster.directory, f"control{server.number}"))
        cluster.start()
        cluster.init()
        self.rack(cluster)
        self.create(cluster, 0, 3)
        victim = pick(cluster)
        victim.disk.disk(fail=1)
        for number in range(5):
            cluster.retry("volume.attach", {"volume": "vol0", "host_nqn": f"nqn.2014-08.org.x:{number}"})
        wait_until(f"server {victim.number} ends", lambda: victim.process.poll() is not None)
        self.assertEqual(victim.process.wait(), 1)
        victim.process = None
        self.assertIn("cannot write the Raft log", victim.log())
        self.agents_are_back(cluster)
        self.create(cluster, 3, 1)
        victim.disk.disk()
        victim.start()
        cluster.check_replicas()
        volumes = cluster.call("volume.list")["volumes"]
        self.assertEqual([len(volume.get("hosts", [])) for volume in volumes], [5, 0, 0, 0])

    def test_writes_of_leader_fail(self):
        self.writes_fail(lambda cluster: cluster.leader())

    def test_writes_of_follower_fail(self):
        self.writes_fail(lambda cluster: cluster.followers()[0])

    def test_no_room_to_begin_with(self):
        cluster = self.make(count=1, init=False, small_disks={1: SMALL_MIB})
        server = cluster.servers[0]
        server.kill()
        for name in os.listdir(server.disk.path):
            path = os.path.join(server.disk.path, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        server.disk.fill()
        server.launch()
        self.ends_full(server)
        server.disk.free()
        server.start()
        cluster.init()
        cluster.check_replicas()


if __name__ == "__main__":
    main()
