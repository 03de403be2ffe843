# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers are added, removed and replaced, and hand leadership over, while the cluster is in use."""

import itertools
import threading
import time
import uuid

from harness import SLOW, ClusterTest, RpcError, Server, SimAgent, main, wait_until


class Newcomer(Server):
    """A server that is not part of the group yet; `numbered`: started with --id."""

    def __init__(self, cluster, number, numbered=False):
        super().__init__(cluster, number)
        self.numbered = numbered

    def arguments(self):
        return [word for word in super().arguments() if self.numbered or not word.startswith("--id=")]


def ask(cluster, method, params, timeout_s=60.0):
    """Repeat until a server of the group answers with an outcome, as libdnvme does; those outside are passed over."""
    deadline = time.monotonic() + timeout_s * SLOW
    last = None
    for server in itertools.cycle(list(cluster.servers)):
        try:
            return server.call(method, params)
        except RpcError as error:
            outside = error.code == "FAILED_PRECONDITION" and "not part of a cluster" in error.message
            if error.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED") and not outside:
                raise
            last = error
        except OSError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{method} found no server that answers: {last!r}")
        time.sleep(0.02)


class Traffic(threading.Thread):
    """Changes state again and again, with a request id that makes a retry safe; counts what was refused."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.stop = threading.Event()
        self.done = 0
        self.longest_s = 0.0
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                began = time.monotonic()
                params = {"settings": {"rebuild_after_ms": 1000 + self.done}, "request_id": uuid.uuid4().bytes}
                ask(self.cluster, "cluster.set", params, 30.0)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                self.done += 1
        except Exception as error:  # shown by the test
            self.failure = error

    def end(self):
        self.stop.set()
        self.join()
        if self.failure is not None:
            raise self.failure


class Members(ClusterTest):
    def newcomer(self, cluster, number, numbered=False):
        server = Newcomer(cluster, number, numbered)
        cluster.servers.append(server)
        server.start()
        return server

    def add(self, cluster, server, name, **more):
        params = {"name": name, "raft_address": server.raft, "api_address": server.api, "request_id": uuid.uuid4().bytes}
        return ask(cluster, "cluster.add_server", dict(params, **more))

    def remove(self, cluster, name):
        return ask(cluster, "cluster.remove_server", {"name": name, "request_id": uuid.uuid4().bytes})

    def status(self, cluster):
        return ask(cluster, "cluster.status", {})

    def members(self, cluster):
        return {server["id"]: server["membership"] for server in self.status(cluster)["servers"]}

    def settled(self, cluster, expected, timeout_s=40.0):
        """Nothing is under way, and each server is what it is to be."""

        def look():
            status = self.status(cluster)
            seen = {server["id"]: server["membership"] for server in status["servers"]}
            return status.get("waits_for") is None and seen == expected

        try:
            wait_until(f"the servers are {expected}", look, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {self.status(cluster)}") from None

    def traffic(self, cluster):
        traffic = Traffic(cluster)
        self.addCleanup(traffic.stop.set)
        traffic.start()
        return traffic

    def test_one_three_five(self):
        """From one server to five under traffic, then the leader itself goes, and one after the other."""
        cluster = self.make(1)
        traffic = self.traffic(cluster)
        expected = {1: "voter"}
        for number, name in ((2, "b"), (3, "c"), (4, "d"), (5, "e")):
            reply = self.add(cluster, self.newcomer(cluster, number), name)
            self.assertEqual(reply["id"], f"s{number}")
            expected[number] = "standby"
            if number % 2:
                expected = {one: "voter" for one in expected}
            self.settled(cluster, expected)
        first = cluster.leader()
        self.remove(cluster, f"s{first.number}" if first.number == 1 else "bcde"[first.number - 2])
        del expected[first.number]
        # Four are left, of which three vote.
        wait_until("the leader ended", lambda: first.process.poll() is not None, 30)
        self.assertEqual(first.process.returncode, 1)
        first.process = None
        self.assertIn("was removed from its cluster", first.log())
        wait_until("it is gone", lambda: first.number not in self.members(cluster))
        wait_until("three vote", lambda: sorted(self.members(cluster).values()) == ["standby"] + ["voter"] * 3)
        traffic.end()
        self.assertGreater(traffic.done, 20)
        cluster.check_replicas()
        # It refuses to start, and says why; with an empty folder it joins under another number.
        with self.assertRaises(AssertionError):
            first.start()
        self.assertEqual(first.process.returncode, 1)
        first.process = None
        self.assertIn("empty", first.log())
        # All of them again, from their own disks.
        for server in cluster.alive():
            server.kill()
        for server in cluster.servers:
            if server is not first:
                server.launch()
        cluster.leader([server for server in cluster.servers if server is not first])
        cluster.check_replicas()

    def test_refused(self):
        cluster = self.make(3)
        add = lambda **params: lambda: cluster.call(
            "cluster.add_server", {"name": "x", "raft_address": "127.0.0.1:1", "api_address": "127.0.0.1:2", **params}
        )
        self.refused("INVALID_ARGUMENT", add(raft_address="nowhere:1"), "raft_address")
        self.refused("INVALID_ARGUMENT", add(api_address="0.0.0.0:1"), "api_address")
        self.refused("INVALID_ARGUMENT", add(name="s7"), "name")
        self.refused("ALREADY_EXISTS", add(raft_address=cluster.servers[1].raft), "raft_address", "server 2")
        self.refused("FAILED_PRECONDITION", add(id=2), "id", "never used again")
        self.refused("NOT_FOUND", lambda: self.remove(cluster, "nobody"), "name", "s1", "s3")
        self.refused("NOT_FOUND", lambda: cluster.call("cluster.transfer", {"name": "s9"}), "name")
        # One of three is dead: no other one may go, but the dead one may.
        dead = cluster.followers()[0]
        other = cluster.followers()[1]
        dead.kill()
        wait_until(
            "the leader knows",
            lambda: not next(s for s in self.status(cluster)["servers"] if s["id"] == dead.number).get("reachable"),
        )
        time_left = lambda: self.refused(
            "FAILED_PRECONDITION", lambda: self.remove(cluster, f"s{other.number}"), f"s{dead.number} does not answer"
        )
        # The verdict comes with the age of the last answer.
        wait_until(
            "it counts as silent",
            lambda: self.transfer_refused(cluster, dead),
        )
        time_left()
        self.assertEqual(set(self.members(cluster).values()), {"voter"})
        self.remove(cluster, f"s{dead.number}")
        rest = [number for number in (1, 2, 3) if number != dead.number]
        self.settled(cluster, {number: "voter" for number in rest})
        # The dead one comes back, hears that it was removed, and ends.
        dead.launch()
        self.assertEqual(dead.process.wait(20 * SLOW), 1)
        dead.process = None
        self.assertIn("was removed from its cluster", dead.log())

    def transfer_refused(self, cluster, server):
        try:
            cluster.call("cluster.transfer", {"name": f"s{server.number}"})
        except RpcError as error:
            return error.code == "FAILED_PRECONDITION" and "does not answer" in error.message
        return False

    def test_one_that_is_not_there(self):
        """An address where nobody is: it waits, says why, holds up the next one, and can be taken back."""
        cluster = self.make(1)
        absent = Newcomer(cluster, 9)
        self.add(cluster, absent, "absent")
        wait_until("it says why", lambda: absent.api in self.status(cluster).get("waits_for", ""))
        self.assertEqual(self.members(cluster), {1: "voter", 2: "joining"})
        self.refused("FAILED_PRECONDITION", lambda: self.add(cluster, Newcomer(cluster, 8), "next"), "absent", "joining")
        # The same once more is the same.
        self.assertEqual(self.add(cluster, absent, "absent")["id"], "s2")
        self.remove(cluster, "absent")
        self.settled(cluster, {1: "voter"})
        # Its number is not used again; a server of another cluster does not join.
        foreign = self.newcomer(cluster, 3, numbered=True)
        foreign.call("cluster.init", {"name": "elsewhere"})
        self.assertEqual(self.add(cluster, foreign, "foreign")["id"], "s3")
        wait_until("it says why", lambda: "part of cluster" in self.status(cluster).get("waits_for", ""))
        self.remove(cluster, "foreign")
        self.settled(cluster, {1: "voter"})
        foreign.kill()

    def test_not_now_is_not_remembered(self):
        """A leader that has just begun does not know who is well: the same request is carried out a little later."""
        cluster = self.make(3)
        follower = cluster.followers()[0]
        follower.kill()
        cluster.leader().kill()
        for server in cluster.servers:
            if server.process is None:
                server.launch()
        params = {"name": f"s{follower.number}", "request_id": uuid.uuid4().bytes, "again": True}
        self.assertEqual(ask(cluster, "cluster.remove_server", params, 20)["id"], f"s{follower.number}")
        wait_until("it is gone", lambda: follower.number not in self.members(cluster))
        self.assertEqual(follower.process.wait(20 * SLOW), 1)
        follower.process = None

    def test_replace_a_dead_one(self):
        cluster = self.make(3)
        traffic = self.traffic(cluster)
        dead = cluster.followers()[0]
        dead.kill()
        new = self.newcomer(cluster, 4)
        self.add(cluster, new, "new")
        expected = {number: "voter" for number in (1, 2, 3)}
        self.settled(cluster, {**expected, 4: "standby"})
        self.remove(cluster, f"s{dead.number}")
        del expected[dead.number]
        self.settled(cluster, {**expected, 4: "voter"})
        traffic.end()
        cluster.check_replicas()

    def test_a_dead_voter_is_replaced_by_itself(self):
        cluster = self.make(3)
        self.add(cluster, self.newcomer(cluster, 4), "spare")
        self.settled(cluster, {1: "voter", 2: "voter", 3: "voter", 4: "standby"})
        dead = cluster.followers()[0]
        dead.kill()
        began = time.monotonic()
        expected = {number: "voter" for number in (1, 2, 3, 4)}
        expected[dead.number] = "standby"
        self.settled(cluster, expected, 60)
        self.assertGreater(time.monotonic() - began, 20)
        dead.start()
        cluster.check_replicas()
        self.settled(cluster, expected)

    def again(self, server):
        server.kill()
        server.launch()
        server.ready()

    def test_killed_on_the_way(self):
        """The new server, and whoever leads, die at each step of two servers that join."""
        cluster = self.make(3)
        traffic = self.traffic(cluster)
        logs = lambda: "\n".join(server.log() for server in cluster.servers)
        new = self.newcomer(cluster, 4)
        self.add(cluster, new, "d")
        wait_until("it was told", lambda: "joined a cluster" in new.log())
        self.again(new)
        wait_until("it is added", lambda: 'step="add" server=4' in logs())
        self.again(cluster.leader())
        wait_until("it gets the log", lambda: 'step="standby" server=4' in logs())
        self.again(cluster.leader())
        self.again(new)
        self.settled(cluster, {1: "voter", 2: "voter", 3: "voter", 4: "standby"}, 60)
        self.add(cluster, self.newcomer(cluster, 5), "e")
        for step in ("add", "standby"):
            wait_until(step, lambda step=step: f'step="{step}" server=5' in logs())
            self.again(cluster.leader())
        wait_until("the first of two gets its vote", lambda: 'step="voter" server=4' in logs())
        self.again(cluster.leader())
        wait_until("the second, too", lambda: 'step="voter" server=5' in logs())
        self.again(cluster.leader())
        self.settled(cluster, {number: "voter" for number in range(1, 6)}, 60)
        first = cluster.leader()
        self.remove(cluster, f"s{first.number}")
        wait_until("it hands over", lambda: 'step="transfer to"' in logs() or 'step="remove"' in logs())
        self.again(cluster.leader([server for server in cluster.servers if server is not first]))
        wait_until("it is gone", lambda: first.number not in self.members(cluster), 60)
        self.assertEqual(first.process.wait(20 * SLOW), 1)
        first.process = None
        traffic.end()
        cluster.check_replicas()

    def test_transfer(self):
        """Leadership goes round under traffic, and no request fails."""
        cluster = self.make(3)
        traffic = self.traffic(cluster)
        for turn in range(6):
            target = cluster.followers()[0]
            ask(cluster, "cluster.transfer", {"name": f"s{target.number}"})
            self.assertEqual(target.info()["role"], "leader")
            ask(cluster, "cluster.transfer", {"name": f"s{target.number}"})  # again: nothing to do
        traffic.end()
        self.assertLess(traffic.longest_s, 3.0 * SLOW)
        cluster.check_replicas()

    def test_rolling_restart(self):
        cluster = self.make(3)
        traffic = self.traffic(cluster)
        for server in cluster.servers:
            self.assertEqual(server.stop(), 0)
            server.start()
            wait_until(
                "it has caught up", lambda: server.info()["applied_index"] + 100 >= cluster.leader().info()["applied_index"]
            )
        traffic.end()
        self.assertLess(traffic.longest_s, 3.0 * SLOW)
        cluster.check_replicas()

    def test_agents_learn(self):
        """An agent that was started with one server finds the others when that one is gone."""
        cluster = self.make(1)
        SimAgent(cluster, "node1")
        online = lambda: ask(cluster, "node.get", {"name": "node1"})["health"] == "online"
        wait_until("it is online", online)
        for number, name in ((2, "b"), (3, "c")):
            self.add(cluster, self.newcomer(cluster, number), name)
            wait_until("it joined", lambda number=number: self.members(cluster).get(number) in ("standby", "voter"))
        self.settled(cluster, {1: "voter", 2: "voter", 3: "voter"})
        self.remove(cluster, "s1")
        first = cluster.servers[0]
        self.assertEqual(first.process.wait(30 * SLOW), 1)
        first.process = None
        self.settled(cluster, {2: "voter", 3: "voter"})
        wait_until("it is online again", online, 30)

    def test_numbers(self):
        """A server started with a number keeps it; one that was given another refuses."""
        cluster = self.make(1)
        new = self.newcomer(cluster, 7, numbered=True)
        # It knows nothing of what became of an earlier attempt.
        params = {"name": "n", "request_id": uuid.uuid4().bytes}
        self.refused("FAILED_PRECONDITION", lambda: new.call("node.cordon", params), "not part of a cluster")
        params["again"] = True
        self.refused("UNAVAILABLE", lambda: new.call("node.cordon", params), "not part of a cluster", "outcome=unknown")
        self.add(cluster, new, "wrong")  # the cluster chooses 2
        wait_until("it says why", lambda: "this is server 7, not 2" in self.status(cluster).get("waits_for", ""))
        self.remove(cluster, "wrong")
        self.settled(cluster, {1: "voter"})
        self.assertEqual(self.add(cluster, new, "right", id=7)["id"], "s7")
        self.settled(cluster, {1: "voter", 7: "standby"})
        self.remove(cluster, "right")
        self.assertEqual(new.process.wait(20 * SLOW), 1)
        new.process = None
        self.settled(cluster, {1: "voter"})


if __name__ == "__main__":
    main()
