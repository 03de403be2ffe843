# SPDX-License-Identifier: GPL-2.0-or-later
"""A volume's way from phase to phase, as agents report, and what is waited for."""

import threading

from harness import ClusterTest, GIB, main, wait_until

HOST = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"


class Volumes(ClusterTest):
    def phase(self, cluster, name):
        return cluster.call("volume.get", {"name": name})["volume"]["phase"]

    def test_life(self):
        cluster = self.make()
        self.rack(cluster, 4)
        free = cluster.call("cluster.status")["bytes_free"]
        params = {"name": "db", "size_bytes": 10 * GIB, "controllers": 2, "standbys": 1, "legs": 2, "copies": 2}
        id = cluster.call("volume.create", params)["id"]
        self.online(cluster, "db")
        status = cluster.call("volume.get", {"name": id})
        self.assertEqual([path["role"] for path in status["paths"]], ["active", "active", "standby"])
        self.assertEqual(len(status["volume"]["legs"]), 4)
        self.assertIn(f":volume:{id}", status["nqn"])
        self.assertNotIn("waits_for", status)
        self.assertEqual(sorted({disk["path"] for disk in status["disks"]}), ["/dev/fake0"])
        # Any server passes the question on.
        for server in cluster.servers:
            explained = wait_until(
                "it is well",
                lambda s=server: (e := s.call("volume.explain", {"name": id})) and e["condition"] == "well" and e,
            )
            self.assertEqual((explained["name"], len(explained["members"])), ("db", 8))
            self.assertEqual(explained["events"][-1]["kind"], "volume-phase")
            self.assertNotIn("findings", explained)
            self.refused("NOT_FOUND", lambda s=server: s.call("volume.explain", {"name": "other"}), "other")
        cluster.call("volume.attach", {"volume": "db", "host_nqn": HOST})
        self.assertEqual(cluster.call("host.list")["hosts"], [{"nqn": HOST, "volumes": ["db"]}])
        self.refused("FAILED_PRECONDITION", lambda: cluster.call("volume.delete", {"name": "db"}), HOST)
        cluster.call("volume.detach", {"volume": "db", "host_nqn": HOST})
        cluster.call("volume.delete", {"name": "db"})
        wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0)
        self.assertEqual(cluster.call("cluster.status")["bytes_free"], free)
        self.refused("NOT_FOUND", lambda: cluster.call("volume.get", {"name": id}), id)
        cluster.check_replicas()

    def test_it_waits_for_every_export(self):
        cluster = self.make()
        agents = self.rack(cluster, hold=["d2.v1.s0"])
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "copies": 3})
        status = wait_until(
            "it waits for the export",
            lambda: (s := cluster.call("volume.get", {"name": "vol"})) and "held" in s.get("waits_for", "") and s,
        )
        self.assertEqual(status["volume"]["phase"], "placed")
        self.assertIn("d2.v1.s0", status["waits_for"])
        self.assertIn("node2", status["waits_for"])
        self.assertEqual(status["problems"][0]["message"], "held by the test")
        problems = cluster.call("node.get", {"name": "node2"})["problems"]
        self.assertEqual([problem["id"] for problem in problems], ["d2.v1.s0"])
        explained = cluster.call("volume.explain", {"name": "vol"})
        self.assertEqual(explained["condition"], "being-made")
        self.assertIn("d2.v1.s0", explained["prospects"][0]["text"])
        self.assertEqual(explained["findings"][0]["object"], "export d2.v1.s0 of node node2")
        self.assertIn("held by the test", explained["findings"][0]["seen"])
        agents[1].release("d2.v1.s0")
        self.online(cluster, "vol")
        # No agent answers any more; the leader still says what it knows.
        for agent in agents:
            agent.stop()
        explained = wait_until(
            "nobody is there",
            lambda: (e := cluster.call("volume.explain", {"name": "vol"})) and len(e.get("findings", [])) > 3 and e,
        )
        self.assertEqual(explained["condition"], "waiting")
        self.assertLessEqual(
            {f"node node{number}" for number in (1, 2, 3)}, {finding["object"] for finding in explained["findings"]}
        )
        commands = [advice.get("command") for advice in explained["advice"]]
        self.assertIn("dnvme node get node1", commands)

    def test_detach_waits_for_every_controller(self):
        cluster = self.make()
        agents = self.rack(cluster)
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "controllers": 2, "standbys": 1})
        self.online(cluster, "vol")
        cluster.call("volume.attach", {"volume": "vol", "host_nqn": HOST})
        self.wait_for_revision(cluster, agents, "vol")
        agents[0].hold.add("v1")
        answer = {}
        # By way of a follower: what waits there waits for the leader.
        follower = cluster.followers()[0]
        thread = threading.Thread(
            target=lambda: answer.update(
                reply=follower.call("volume.detach", {"volume": "vol", "host_nqn": HOST}, 60)
            ),
            daemon=True,
        )
        thread.start()
        wait_until("it is committed", lambda: not cluster.call("volume.get", {"name": "vol"})["volume"].get("hosts"))
        wait_until("the controller is asked", lambda: agents[0].objects["volume", "v1"][2] == self.revision(cluster))
        self.assertEqual(answer, {})
        agents[0].release("v1")
        thread.join(20)
        self.assertEqual(answer["reply"]["revision"], self.revision(cluster))

    def revision(self, cluster):
        return cluster.call("volume.get", {"name": "vol"})["volume"]["revision"]

    def wait_for_revision(self, cluster, agents, name):
        revision = cluster.call("volume.get", {"name": name})["volume"]["revision"]
        for agent in agents:
            wait_until("the agent knows", lambda a=agent: a.objects.get(("volume", "v1"), [0, 0, 0])[2] >= revision)

    def test_detach_says_who_did_not_answer(self):
        cluster = self.make()
        agents = self.rack(cluster)
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "controllers": 2})
        self.online(cluster, "vol")
        cluster.call("volume.attach", {"volume": "vol", "host_nqn": HOST})
        for agent in agents:
            agent.hold.add("v1")
        detach = {"volume": "vol", "host_nqn": HOST}
        self.refused("DEADLINE_EXCEEDED", lambda: cluster.call("volume.detach", detach, 60), "node", "v1", "committed")
        self.assertNotIn("hosts", cluster.call("volume.get", {"name": "vol"})["volume"])
        for agent in agents:
            agent.release("v1")
        cluster.call("volume.detach", detach)

    def test_detach_does_not_wait_for_the_dead(self):
        cluster = self.make()
        agents = self.rack(cluster)
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "controllers": 3})
        self.online(cluster, "vol")
        cluster.call("volume.attach", {"volume": "vol", "host_nqn": HOST})
        agents[2].stop()
        cluster.call("volume.detach", {"volume": "vol", "host_nqn": HOST})
        self.assertEqual(cluster.call("node.get", {"name": "node3"})["health"], "offline")

    def test_health(self):
        cluster = self.make()
        agents = self.rack(cluster)
        seen = []

        def health():
            state = cluster.call("node.get", {"name": "node1"})["health"]
            if not seen or seen[-1] != state:
                seen.append(state)
            return state

        self.assertEqual(health(), "online")
        agents[0].silent.set()  # the connection stays, the heartbeats end
        wait_until("it is offline", lambda: health() == "offline")
        self.assertEqual(seen, ["online", "suspect", "offline"])
        agents[0].silent.clear()
        wait_until("it is online again", lambda: health() == "online")
        self.assertEqual(agents[0].sessions, 1)

    def test_a_new_leader_waits_a_lease(self):
        cluster = self.make()
        agents = self.rack(cluster)
        for agent in agents:
            agent.stop()
        wait_until("offline", lambda: cluster.call("node.get", {"name": "node1"})["health"] == "offline")
        cluster.leader().kill()
        first = cluster.call("node.get", {"name": "node1"})["health"]
        self.assertEqual(first, "unknown")
        wait_until("offline again", lambda: cluster.call("node.get", {"name": "node1"})["health"] == "offline")

    def test_deletion_with_a_dead_node(self):
        """One dead node blocks nothing elsewhere; what it holds is freed when it is back."""
        cluster = self.make()
        agents = self.rack(cluster)
        free = {disk["id"]: disk["extents_free"] for disk in cluster.call("disk.list")["disks"]}
        id = cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "copies": 3, "controllers": 2})["id"]
        self.online(cluster, "vol")
        agents[2].stop()
        cluster.call("volume.delete", {"name": "vol"})
        now = lambda: {disk["id"]: disk["extents_free"] for disk in cluster.call("disk.list")["disks"]}
        wait_until("the others are free", lambda: now()["d1"] == free["d1"] and now()["d2"] == free["d2"])
        self.assertLess(now()["d3"], free["d3"])
        status = cluster.call("volume.get", {"name": id})
        self.assertEqual(status["volume"]["phase"], "releasing")
        wait_until("it says why", lambda: "node3 is offline" in cluster.call("volume.get", {"name": id})["waits_for"])
        # The name is free although the LD is not.
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "copies": 2})
        back = cluster.agent("node3")
        wait_until("all is free", lambda: now()["d3"] == free["d3"])
        self.refused("NOT_FOUND", lambda: cluster.call("volume.get", {"name": id}))
        self.assertIsNotNone(back)

    def test_node_and_disk(self):
        cluster = self.make()
        agents = self.rack(cluster, disks=2)
        node = cluster.call("node.get", {"name": "node1"})
        self.assertEqual([disk["path"] for disk in node["inventory"]], ["/dev/fake0", "/dev/fake1", "/dev/used"])
        cluster.call("node.cordon", {"name": "node1"})
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB})
        disks = cluster.call("volume.get", {"name": "vol"})["disks"]
        self.assertEqual({disk["node"] for disk in disks}, {"node2", "node3"})
        cluster.call("node.uncordon", {"name": "node1"})
        cluster.call("disk.remove", {"name": "d2"})
        wait_until("the agent forgets it", lambda: agents[0].objects["disk", "d2"][3] == "absent")
        self.assertEqual(
            [disk["id"] for disk in cluster.call("disk.list", {"filter": "node1"})["disks"]], ["d1"]
        )
        page = cluster.call("disk.list", {"limit": 2})
        self.assertEqual([disk["id"] for disk in page["disks"]], ["d1", "d3"])
        self.assertTrue(page["more"])
        rest = cluster.call("disk.list", {"after": "d3"})
        self.assertEqual([disk["id"] for disk in rest["disks"]], ["d4", "d5", "d6"])
        self.assertNotIn("more", rest)
        self.refused("FAILED_PRECONDITION", lambda: cluster.call("node.forget", {"name": "node1"}), "connected")
        agents[0].stop()
        self.refused("FAILED_PRECONDITION", lambda: cluster.call("node.forget", {"name": "node1"}), "disks")
        cluster.call("disk.remove", {"name": "d1"})
        cluster.call("node.forget", {"name": "node1"})
        self.refused("NOT_FOUND", lambda: cluster.call("node.get", {"name": "node1"}))

    def test_a_refusal_stands_for_earlier_attempts(self):
        """That of a call which an attempt before it may still overtake is remembered; that of a first one is not."""
        cluster = self.make()
        calls = [
            ("volume.create", {"name": "db", "size_bytes": GIB}, "NO_CAPACITY"),  # by who plans it
            ("node.cordon", {"name": "node1"}, "NOT_FOUND"),  # by the state machine
        ]
        for i, (method, params, code) in enumerate(calls):
            first = dict(params, request_id=bytes([i]) * 16)
            again = dict(params, request_id=bytes([i + 8]) * 16, again=True)
            self.assertNotIn("outcome", self.refused(code, lambda: cluster.call(method, first)).details)
            self.refused(code, lambda: cluster.call(method, again), "outcome=none")
        self.rack(cluster)
        for i, (method, params, code) in enumerate(calls):
            first = dict(params, request_id=bytes([i]) * 16)
            late = dict(params, request_id=bytes([i + 8]) * 16)
            for server in cluster.servers:
                self.refused(code, lambda: server.call(method, late), "outcome=none")
            cluster.call(method, first)
        cluster.check_replicas()

    def test_sessions_of_one_node(self):
        """A second agent of the same name takes the place of the first."""
        cluster = self.make()
        agents = self.rack(cluster, 1)
        agents[0].ending.set()
        twin = cluster.agent("node1")
        wait_until("the twin is connected", twin.connected.is_set)
        wait_until("the first one was told", lambda: not agents[0].is_alive())
        self.assertEqual(cluster.call("node.get", {"name": "node1"})["health"], "online")
        hello = dict(twin.hello, protocol=99)
        self.refused("UNSUPPORTED", lambda: cluster.call("agent.hello", hello), "version 99")
        follower = cluster.followers()[0]
        self.refused("UNAVAILABLE", lambda: follower.call("agent.hello", twin.hello), f"leader={cluster.leader().api}")


if __name__ == "__main__":
    main()
