# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers die: what was acknowledged stays, what was repeated happened once, and the replicas agree."""

import os
import random
import threading

from harness import ClusterTest, GIB, RpcError, main, wait_until

VOLUMES = 50


class Faults(ClusterTest):
    def create_all(self, cluster, count, replies, started):
        """`count` clients, each creating one volume and repeating until it has an outcome."""
        seeds = [bytes(random.randrange(256) for _ in range(16)) for _ in range(count)]

        def client(number):
            started.release()
            params = {"name": f"vol{number}", "size_bytes": GIB, "request_id": seeds[number]}
            try:
                replies[number] = cluster.retry("volume.create", params)
                # Once more, as a client does that lost the answer: the same outcome.
                again = cluster.retry("volume.create", params)
                if again != replies[number]:
                    replies[number] = AssertionError(f"{again} is not {replies[number]}")
            except Exception as error:
                replies[number] = error

        threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        return threads

    def test_leader_killed_under_creates(self):
        cluster = self.make()
        self.rack(cluster, disks=2)
        leader = cluster.leader()
        replies, started = {}, threading.Semaphore(0)
        threads = self.create_all(cluster, VOLUMES, replies, started)
        survivors = [server for server in cluster.servers if server is not leader]
        # Kill it when some are committed and others are on their way.
        wait_until("some are committed", lambda: len(survivors[0].call("volume.list").get("volumes", [])) >= 5)
        leader.kill()
        for thread in threads:
            thread.join(90)
        for number in range(VOLUMES):
            self.assertIsInstance(replies.get(number), dict, f"vol{number}: {replies.get(number)!r}")
        volumes = cluster.call("volume.list")["volumes"]
        self.assertEqual(sorted(v["name"] for v in volumes), sorted(f"vol{n}" for n in range(VOLUMES)))
        self.assertEqual({v["name"]: v["id"] for v in volumes}, {f"vol{n}": replies[n]["id"] for n in range(VOLUMES)})
        leader.start()
        cluster.check_extents()
        cluster.check_replicas()
        for number in range(VOLUMES):
            self.online(cluster, f"vol{number}")

    def test_leaders_killed_again_and_again(self):
        cluster = self.make()
        self.rack(cluster)
        replies, started = {}, threading.Semaphore(0)
        threads = self.create_all(cluster, VOLUMES, replies, started)
        for _ in range(3):
            leader = cluster.leader()
            leader.kill()
            cluster.leader()
            leader.start()
        for thread in threads:
            thread.join(90)
        self.assertEqual([r for r in replies.values() if not isinstance(r, dict)], [])
        self.assertEqual(len(cluster.call("volume.list")["volumes"]), VOLUMES)
        cluster.check_extents()
        cluster.check_replicas()

    def test_paused_leader_is_deposed(self):
        """A leader that stands still answers nothing old when it goes on."""
        cluster = self.make()
        self.rack(cluster)
        old = cluster.leader()
        others = [server for server in cluster.servers if server is not old]
        with old.connect() as connection:
            connection.call("volume.list")
            old.pause()
            pending = connection.request("volume.list")
            new = wait_until("another leader", lambda: cluster.leader(others))
            wait_until(
                "the agents are with the new leader",
                lambda: all(node["health"] == "online" for node in new.call("node.list")["nodes"]),
            )
            new.call("volume.create", {"name": "fresh", "size_bytes": GIB})
            old.resume()
            names = [volume["name"] for volume in connection.response(pending).get("volumes", [])]
        self.assertEqual(names, ["fresh"])
        cluster.check_replicas()

    def test_refused_while_a_copy_is_on_its_way(self):
        """The leader stands still with a request that it has not read. The next one refuses a second copy of it, and
        remembers that: whenever the first one is read, it is refused as well."""
        cluster = self.make()
        old = cluster.leader()
        follower = cluster.followers()[0]
        params = {"name": "vol", "size_bytes": GIB}  # no node: nowhere to place it
        error = self.refused("NO_CAPACITY", lambda: follower.call("volume.create", dict(params, request_id=bytes(16))))
        self.assertNotIn("outcome=", error.details)
        copies = dict(params, request_id=bytes(15) + b"x")
        with follower.connect() as connection:
            old.pause()
            pending = connection.request("volume.create", copies)
            error = self.refused("NO_CAPACITY", lambda: connection.response(pending), "outcome=none")
        old.resume()
        self.rack(cluster)
        self.refused("NO_CAPACITY", lambda: cluster.call("volume.create", copies))
        self.assertEqual(cluster.call("volume.list", {}).get("volumes", []), [])
        cluster.call("volume.create", dict(params, request_id=bytes(15) + b"y"))
        cluster.check_replicas()

    def test_all_killed_and_restarted(self):
        cluster = self.make()
        agents = self.rack(cluster)
        for number in range(10):
            cluster.call("volume.create", {"name": f"vol{number}", "size_bytes": GIB})
        for number in range(10):
            self.online(cluster, f"vol{number}")
        cluster.call("volume.attach", {"volume": "vol3", "host_nqn": "nqn.2014-08.org.x:h"})
        before = cluster.state()
        for server in cluster.servers:
            server.kill()
        for server in cluster.servers:
            server.start()
        self.assertEqual(cluster.state(), before)
        cluster.check_replicas()
        cluster.check_extents()
        for agent in agents:
            wait_until(
                f"{agent.name_} is online again",
                lambda agent=agent: cluster.call("node.get", {"name": agent.name_})["health"] == "online",
            )
        self.assertEqual(cluster.state(), before)

    def test_killed_at_any_moment(self):
        """All three die while commands are on their way, several times; nothing acknowledged is lost."""
        cluster = self.make(options=["--snapshot-threshold=20", "--snapshot-trailing=5"])
        self.rack(cluster)
        acknowledged, stop = {}, threading.Event()

        def client():
            number = 0
            while not stop.is_set():
                name = f"vol{number}"
                number += 1
                try:
                    server = random.choice(cluster.servers)
                    acknowledged[name] = server.call("volume.create", {"name": name, "size_bytes": 64 << 20})["id"]
                except (RpcError, OSError):
                    pass

        thread = threading.Thread(target=client, daemon=True)
        thread.start()
        for round in range(3):
            target = len(acknowledged) + 5
            wait_until("some more are acknowledged", lambda target=target: len(acknowledged) >= target)
            for server in cluster.servers:
                server.kill()
            for server in cluster.servers:
                server.start()
        stop.set()
        thread.join(60)
        present = {volume["name"]: volume["id"] for volume in cluster.call("volume.list")["volumes"]}
        for name, id in acknowledged.items():
            self.assertEqual(present.get(name), id, f"{name} was acknowledged")
        cluster.check_extents()
        cluster.check_replicas()

    def test_follower_catches_up_by_snapshot(self):
        cluster = self.make(options=["--snapshot-threshold=16", "--snapshot-trailing=4"])
        self.rack(cluster)
        follower = cluster.followers()[0]
        follower.kill()
        for number in range(30):
            cluster.call("volume.create", {"name": f"vol{number}", "size_bytes": GIB})
        wait_until("the leader took snapshots", lambda: cluster.leader().info().get("snapshot_index", 0) > 0)
        reads, stop = [], threading.Event()

        def reader():
            while not stop.is_set():
                reads.append(len(cluster.leader().call("volume.list")["volumes"]))

        thread = threading.Thread(target=reader, daemon=True)
        thread.start()
        follower.start()
        wait_until("a snapshot is installed", lambda: follower.info().get("snapshots_installed", 0) >= 1)
        seen = len(reads)
        wait_until("reads go on", lambda: len(reads) > seen)
        self.assertEqual(len(follower.call("volume.list")["volumes"]), 30)
        stop.set()
        thread.join(30)
        self.assertEqual(set(reads), {30})
        cluster.check_replicas()

    def test_agents_follow_the_leader(self):
        cluster = self.make()
        agents = self.rack(cluster)
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB})
        self.online(cluster, "vol")
        before = cluster.state()
        parts = [len(agent.parts) for agent in agents]
        cluster.leader().kill()
        for agent, count in zip(agents, parts):
            wait_until(f"{agent.name_} has another session", lambda a=agent, c=count: len(a.parts) > c)
            wait_until(
                f"{agent.name_} is online again",
                lambda agent=agent: cluster.call("node.get", {"name": agent.name_})["health"] == "online",
            )
        # The new leader told them the whole again, with the same objects at the same revisions, and changed nothing.
        self.assertEqual(cluster.state(), before)
        for agent, count in zip(agents, parts):
            told = [part for part in agent.parts[count:] if part.get("reset")]
            self.assertTrue(told)
            self.assertGreater(told[-1]["term"], agent.parts[0]["term"])
            for kind, key in (("volume", "volumes"), ("export", "exports"), ("disk", "disks")):
                for item in told[-1].get(key, []):
                    self.assertEqual(agent.objects[kind, item["id"]][2], item["revision"])


if __name__ == "__main__":
    main()
