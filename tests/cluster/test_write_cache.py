# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks with volatile write caches: which are taken, and what agents tell of them later."""
import uuid

from harness import ClusterTest, GIB, main, wait_until

SWITCHABLE = {"volatile_cache": True, "cache_switchable": True}
FIXED = {"volatile_cache": True}


class WriteCacheTest(ClusterTest):
    def begin(self):
        """A node with a disk of each kind: without, one that can be switched off, one that cannot."""
        cluster = self.make(3)
        agent = cluster.agent("node1", disks=3)
        wait_until("it is connected", agent.connected.is_set)
        wait_until("it is online", lambda: cluster.call("node.get", {"name": "node1"})["health"] == "online")
        self.tell(agent, {}, SWITCHABLE, FIXED)
        wait_until("it is told", lambda: [self.cache(disk) for disk in self.inventory(cluster)] == [{}, SWITCHABLE, FIXED])
        return cluster, agent

    def cache(self, disk):
        return {name: True for name in SWITCHABLE if disk.get(name)}

    def inventory(self, cluster):
        return cluster.call("node.get", {"name": "node1"})["inventory"][:3]

    def tell(self, agent, *caches):
        """What its hello says from now on, and a report now."""
        with agent.lock:
            for disk, cache in zip(agent.hello["inventory"], caches):
                for name in SWITCHABLE:
                    disk.pop(name, None)
                disk.update(cache)
            agent.connection.notify("agent.report", {"inventory": agent.hello["inventory"]})

    def disk(self, cluster, name):
        disk = cluster.call("disk.get", {"name": name})
        return disk.get("volatile_cache", False), disk.get("cache_accepted", False)

    def told(self, agent, name):
        """Whether the agent was told last that the cache may be on."""
        disks = [disk for part in agent.parts for disk in part.get("disks", []) if disk["id"] == name]
        return disks[-1].get("volatile_cache", False) if disks else None

    def test_added(self):
        cluster, agent = self.begin()
        add = lambda path, **more: cluster.call("disk.add", {"node": "node1", "path": path, **more})
        error = self.refused("FAILED_PRECONDITION", lambda: add("/dev/fake2"), "/dev/fake2", "node1", "volatile write cache")
        self.assertIn("--accept-volatile-cache", error.hint)
        self.assertEqual(cluster.call("disk.list").get("disks", []), [])
        add("/dev/fake2", accept_volatile_cache=True)
        self.assertEqual(self.disk(cluster, "d1"), (True, True))
        self.assertIn("a disk is taken whose volatile write cache stays on", cluster.leader().log())
        wait_until("its agent knows", lambda: self.told(agent, "d1") is True)
        # It is off before anything lies on it, whatever was accepted.
        add("/dev/fake0")
        add("/dev/fake1", accept_volatile_cache=True)
        self.assertEqual(self.disk(cluster, "d2"), (False, False))
        self.assertEqual(self.disk(cluster, "d3"), (False, False))
        wait_until("its agent knows", lambda: self.told(agent, "d3") is False)

    def test_told_later(self):
        cluster, agent = self.begin()
        for number in (0, 1):
            cluster.call("disk.add", {"node": "node1", "path": f"/dev/fake{number}"})
        # As long as it may be switched off, nothing is decided.
        self.tell(agent, SWITCHABLE, SWITCHABLE)
        self.tell(agent, FIXED, FIXED)
        wait_until("both stay on", lambda: [self.disk(cluster, d) for d in ("d1", "d2")] == [(True, False)] * 2)
        wait_until("its agent knows", lambda: self.told(agent, "d1") and self.told(agent, "d2"))
        self.assertIn("the write cache of a disk is volatile and cannot be switched off", cluster.leader().log())
        # They are off by and by.
        self.tell(agent, {}, SWITCHABLE)
        wait_until("one is off", lambda: self.disk(cluster, "d1") == (False, False))
        self.assertEqual(self.disk(cluster, "d2"), (True, False))
        # After a boot it is as the hello says: what was told before that does not matter.
        agent.stop()
        again = cluster.agent("node1", disks=3, boot_id=str(uuid.uuid4()))
        wait_until("it is connected", again.connected.is_set)
        self.tell(again, FIXED, {})
        wait_until("they changed", lambda: [self.disk(cluster, d)[0] for d in ("d1", "d2")] == [True, False])
        wait_until("its agent knows", lambda: (self.told(again, "d1"), self.told(again, "d2")) == (True, False))

    def test_volume(self):
        cluster, agent = self.begin()
        cluster.call("disk.add", {"node": "node1", "path": "/dev/fake2", "accept_volatile_cache": True})
        cluster.call("volume.create", {"name": "db", "size_bytes": GIB, "copies": 1})
        status = cluster.call("volume.get", {"name": "db"})
        self.assertEqual([disk.get("volatile_cache") for disk in status["disks"]], [True])


if __name__ == "__main__":
    main()
