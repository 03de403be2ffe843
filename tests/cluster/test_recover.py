# SPDX-License-Identifier: GPL-2.0-or-later
"""Most servers are lost for good: one that is left goes on, and its volumes when their operator says so."""

import os
import shutil

from harness import GIB, ClusterTest, Server, main, wait_until

DONE, REFUSED, USAGE = range(3)
STEP = 1 << 20


class Recover(ClusterTest):
    def recover(self, server, *words, status=1):
        return self.ran(server.arguments() + ["--recover", *words], status)

    def lose(self, cluster, *lost):
        for server in lost:
            server.kill()
            shutil.rmtree(server.directory)
            cluster.servers.remove(server)

    def get(self, cluster, name):
        return cluster.call("volume.get", {"name": name})

    def state_of(self, cluster, name):
        """(held, [(epoch, phase) of each slot])."""
        volume = self.get(cluster, name)["volume"]
        return "hold" in volume, [(slot["epoch"], slot["phase"]) for slot in volume["slots"]]

    def test_recover(self):
        """Three servers, of which two go for good; the third goes on, two new ones come, and so do the volumes."""
        cluster = self.make()
        agents = self.rack(cluster)
        for name in ("one", "two", "three"):
            cluster.call("volume.create", {"name": name, "size_bytes": GIB, "copies": 2})
            self.online(cluster, name)
        agents[0].hold.update(agents[0].objects)  # this one is never made
        for agent in agents:
            agent.hold_if = lambda kind, item: kind == "export" and item is not None and item["volume"] == "v4"
        cluster.call("volume.create", {"name": "unfinished", "size_bytes": GIB, "copies": 2})
        before = {disk["id"]: disk["extents_free"] for disk in cluster.call("disk.list")["disks"]}
        cluster.check_replicas()
        left, second, third = cluster.servers
        # Who runs, and who is not lost, is told so.
        self.assertIn("in use", self.recover(left, "--lost", "s2,s3", "--yes"))
        left.kill()
        self.assertIn("something answers there", self.recover(left, "--lost", "s2,s3", "--yes"))
        second.kill()
        self.assertIn("something answers there", self.recover(left, "--lost", "s2,s3", "--yes"))
        third.kill()
        self.assertIn("server s2", self.recover(left))
        self.assertIn("server s3", self.recover(left, "--lost", "s2", "--yes"))
        self.assertIn('"s4" is no other server', self.recover(left, "--lost", "s2,s3,s4", "--yes"))
        self.assertIn('"s1" is no other server', self.recover(left, "--lost", "s1,s2,s3", "--yes"))
        self.assertIn("--yes is missing", self.recover(left, "--lost", "s2,s3"))
        self.recover(left, "--lost=", status=USAGE)
        # Nothing was changed by all that: with the others it goes on as before.
        for server in cluster.servers:
            server.start()
        cluster.leader()
        self.assertEqual(self.state_of(cluster, "one"), (False, [(1, "serving")]))
        self.lose(cluster, second, third)
        left.kill()
        term = int(left.log().rsplit("term=", 1)[1].split()[0]) if "term=" in left.log() else 0
        self.assertIn("is the only one of its group", self.recover(left, "--lost", "s2,s3", "--yes", status=0))
        # It is safe to repeat before the start.
        self.recover(left, "--lost", "s2,s3", "--yes", status=0)
        left.start()
        self.assertIs(cluster.leader(), left)
        self.assertGreater(left.info()["term"], term + 999999)
        self.assertFalse(os.path.exists(os.path.join(left.directory, "recovering")))
        status = cluster.call("cluster.status")
        self.assertEqual([server["id"] for server in status["servers"]], [1])
        self.assertIn("every volume is held", self.dnvme([left], "event", "list"))
        self.held(cluster, agents, before)
        self.releasing(cluster, left, agents)
        # What is there is sound, and it is not to be done again.
        self.assertIn("sound", self.dnvme([left], "cluster", "check"))
        for number, name in ((2, "b"), (3, "c")):
            self.newcomer(cluster, number, name)
            wait_until(f"{name} has joined", lambda: cluster.call("cluster.status").get("waits_for") is None, 40)
        self.assertEqual(
            sorted(server["membership"] for server in cluster.call("cluster.status")["servers"]), ["voter"] * 3
        )
        cluster.check_replicas()
        cluster.call("cluster.transfer", {"name": "c"})
        wait_until("the new one leads", lambda: cluster.leader() is cluster.servers[-1])
        wait_until(
            "its nodes are there",
            lambda: all(node["health"] == "online" for node in cluster.call("node.list")["nodes"]),
        )
        cluster.call("volume.create", {"name": "four", "size_bytes": GIB, "copies": 2})
        self.online(cluster, "four")
        wait_until("the others are served", lambda: self.state_of(cluster, "one")[1][0][1] == "serving", 30)
        cluster.check_replicas()
        self.assertIn("sound", self.dnvme([left], "cluster", "check"))

    def held(self, cluster, agents, before):
        """Fenced, and nothing else."""
        for name in ("one", "two", "three"):
            self.assertEqual(self.state_of(cluster, name), (True, [(STEP + 2, "fencing")]))
        volume = self.get(cluster, "unfinished")["volume"]
        self.assertEqual((volume["phase"], "hold" in volume), ("placed", True))
        self.assertIn("an operator", self.get(cluster, "one")["waits_for"])
        wait_until("agents are back", lambda: all(agent.connected.is_set() for agent in agents))
        # Though every agent confirmed everything that it was told.
        wait_until(
            "the fences are confirmed",
            lambda: all(
                any(key[0] == "export" and state == "converged" for key, (_, _, _, state) in agent.objects.items())
                for agent in agents
            ),
        )
        self.assertEqual(self.state_of(cluster, "one"), (True, [(STEP + 2, "fencing")]))
        self.assertEqual({disk["id"]: disk["extents_free"] for disk in cluster.call("disk.list")["disks"]}, before)
        self.refused(
            "FAILED_PRECONDITION", lambda: cluster.call("volume.extend", {"name": "one", "size_bytes": 2 * GIB}), "held"
        )
        self.refused(
            "FAILED_PRECONDITION", lambda: cluster.call("snapshot.create", {"volume": "one", "name": "s"}), "held"
        )

    def releasing(self, cluster, left, agents):
        said = self.dnvme([left], "volume", "release", "one")
        self.assertIn("--yes --revision", said)
        self.assertTrue(self.state_of(cluster, "one")[0])
        for agent in agents:
            agent.hold_if = lambda kind, item: False
            agent.hold.clear()
            agent.report_all()
        words = said.split("dnvme volume release one")[1].split()
        self.dnvme([left], "volume", "release", "one", "--revision", "1", "--yes", status=REFUSED)
        self.dnvme([left], "volume", "release", "one", *words)
        wait_until("it is served", lambda: self.state_of(cluster, "one") == (False, [(STEP + 2, "serving")]))
        self.dnvme([left], "volume", "release", "one", "--yes")
        # Not while a copy is away, unless it is given up.
        absent = self.member_nodes(cluster, "two")[-1]
        agent = agents[int(absent[-1]) - 1]
        agent.silent.set()
        wait_until("it is offline", lambda: cluster.call("node.get", {"name": absent})["health"] == "offline", 30)
        self.assertIn(absent, self.dnvme([left], "volume", "release", "two", "--yes", status=REFUSED))
        self.assertTrue(self.state_of(cluster, "two")[0])
        agent.silent.clear()
        wait_until("it is back", lambda: cluster.call("node.get", {"name": absent})["health"] == "online", 30)
        wait_until("it is fenced", lambda: self.released(left, "two"))
        self.dnvme([left], "volume", "release", "three", "--yes", "--force")
        for name in ("two", "three"):
            wait_until("it is served", lambda n=name: self.state_of(cluster, n)[1][0][1] == "serving", 30)
        # What was not online may hold data by now: nothing makes it anew.
        self.assertIn("was not online", self.dnvme([left], "volume", "release", "unfinished", "--yes", status=REFUSED))
        cluster.call("volume.delete", {"name": "unfinished"})
        wait_until("it is gone", lambda: len(cluster.call("volume.list")["volumes"]) == 3)
        cluster.check_extents()

    def member_nodes(self, cluster, name):
        status = self.get(cluster, name)
        nodes = {disk["id"]: disk["node"] for disk in status["disks"]}
        return [nodes[ld["disk"]] for ld in status["volume"]["legs"][0]["groups"][0]["members"]]

    @staticmethod
    def leads(server):
        try:
            return server.info()["role"] == "leader"
        except OSError:  # it ends just now
            return False

    def test_lost_ones_come_back(self):
        """They were not lost after all, and elected one of them: they are told, and end."""
        cluster = self.make()
        left, *lost = cluster.servers
        for server in cluster.servers:
            server.kill()
        self.recover(left, "--lost", "s2,s3", "--yes", status=0)
        left.start()
        cluster.servers[:] = [left]
        self.addCleanup(lambda: [server.kill() for server in lost])
        cluster.leader()
        term = left.info()["term"]
        # Else they would ask whether they were removed, before they have a leader.
        left.pause()
        for server in lost:
            server.start()
        wait_until("they have a leader", lambda: any(server.info()["role"] == "leader" for server in lost))
        # They want this one to follow, all the time.
        left.resume()
        for number in range(20):
            cluster.call("cluster.set", {"settings": {"rebuild_after_ms": 1000 + number}})
        info = left.info()
        self.assertEqual((info["role"], info["term"]), ("leader", term))
        # Who misses a leader asks, is told, and ends, perhaps already. Those that have one would not: the other one then does.
        for server in lost:
            if self.leads(server):
                server.kill()
        for server in lost:
            if server.process is None:
                continue
            wait_until("it ended", lambda s=server: s.process.poll() is not None, 30)
            self.assertIn("was removed from its cluster", server.log())
        self.assertEqual(left.info()["term"], term)
        self.newcomer(cluster, 4, "new")
        wait_until("a new one has joined", lambda: cluster.call("cluster.status").get("waits_for") is None, 40)
        cluster.check_replicas()

    def test_nothing_to_recover(self):
        """One that is alone, one that never joined, one that was given up half-way."""
        cluster = self.make(1)
        server = cluster.servers[0]
        server.kill()
        self.assertIn("nothing to recover", self.recover(server, "--lost", "s2", "--yes"))
        self.recover(server, "--recover=", status=USAGE)
        other = Server(cluster, 2)
        self.assertIn("does not belong to a group", self.recover(other, "--lost", "s1", "--yes"))
        self.ran(server.arguments() + ["--yes"], USAGE)
        # A mark alone changes nothing.
        server.start()
        cluster.call("volume.list")

    def test_mark_without_recovery(self):
        """It was interrupted before anything was written, and the others came back after all."""
        cluster = self.make()
        leader = cluster.leader()
        revision = cluster.call("cluster.status")["revision"]
        for server in cluster.servers:
            server.kill()
            with open(os.path.join(server.directory, "recovering"), "wb"):
                pass
        for server in cluster.servers:
            server.start()
        leader = cluster.leader()
        status = cluster.call("cluster.status")
        self.assertEqual(status["revision"], revision)
        self.assertEqual(len(status["servers"]), 3)
        self.assertFalse(os.path.exists(os.path.join(leader.directory, "recovering")))


if __name__ == "__main__":
    main()
