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
        empty = [self.ours(agent) for agent in agents]
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

    def test_leader_killed(self):
        cluster = self.make()
        agents = self.sim_rack(cluster)
        cluster.call("volume.create", {"name": "db", "size_bytes": GIB, "controllers": 2, "legs": 2})
        self.online(cluster, "db")
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
