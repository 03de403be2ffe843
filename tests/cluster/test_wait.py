# SPDX-License-Identifier: GPL-2.0-or-later
"""volume.get that waits for a change of its volume."""

import time

from harness import SLOW, ClusterTest, GIB, main, wait_until

WAIT_MS = 15000
# Far below the time that is waited for: an answer by then came because of the change.
PROMPT_S = 6.0 * SLOW


class Wait(ClusterTest):
    def volume(self, cluster, **options):
        agents = self.rack(cluster, **options)
        id = cluster.call("volume.create", {"name": "vol", "size_bytes": GIB})["id"]
        self.online(cluster, "vol")
        return id, agents

    def revision(self, cluster):
        return cluster.call("volume.get", {"name": "vol"})["volume"]["revision"]

    def attach(self, cluster, number):
        host = f"nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-{number:012}"
        return cluster.call("volume.attach", {"volume": "vol", "host_nqn": host})["revision"]

    def waiting(self, server, after, name="vol", wait_ms=WAIT_MS):
        """A connection with one request that waits, and its msgid."""
        connection = server.connect()
        self.addCleanup(connection.close)
        msgid = connection.request("volume.get", {"name": name, "after_revision": after, "wait_ms": wait_ms})
        # The server takes what came before on the same connection first, so from here on it waits.
        connection.call("server.info")
        return connection, msgid

    def test_a_change_wakes(self):
        cluster = self.make()
        self.volume(cluster)
        for number, server in enumerate([cluster.leader()] + cluster.followers()):
            before = self.revision(cluster)
            connection, msgid = self.waiting(server, before)
            begun = time.monotonic()
            revision = self.attach(cluster, number)
            answer = connection.response(msgid)
            self.assertLess(time.monotonic() - begun, PROMPT_S)
            self.assertEqual(answer["volume"]["revision"], revision)
            self.assertEqual(len(answer["volume"]["hosts"]), number + 1)

    def test_another_volume_does_not_wake(self):
        cluster = self.make()
        self.volume(cluster)
        connection, msgid = self.waiting(cluster.leader(), self.revision(cluster))
        # It changes several times on its way.
        cluster.call("volume.create", {"name": "other", "size_bytes": GIB})
        self.online(cluster, "other")
        revision = self.attach(cluster, 1)
        self.assertEqual(connection.response(msgid)["volume"]["revision"], revision)

    def test_at_once(self):
        cluster = self.make()
        self.volume(cluster)
        now = self.revision(cluster)
        for server in cluster.servers:
            for params in ({"after_revision": now - 1, "wait_ms": WAIT_MS}, {"after_revision": now}, {}):
                begun = time.monotonic()
                answer = server.call("volume.get", {"name": "vol", **params})
                self.assertLess(time.monotonic() - begun, PROMPT_S)
                self.assertEqual(answer["volume"]["revision"], now)
            self.refused("NOT_FOUND", lambda s=server: s.call("volume.get", {"name": "no", "wait_ms": WAIT_MS}), "no")
            self.refused(
                "INVALID_ARGUMENT", lambda s=server: s.call("volume.get", {"name": "vol", "wait_ms": 15001}), "wait_ms"
            )

    def test_the_time_is_over(self):
        cluster = self.make()
        self.volume(cluster)
        now = self.revision(cluster)
        for server in cluster.servers:
            # The longer one is asked for first, so that they end in another order than they came.
            late, late_id = self.waiting(server, now, wait_ms=900)
            begun = time.monotonic()
            answer = server.call("volume.get", {"name": "vol", "after_revision": now, "wait_ms": 300})
            self.assertGreaterEqual(time.monotonic() - begun, 0.29)
            self.assertEqual(answer["volume"]["revision"], now)
            self.assertEqual(late.response(late_id)["volume"]["revision"], now)

    def test_deleted_meanwhile(self):
        cluster = self.make()
        id, agents = self.volume(cluster)
        held = cluster.call("volume.get", {"name": id})["disks"][0]["id"]
        holder = next(a for a in agents if ("export", f"{held}.{id}.s0") in a.objects)
        holder.hold.add(f"{held}.{id}.s0")
        cluster.call("volume.delete", {"name": id})
        releasing = wait_until(
            "only one disk is left",
            lambda: (v := cluster.call("volume.get", {"name": id})["volume"])["phase"] == "releasing" and v,
        )
        waiters = [self.waiting(server, releasing["revision"], name=id) for server in cluster.servers]
        begun = time.monotonic()
        holder.release(f"{held}.{id}.s0")
        for connection, msgid in waiters:
            self.refused("NOT_FOUND", lambda c=connection, m=msgid: c.response(m), id)
        self.assertLess(time.monotonic() - begun, PROMPT_S)

    def test_many_wait_and_some_leave(self):
        cluster = self.make()
        self.volume(cluster)
        now = self.revision(cluster)
        waiters = []
        for server in cluster.servers:
            for _ in range(4):
                connection = server.connect()
                self.addCleanup(connection.close)
                params = {"name": "vol", "after_revision": now, "wait_ms": WAIT_MS}
                waiters.append((connection, [connection.request("volume.get", params) for _ in range(250)]))
        for connection, msgids in waiters:
            connection.call("server.info")
        # What a forwarded request needs is not used up by those that wait.
        for server in cluster.servers:
            begun = time.monotonic()
            server.call("volume.get", {"name": "vol"})
            self.assertLess(time.monotonic() - begun, PROMPT_S)
        for connection, _ in waiters[::2]:
            connection.close()
        revision = self.attach(cluster, 1)
        for connection, msgids in waiters[1::2]:
            left = set(msgids)
            while left:
                _, msgid, error, result = connection.receive()
                self.assertIsNone(error)
                self.assertEqual(result["volume"]["revision"], revision)
                left.remove(msgid)

    def test_the_leader_changes(self):
        cluster = self.make()
        self.volume(cluster)
        now = self.revision(cluster)
        leader = cluster.leader()
        waiters = [self.waiting(server, now) for server in cluster.followers()]
        leader.kill()
        cluster.leader()
        revision = self.attach(cluster, 1)
        for connection, msgid in waiters:
            self.assertEqual(connection.response(msgid)["volume"]["revision"], revision)

    def test_a_server_stops(self):
        cluster = self.make()
        self.volume(cluster)
        now = self.revision(cluster)
        for server in (cluster.followers()[0], cluster.leader()):
            connection, msgid = self.waiting(server, now)
            begun = time.monotonic()
            server.process.terminate()
            self.refused("UNAVAILABLE", lambda: connection.response(msgid), "stopping")
            self.assertLess(time.monotonic() - begun, PROMPT_S)
            server.stop()
            server.start()
            server.ready()

    def test_nobody_leads(self):
        cluster = self.make()
        self.volume(cluster)
        now = self.revision(cluster)
        follower = cluster.followers()[0]
        connection, msgid = self.waiting(follower, now)
        begun = time.monotonic()
        for server in cluster.servers:
            if server is not follower:
                server.kill()
        # It waits for a leader as every request does, but not for the change: it could not see one.
        self.refused("UNAVAILABLE", lambda: connection.response(msgid))
        self.assertLess(time.monotonic() - begun, 12 * SLOW)


if __name__ == "__main__":
    main()
