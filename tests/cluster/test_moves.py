# SPDX-License-Identifier: GPL-2.0-or-later
"""LDs that move to other disks while they are in use: drains of disks and nodes, refused, resumed, ended.

The agents are real, over simulated kernels. A disk of which the agent is away holds a move up.
"""

import json
import os
import subprocess

from harness import BIN, ClusterTest, GIB, SimAgent, main, wait_until


class Moves(ClusterTest):
    def lay(self, count=1, disks=4, **params):
        """A volume "db" over node1 to node3; a fourth node has a disk, and nothing on it."""
        cluster = self.make(count=count)
        agents = {}
        for number in range(1, disks + 1):
            name = f"node{number}"
            agents[name] = SimAgent(cluster, name)
            self.wait_online(cluster, name)
            if number == 4:
                self.create(cluster, **params)
            cluster.call("disk.add", {"node": name, "path": "/dev/sim0"})
        if disks < 4:
            self.create(cluster, **params)
        return cluster, agents

    def create(self, cluster, **params):
        cluster.call("volume.create", {"name": "db", "size_bytes": GIB, "controllers": 2, "standbys": 0, **params})
        self.online(cluster, "db")

    def wait_online(self, cluster, name):
        wait_until(f"{name} is online", lambda: cluster.call("node.get", {"name": name})["health"] == "online")

    def volume(self, cluster):
        return cluster.call("volume.get", {"name": "db"})["volume"]

    def groups(self, cluster):
        return [
            [(ld["disk"], ld["state"]) for ld in group["members"]]
            for leg in self.volume(cluster)["legs"]
            for group in leg["groups"]
        ]

    def lds(self, cluster, disk):
        return cluster.call("disk.get", {"name": disk}).get("lds", 0)

    def most(self, cluster):
        """The disk with most LDs."""
        return max(cluster.call("disk.list")["disks"], key=lambda disk: disk.get("lds", 0))["id"]

    def await_empty(self, cluster, disk):
        wait_until(f"{disk} is empty", lambda: self.lds(cluster, disk) == 0, 60)
        wait_until("nothing is under way", lambda: "jobs" not in cluster.call("job.list"), 30)
        for group in self.groups(cluster):
            self.assertEqual([state for _, state in group], ["in-sync", "in-sync"])
            self.assertEqual(len({where for where, _ in group} - {disk}), 2)

    def check_kernels(self, cluster, agents):
        """Each mirror has two members, and says that both are in sync."""
        for slot in self.volume(cluster)["slots"]:
            dms = json.loads(agents[slot["holder"]].observe())["dms"]
            mirrors = [dm for dm in dms if dm["name"].startswith("dnvme-raid-")]
            self.assertTrue(mirrors)
            for mirror in mirrors:
                self.assertEqual(mirror["status"].split()[1:3], ["2", "AA"], mirror)

    def test_drain(self):
        cluster, agents = self.lay()
        disk = self.most(cluster)
        before = self.lds(cluster, disk)
        plan = cluster.call("disk.drain_plan", {"disks": [disk]})
        self.assertEqual((plan["count"], plan.get("blocking", 0)), (before, 0))
        self.assertEqual({item["disk"] for item in plan["items"]}, {disk})
        self.assertNotIn(disk, {item["to"] for item in plan["items"]})
        self.assertNotIn("draining", cluster.call("disk.get", {"name": disk}))
        cluster.call("disk.drain", {"disks": [disk]})
        self.await_empty(cluster, disk)
        self.check_kernels(cluster, agents)
        # Nothing new comes there.
        self.assertTrue(cluster.call("disk.get", {"name": disk})["cordoned"])
        cluster.call("disk.remove", {"name": disk})
        cluster.check_replicas()
        cluster.call("volume.delete", {"name": "db"})
        wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0, 30)
        for found in cluster.call("disk.list")["disks"]:
            self.assertEqual(found["extents_free"], found["extents_total"])
        for agent in agents.values():
            self.assertEqual(json.loads(agent.observe()).get("dms", []), [])

    def test_refused(self):
        cluster, _ = self.lay(disks=2, controllers=1)
        disk = self.most(cluster)
        self.refused("NO_CAPACITY", lambda: cluster.call("disk.drain", {"disks": [disk]}), "1 of 1 LDs cannot move", "holds another copy",
                     "add a disk on another node")
        self.assertEqual(cluster.call("disk.drain_plan", {"disks": [disk]})["blocking"], 1)
        self.assertNotIn("draining", cluster.call("disk.get", {"name": disk}))
        self.refused("NOT_FOUND", lambda: cluster.call("disk.drain", {"disks": ["d9"]}), "d9")
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("disk.drain", {"disks": ["sdb"]}), "dnvme disk list")
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("disk.drain", {"disks": []}), "none is given")
        cluster.call("volume.create", {"name": "one", "size_bytes": GIB, "copies": 1, "standbys": 0})
        self.online(cluster, "one")
        cluster.call("volume.delete", {"name": "db"})
        wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 1, 30)
        self.refused("NO_CAPACITY", lambda: cluster.call("disk.drain", {"disks": [self.most(cluster)]}), "its volume has one copy")

    def begin_held(self, cluster, agents):
        """A drain whose first move cannot end: the agent of the new disk is away. Returns the disk that is emptied."""
        disk = next(where for where, _ in self.groups(cluster)[0] if self.lds(cluster, where) > 1)
        agents["node4"].kill()
        cluster.call("disk.drain", {"disks": [disk]})
        # Its health is believed for a while, in which the place is taken.
        wait_until("one is on its way", lambda: max(len(group) for group in self.groups(cluster)) == 3, 30)
        return disk

    def test_leader_killed(self):
        cluster, agents = self.lay(count=3)
        disk = self.begin_held(cluster, agents)
        moving = next(group for group in self.groups(cluster) if len(group) == 3)
        self.assertEqual(moving[2], (disk, "in-sync"))
        kinds = {job["kind"] for job in cluster.call("job.list")["jobs"]}
        self.assertEqual(kinds, {"move"})
        old = cluster.leader()
        old.kill()
        cluster.leader()
        old.start()
        # The redundancy that was there is there.
        for group in self.groups(cluster):
            self.assertGreaterEqual([state for _, state in group].count("in-sync"), 2, group)
        agents["node4"].start()
        self.await_empty(cluster, disk)
        self.check_kernels(cluster, agents)
        cluster.check_replicas()

    def test_undrain(self):
        cluster, agents = self.lay()
        disk = self.begin_held(cluster, agents)
        before = self.lds(cluster, disk)
        cluster.call("disk.undrain", {"disks": [disk]})
        agents["node4"].start()
        wait_until("the one that was on its way is there", lambda: self.lds(cluster, disk) == before - 1, 60)
        wait_until("nothing is under way", lambda: "jobs" not in cluster.call("job.list"), 30)
        self.assertEqual(self.lds(cluster, disk), before - 1)
        self.assertNotIn("cordoned", cluster.call("disk.get", {"name": disk}))
        self.check_kernels(cluster, agents)

    def cli(self, cluster, *words):
        return subprocess.run(
            [os.path.join(BIN, "dnvme"), "--server", cluster.servers[0].api, *words],
            capture_output=True, text=True, timeout=120,
        )

    def test_command_line(self):
        cluster, agents = self.lay()
        disk = self.most(cluster)
        done = self.cli(cluster, "disk", "drain", disk, "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("to be copied", done.stdout)
        self.assertNotIn("draining", cluster.call("disk.get", {"name": disk}))
        done = self.cli(cluster, "disk", "drain", disk)
        self.assertEqual((done.returncode, done.stdout), (0, f"disk {disk} is drained: no LD is left there\n"), done.stderr)
        self.assertIn("draining", self.cli(cluster, "disk", "list").stdout)
        done = self.cli(cluster, "disk", "undrain", disk)
        self.assertEqual((done.returncode, done.stdout), (0, f"disk {disk} is open for placement\n"), done.stderr)
        self.await_empty(cluster, disk)
        # A node with its disks: its slots and its LDs go.
        node = next(slot["holder"] for slot in self.volume(cluster)["slots"])
        done = self.cli(cluster, "node", "drain", node, "--disks")
        self.assertEqual((done.returncode, done.stdout),
                         (0, f"node {node} is drained: neither a controller nor an LD is left there\n"), done.stderr)
        done = self.cli(cluster, "node", "drain", node, "--dry-run")
        self.assertEqual(done.returncode, 2, done.stdout)


if __name__ == "__main__":
    main()
