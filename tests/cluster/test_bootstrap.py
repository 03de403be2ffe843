# SPDX-License-Identifier: GPL-2.0-or-later
"""A group is formed, asked again, refused where it must be, survives restarts, and any server answers."""

from harness import ClusterTest, Connection, main, wait_until
import os


class Bootstrap(ClusterTest):
    def test_form_and_repeat(self):
        cluster = self.make(init=False)
        for server in cluster.servers:
            self.assertEqual(server.info()["role"], "uninitialized")
            error = self.refused("FAILED_PRECONDITION", lambda: server.call("volume.list"), "not part of a cluster")
            self.assertEqual(error.hint, "run: dnvme cluster init --name NAME")
        first = cluster.init("rack")
        # The same question again, to any server, gets the same answer.
        for number in range(3):
            self.assertEqual(cluster.init("rack", number)["id"], first["id"])
        self.assertEqual(cluster.servers[1].call("cluster.init", {"name": "rack"})["id"], first["id"])
        error = self.refused("FAILED_PRECONDITION", lambda: cluster.servers[0].call("cluster.init", {"name": "other"}))
        self.assertEqual(error.message, f'cluster.init: this server is part of cluster "rack" ({first["id"]})')
        self.refused(
            "FAILED_PRECONDITION",
            lambda: cluster.servers[0].call("cluster.init", {"name": "rack", "servers": [cluster.servers[0].record()]}),
            "servers",
        )
        status = cluster.servers[2].call("cluster.status", {"digest": True})
        self.assertEqual(status["name"], "rack")
        self.assertEqual(status["id"], first["id"])
        self.assertEqual([server["id"] for server in status["servers"]], [1, 2, 3])
        self.assertTrue(all(server["reachable"] for server in status["servers"]))
        self.assertEqual(sum(server["role"] == "leader" for server in status["servers"]), 1)
        self.assertEqual(status["leader"], cluster.leader().number)
        cluster.check_replicas()

    def test_one_server(self):
        cluster = self.make(1, init=False)
        cluster.servers[0].call("cluster.init", {"name": "alone"})
        self.assertEqual(cluster.leader().call("cluster.status")["leader"], 1)

    def test_refusals_leave_nothing(self):
        cluster = self.make(init=False)
        ask = lambda **params: lambda: cluster.servers[0].call("cluster.init", params)
        records = [server.record() for server in cluster.servers]
        self.refused("INVALID_ARGUMENT", ask(), "name")
        self.refused("INVALID_ARGUMENT", ask(name="Not A Name"), "name")
        self.refused("INVALID_ARGUMENT", ask(name="c", servers=records + [records[1]]), "listed twice")
        self.refused("INVALID_ARGUMENT", ask(name="c", extent_bytes=5000), "extent_bytes", "4096")
        wrong = dict(records[1], raft_address="localhost:7401")
        self.refused("INVALID_ARGUMENT", ask(name="c", servers=[records[0], wrong]), "servers[1].raft_address")
        wrong = dict(records[1], raft_address=records[1]["raft_address"][:-1] + "9")
        self.refused("FAILED_PRECONDITION", ask(name="c", servers=[records[0], wrong]), "server 2")
        self.refused("FAILED_PRECONDITION", ask(name="c", servers=records[1:]), "not in the list")
        cluster.servers[2].kill()
        self.refused("UNAVAILABLE", ask(name="c", servers=records), "server 3")
        self.assertEqual(cluster.servers[0].info()["role"], "uninitialized")
        self.assertFalse(os.path.exists(os.path.join(cluster.servers[0].directory, "cluster")))
        cluster.servers[2].start()
        cluster.init()

    def test_foreign_server_is_refused(self):
        cluster = self.make(init=False)
        cluster.servers[2].call("cluster.init", {"name": "elsewhere"})
        self.refused("FAILED_PRECONDITION", lambda: cluster.init(), "server 3", "already")
        self.refused(
            "FAILED_PRECONDITION",
            lambda: cluster.servers[2].call(
                "server.join",
                {"cluster": "0123456789abcdef", "servers": [s.record() for s in cluster.servers], "name": "x"},
            ),
            "part of cluster",
        )

    def test_init_survives_its_server(self):
        """The server that was asked dies when it has told itself but perhaps nobody else."""
        cluster = self.make(init=False)
        first = cluster.servers[0]
        with first.connect() as connection:
            connection.request("cluster.init", {"name": "rack", "servers": [s.record() for s in cluster.servers]})
            wait_until("DIR/cluster is there", lambda: os.path.exists(os.path.join(first.directory, "cluster")))
            first.kill()
        first.start()
        cluster.init("rack")
        wait_until("all have joined", lambda: not os.path.exists(os.path.join(first.directory, "joining")))
        cluster.check_replicas()

    def test_log_that_cannot_be_made(self):
        """Nobody counts as joined before its log is there; what is asked again goes on where it failed."""
        cluster = self.make(init=False)
        params = {"name": "rack", "servers": [s.record() for s in cluster.servers]}
        first, last = cluster.servers[0], cluster.servers[2]
        in_the_way = [os.path.join(server.directory, "raft") for server in (first, last)]
        for path in in_the_way:
            with open(path, "w"):
                pass
        self.refused("INTERNAL", lambda: first.call("cluster.init", params), in_the_way[0])
        os.unlink(in_the_way[0])
        with first.connect() as connection:
            answer = connection.request("cluster.init", params)
            wait_until("the last server was told twice", lambda: last.log().count("cannot join the group") >= 2)
            self.assertEqual(last.info()["role"], "uninitialized")
            os.unlink(in_the_way[1])
            connection.response(answer)
        self.assertIn(last.info()["role"], ("follower", "candidate", "leader"))
        cluster.check_replicas()

    def test_lost_log_is_refused(self):
        cluster = self.make()
        victim = cluster.followers()[0]
        victim.kill()
        for path, _, files in os.walk(os.path.join(victim.directory, "raft")):
            for name in files:
                os.unlink(os.path.join(path, name))
        with self.assertRaises(AssertionError):
            victim.start()
        self.assertEqual(victim.process.returncode, 1)
        victim.process = None
        self.assertIn("log is lost", victim.log())

    def test_any_server_answers(self):
        cluster = self.make()
        agents = self.rack(cluster)
        for server in cluster.servers:
            name = f"vol{server.number}"
            reply = server.call("volume.create", {"name": name, "size_bytes": 1 << 30})
            self.assertTrue(reply["id"].startswith("v"))
            for other in cluster.servers:
                self.assertEqual(other.call("volume.get", {"name": name})["volume"]["id"], reply["id"])
                # An error keeps its words on the way through another server.
                self.refused(
                    "ALREADY_EXISTS",
                    lambda: other.call("volume.create", {"name": name, "size_bytes": 1 << 30}),
                    name,
                )
        self.assertEqual(len(agents), 3)
        cluster.check_replicas()

    def test_graceful_stop_hands_over(self):
        cluster = self.make()
        leader = cluster.leader()
        term = leader.info()["term"]
        self.assertEqual(leader.stop(), 0)
        self.assertIn("stopped", leader.log())
        other = cluster.leader()
        self.assertIsNot(other, leader)
        self.assertGreater(other.info()["term"], term)
        leader.start()
        cluster.check_replicas()

    def test_no_majority_is_no_hang(self):
        cluster = self.make()
        survivor = cluster.followers()[0]
        for server in cluster.servers:
            if server is not survivor:
                server.kill()
        self.refused("UNAVAILABLE", lambda: survivor.call("volume.list"), "majority")
        self.assertIn(survivor.info()["role"], ("follower", "candidate"))

    def test_unix_socket(self):
        cluster = self.make(1, init=False)
        server = cluster.servers[0]
        path = os.path.join(cluster.directory, "api")
        server.stop()
        cluster.options.append(f"--unix={path}")
        server.start()
        with Connection(path) as connection:
            self.assertEqual(connection.call("server.info")["id"], 1)
        server.kill()  # leaves the socket behind
        server.start()
        with Connection(path) as connection:
            self.assertEqual(connection.call("server.info")["id"], 1)


if __name__ == "__main__":
    main()
