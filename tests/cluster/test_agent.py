# SPDX-License-Identifier: GPL-2.0-or-later
"""The real agent, over a simulated kernel: sessions that survive leaders, objects that nobody touches without need."""

import json

from harness import ClusterTest, GIB, SimAgent, main, wait_until


class Agent(ClusterTest):
    def sim_rack(self, cluster, nodes=3):
        agents = [SimAgent(cluster, f"node{number}") for number in range(1, nodes + 1)]
        for agent in agents:
            self.wait_online(cluster, agent)
            for path in agent.paths:
                cluster.call("disk.add", {"node": agent.name_, "path": path})
        return agents

    def wait_online(self, cluster, agent):
        wait_until(
            f"{agent.name_} is online",
            lambda: cluster.call("node.get", {"name": agent.name_})["health"] == "online",
        )

    def ours(self, agent):
        """What is made in its kernel; empty lists and what is not ours left out."""
        observed = json.loads(agent.observe())
        return {key: value for key, value in observed.items() if value and key != "blocks"}

    def test_life(self):
        cluster = self.make()
        agents = self.sim_rack(cluster)
        look = lambda: [self.ours(agent) for agent in agents]
        wait_until("each disk has its port", lambda: all("ports" in one for one in look()))
        empty = look()
        params = {"name": "db", "size_bytes": 4 * GIB, "controllers": 2, "standbys": 1, "legs": 2}
        cluster.call("volume.create", params)
        self.online(cluster, "db")
        host = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
        cluster.call("volume.attach", {"volume": "db", "host_nqn": host})
        cluster.call("volume.detach", {"volume": "db", "host_nqn": host})
        made = [self.ours(agent) for agent in agents]
        self.assertTrue(all(made[i] != empty[i] for i in range(3)))
        cluster.call("volume.delete", {"name": "db"})
        wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0)
        self.assertEqual([self.ours(agent) for agent in agents], empty)
        cluster.check_replicas()

    def test_strict(self):
        """Controllers that promise durable writes need the target in their kernel; who loads it later is taken then."""
        cluster = self.make(count=1)
        lacks = ["--sim-no-writethrough"]
        agents = [SimAgent(cluster, f"node{number}", options=lacks if number > 1 else []) for number in (1, 2, 3)]
        for agent in agents:
            self.wait_online(cluster, agent)
            cluster.call("disk.add", {"node": agent.name_, "path": "/dev/sim0"})

        def capable():
            nodes = [status["node"] for status in cluster.call("node.list")["nodes"]]
            return [node["name"] for node in nodes if node.get("writethrough")]

        self.assertEqual(capable(), ["node1"])
        params = {"name": "db", "size_bytes": GIB, "standbys": 1, "durability": "strict"}
        create = lambda: cluster.call("volume.create", params)
        without = "has a kernel without the write-through target"
        self.refused("NO_CAPACITY", create, f"node2 {without}", f"node3 {without}", "load dm-writethrough on node2")
        self.assertEqual(cluster.call("cluster.status").get("volumes", 0), 0)
        agents[2].stop()
        agents[2].options.clear()
        agents[2].start()
        wait_until("it is told", lambda: capable() == ["node1", "node3"])
        create()
        self.online(cluster, "db")
        volume = cluster.call("volume.get", {"name": "db"})["volume"]
        self.assertEqual(volume["durability"], "strict")
        self.assertEqual({controller["node"] for controller in volume["controllers"]}, {"node1", "node3"})
        holder = next(agent for agent in agents if agent.name_ == volume["slots"][0]["holder"])
        devices = {dm["name"]: dm["targets"] for dm in json.loads(holder.observe())["dms"]}
        self.assertEqual(devices["dnvme-durable-v1.l0"][0]["type"], "writethrough")

    def test_disk_with_a_filesystem(self):
        """What lies on a disk keeps it from being added, and is told; without it the disk is taken."""
        cluster = self.make(count=1)
        agent = SimAgent(cluster, "node1", disks=2)
        self.wait_online(cluster, agent)
        agent.stop()
        agent.used_by["/dev/sim1"] = "filesystem ext4"
        agent.start()

        def inventory():
            disks = cluster.call("node.get", {"name": "node1"})["inventory"]
            return {disk["path"]: disk.get("used_by") for disk in disks if disk.get("in_use", False)}

        wait_until("it is told", lambda: inventory() == {"/dev/sim1": "filesystem ext4"})
        add = lambda path: cluster.call("disk.add", {"node": "node1", "path": path})
        error = self.refused("FAILED_PRECONDITION", lambda: add("/dev/sim1"), "/dev/sim1", "node1")
        self.assertTrue(error.message.endswith("/dev/sim1 of node node1 is in use: filesystem ext4"), error.message)
        self.assertIn("wipefs -a /dev/sim1", error.hint)
        self.refused("NOT_FOUND", lambda: add("/dev/x"), "in use: filesystem ext4")
        add("/dev/sim0")
        agent.stop()
        agent.used_by["/dev/sim1"] = "partition table gpt"
        agent.start()
        wait_until("the other is told", lambda: inventory() == {"/dev/sim1": "partition table gpt"})
        self.refused("FAILED_PRECONDITION", lambda: add("/dev/sim1"), "partition table gpt")
        agent.stop()
        agent.used_by.clear()
        agent.start()
        wait_until("it is free", lambda: inventory() == {})
        add("/dev/sim1")
        self.assertEqual(len(cluster.call("disk.list")["disks"]), 2)

    def test_leader_killed(self):
        cluster = self.make()
        agents = self.sim_rack(cluster)
        cluster.call("volume.create", {"name": "db", "size_bytes": GIB, "controllers": 2, "legs": 2})
        self.online(cluster, "db")
        # Once it is online, consumers are taken off the hosts of their exports.
        closed = lambda agent: not any(s["hosts"] for s in self.ours(agent).get("subsystems", []) if ":leg:" in s["nqn"])
        wait_until("no consumer may connect any more", lambda: all(closed(agent) for agent in agents))
        before, state = [self.ours(agent) for agent in agents], cluster.state()
        cluster.leader().kill()
        for agent in agents:
            self.wait_online(cluster, agent)
        wait_until("nothing is wrong", lambda: "problems" not in cluster.call("volume.get", {"name": "db"}))
        self.assertEqual([self.ours(agent) for agent in agents], before)
        self.assertEqual(cluster.state(), state)

    def test_agent_killed(self):
        cluster = self.make()
        agents = self.sim_rack(cluster)
        cluster.call("volume.create", {"name": "db", "size_bytes": GIB, "controllers": 2})
        self.online(cluster, "db")
        before, state = [self.ours(agent) for agent in agents], cluster.state()
        for agent in agents:
            agent.kill()
        for agent in agents:
            agent.start()
        for agent in agents:
            self.wait_online(cluster, agent)
        wait_until("nothing is wrong", lambda: "problems" not in cluster.call("volume.get", {"name": "db"}))
        self.assertEqual([self.ours(agent) for agent in agents], before)
        self.assertEqual(cluster.state()["volumes"], state["volumes"])


if __name__ == "__main__":
    main()
