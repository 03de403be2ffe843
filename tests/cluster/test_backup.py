# SPDX-License-Identifier: GPL-2.0-or-later
"""cluster.check and cluster.backup, while the cluster is in use; the state of a stopped server is looked at."""

import hashlib
import json
import os
import threading
import uuid

from harness import GIB, ClusterTest, main, wait_until

DONE, REFUSED, USAGE, UNAVAILABLE, TIMED_OUT = range(5)


class Traffic(threading.Thread):
    """Changes the state again and again."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.ending = threading.Event()
        self.revision = 0  # of the last change that was acknowledged
        self.failure = None

    def run(self):
        try:
            number = 0
            while not self.ending.is_set():
                number += 1
                params = {"settings": {"rebuild_after_ms": 1000 + number}, "request_id": uuid.uuid4().bytes}
                self.revision = self.cluster.retry("cluster.set", params)["revision"]
        except Exception as error:  # shown by the test
            self.failure = error

    def end(self):
        self.ending.set()
        self.join()
        if self.failure is not None:
            raise self.failure


class Backup(ClusterTest):
    def path(self, cluster, name):
        return os.path.join(cluster.directory, name)

    def traffic(self, cluster):
        traffic = Traffic(cluster)
        self.addCleanup(traffic.ending.set)
        traffic.start()
        wait_until("traffic flows", lambda: traffic.revision > 0)
        return traffic

    def filled(self, count=3):
        """A cluster with a volume."""
        cluster = self.make(count)
        self.rack(cluster)
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "copies": 2})
        self.online(cluster, "vol")
        return cluster

    def test_backup_under_traffic(self):
        cluster = self.filled()
        traffic = self.traffic(cluster)
        path = self.path(cluster, "backup")
        for server in cluster.servers:
            before = traffic.revision
            backup = json.loads(self.dnvme(cluster.servers, "cluster", "backup", path, "--force", "-o", "json"))
            self.assertGreaterEqual(backup["revision"], before)
            self.assertEqual(json.loads(self.dnvme(cluster.servers, "cluster", "check", "--file", path, "-o", "json")), backup)
            # The next one comes from another server.
            cluster.servers.append(cluster.servers.pop(0))
            self.assertNotEqual(backup["server"], 0)
        reached = traffic.revision
        wait_until("traffic goes on", lambda: traffic.revision > reached)
        traffic.end()
        self.assertEqual(sorted(os.listdir(cluster.directory)).count("backup"), 1)
        self.assertFalse([name for name in os.listdir(cluster.directory) if name.startswith("backup.")])
        # A file that is there is not replaced, and one that cannot be made is not half made.
        self.assertIn("is there already", self.dnvme(cluster.servers, "cluster", "backup", path, status=REFUSED))
        self.dnvme(cluster.servers, "cluster", "backup", self.path(cluster, "none/backup"), status=REFUSED)
        with open(path, "rb") as file:
            whole = file.read()
        for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:100] + b"x" + whole[101:], b""):
            with open(path, "wb") as file:
                file.write(damaged)
            said = self.dnvme(cluster.servers, "cluster", "check", "--file", path, status=REFUSED)
            self.assertIn(path, said)
            self.assertTrue("damaged" in said or "not a backup" in said, said)

    def read(self, server, token, size, step):
        """The whole state, in requests that begin `step` bytes apart."""
        state = b""
        for offset in range(0, size, step):
            piece = server.call("cluster.backup", {"token": token, "offset": offset})
            state += piece["bytes"][:step]
        return state

    def test_slow_readers(self):
        """A backup stays what it is while the state changes; there are two at most, and each can be let go."""
        cluster = self.filled()
        server = cluster.servers[0]
        first = server.call("cluster.backup")
        traffic = self.traffic(cluster)
        size = first["backup"]["state_bytes"]
        revision = traffic.revision  # of which whoever leads told: this server may be behind
        second = wait_until("the server is there", lambda: server.call("cluster.backup", {"revision": revision}))
        self.assertGreater(second["backup"]["revision"], first["backup"]["revision"])
        self.refused("NO_CAPACITY", lambda: server.call("cluster.backup"), "2 backups are being read")
        # Another server has room.
        other = cluster.servers[1].call("cluster.backup")
        self.refused(
            "NOT_FOUND", lambda: server.call("cluster.backup", {"token": other["token"]}), "has no such backup"
        )
        whole = first["bytes"]
        self.assertEqual(len(whole), size)
        self.assertEqual(self.read(server, first["token"], size, size // 3 + 1), whole)
        self.assertNotEqual(self.read(server, second["token"], second["backup"]["state_bytes"], 1000), whole)
        self.refused(
            "INVALID_ARGUMENT",
            lambda: server.call("cluster.backup", {"token": first["token"], "offset": size + 1}),
            "offset",
        )
        self.assertEqual(server.call("cluster.backup", {"token": first["token"], "offset": size}).get("bytes", b""), b"")
        self.refused("NOT_FOUND", lambda: server.call("cluster.backup", {"token": first["token"]}))
        server.call("cluster.backup")
        self.refused(
            "UNAVAILABLE", lambda: server.call("cluster.backup", {"revision": 1 << 60}), "not at"
        )
        self.refused("INVALID_ARGUMENT", lambda: server.call("cluster.backup", {"offset": 1}), "begins at 0")
        traffic.end()

    def test_backup_when_servers_die(self):
        """The first server of the list is dead; without a majority there is no backup."""
        cluster = self.filled()
        victim = cluster.followers()[0]
        victim.kill()
        cluster.servers.sort(key=lambda server: server is not victim)
        backup = json.loads(
            self.dnvme(cluster.servers, "cluster", "backup", self.path(cluster, "backup"), "-o", "json")
        )
        self.assertNotEqual(backup["server"], victim.number)
        for server in cluster.alive()[1:]:
            server.kill()
        # Nobody can say any more what is committed.
        self.dnvme(cluster.servers, "cluster", "backup", self.path(cluster, "more"), "--timeout", "2s", status=TIMED_OUT)
        self.assertFalse([name for name in os.listdir(cluster.directory) if name.startswith("more")])

    def test_check(self):
        """Each server audits its own state under traffic, and is asked as often as one likes."""
        cluster = self.filled()
        traffic = self.traffic(cluster)
        answers = []

        def ask():
            answers.append(cluster.servers[0].call("cluster.check"))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        said = self.dnvme(cluster.servers, "cluster", "check")
        for thread in threads:
            thread.join()
        self.assertEqual(said.count("sound"), 3, said)
        self.assertEqual([answer.get("total", 0) for answer in answers], [0] * 8)
        self.assertTrue(all(answer["revision"] > 0 and answer["server"] == 1 for answer in answers))
        traffic.end()
        for server in cluster.servers:
            self.assertFalse(os.path.exists(os.path.join(server.directory, "check")))
        # One that does not answer is named, the others are asked all the same.
        cluster.followers()[0].kill()
        said = self.dnvme(cluster.servers, "cluster", "check", "--timeout", "5s", status=UNAVAILABLE)
        self.assertEqual(said.count("sound"), 2, said)
        self.assertIn("cannot check server", said)

    def test_not_a_cluster_yet(self):
        cluster = self.make(1, init=False)
        for method in ("cluster.check", "cluster.backup"):
            self.refused("FAILED_PRECONDITION", lambda m=method: cluster.servers[0].call(m), "not part of a cluster")

    def offline(self, server, status):
        return self.ran(server.arguments() + ["--check-state"], status)

    def sight(self, directory):
        """Everything in it, and when it changed."""
        seen = []
        for root, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(root, name)
                with open(path, "rb") as file:
                    status = os.fstat(file.fileno())
                    seen.append((path, status.st_mtime_ns, status.st_size, hashlib.sha1(file.read()).hexdigest()))
        return sorted(seen)

    def test_check_of_a_stopped_server(self):
        cluster = self.filled(1)
        server = cluster.servers[0]
        revision = cluster.call("cluster.status")["revision"]
        self.assertIn("in use by another process", self.offline(server, 1))
        server.kill()
        before = self.sight(server.directory)
        said = self.offline(server, 0)
        self.assertIn("is sound", said)
        self.assertIn(f"revision {revision}", said)
        self.assertEqual(self.sight(server.directory), before)
        server.start()
        self.assertEqual(server.stop(), 0)
        self.assertIn("is sound", self.offline(server, 0))
        path = os.path.join(server.directory, "state", "data.mdb")
        with open(path, "r+b") as file:
            file.seek(4096 + 40)
            file.write(b"\xff" * 64)
        before = self.sight(server.directory)
        self.assertIn("damaged", self.offline(server, 1))
        self.assertEqual(self.sight(server.directory), before)


if __name__ == "__main__":
    main()
