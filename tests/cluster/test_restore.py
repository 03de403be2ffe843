# SPDX-License-Identifier: GPL-2.0-or-later
"""All servers are lost for good: their cluster goes on with a backup, and volumes and disks when their operator says so."""

import os
import shutil
import time

from harness import GIB, ClusterTest, Numberless, Server, main, wait_until

DONE, REFUSED, USAGE = range(3)


class Restore(ClusterTest):
    def restore(self, server, *words, status=1):
        return self.ran(server.arguments() + list(words), status)

    def volume(self, cluster, name):
        return cluster.call("volume.get", {"name": name})["volume"]

    def held(self, cluster):
        """(volumes, disks) that are."""
        volumes = [item for item in cluster.call("volume.list")["volumes"]]
        names = [item["name"] for item in volumes if "hold" in self.volume(cluster, item["name"])]
        return sorted(names), sorted(disk["id"] for disk in cluster.call("disk.list")["disks"] if disk.get("held"))

    def backup(self, cluster):
        path = os.path.join(cluster.directory, "backup")
        self.dnvme([cluster.leader()], "cluster", "backup", path)
        return path

    def test_restore(self):
        cluster = self.make()
        agents = self.rack(cluster)
        for name in ("one", "two"):
            cluster.call("volume.create", {"name": name, "size_bytes": GIB, "copies": 2})
            self.online(cluster, name)
        path = self.backup(cluster)
        cluster.call("volume.create", {"name": "later", "size_bytes": GIB, "copies": 2})
        self.online(cluster, "later")
        later = self.volume(cluster, "later")
        disks = sorted(disk["id"] for disk in cluster.call("disk.list")["disks"])
        old = list(cluster.servers)
        server = Numberless(cluster, 1)
        server.directory = os.path.join(cluster.directory, "restored")
        # Whoever lives is not lost.
        self.assertIn("something answers there", self.restore(server, "--restore", path, "--yes"))
        term = cluster.leader().info()["term"]
        for each in old:
            each.kill()
            shutil.rmtree(each.directory)
        said = self.restore(server, "--restore", path)
        for words in ("--yes is missing", 'cluster "test"', "volumes that were made since", "no server of this cluster"):
            self.assertIn(words, said)
        self.assertEqual(os.listdir(server.directory), [])
        self.assertIn("is restored as it was at", self.restore(server, "--restore", path, "--yes", status=0))
        self.assertIn("is not empty", self.restore(server, "--restore", path, "--yes"))
        cluster.servers[:] = [server]
        server.start()
        self.assertIs(cluster.leader(), server)
        self.assertGreater(server.info()["term"], term + 1000000)
        self.assertEqual([each["id"] for each in cluster.call("cluster.status")["servers"]], [server.info()["id"]])
        self.assertFalse(os.path.exists(os.path.join(server.directory, "recovering")))
        self.assertIn("sound", self.dnvme([server], "cluster", "check"))
        self.assertIn("restored from a backup", self.dnvme([server], "event", "list"))
        # What is known is out of use, and nothing lands on what is not.
        self.assertEqual(self.held(cluster), (["one", "two"], disks))
        for name in ("one", "two"):
            slot = self.volume(cluster, name)["slots"][0]
            self.assertEqual(slot["phase"], "fencing")
            self.assertGreater(slot["epoch"], 1024 << 20)
        self.assertGreater(self.volume(cluster, "one")["revision"], later["revision"] + (1 << 40))
        wait_until("agents are back", lambda: all(agent.connected.is_set() for agent in agents))
        wait_until(
            "nodes are online",
            lambda: all(node["health"] == "online" for node in cluster.call("node.list")["nodes"]),
        )
        create = {"name": "new", "size_bytes": GIB, "copies": 2}
        self.refused("NO_CAPACITY", lambda: cluster.call("volume.create", create), "held since a restore")
        self.assertIn("held", self.dnvme([server], "disk", "list"))
        # An operator says that it may be used.
        self.assertIn("that of a backup", self.dnvme([server], "volume", "release", "one"))
        wait_until("it is released", lambda: self.released(server, "one"), 30)
        wait_until("it is served", lambda: self.volume(cluster, "one")["slots"][0]["phase"] == "serving", 30)
        self.assertEqual(self.held(cluster)[0], ["two"])
        self.assertIn("--yes", self.dnvme([server], "disk", "release", *disks))
        self.assertEqual(self.held(cluster)[1], disks)
        self.refused("NO_CAPACITY", lambda: cluster.call("volume.create", create), "held since a restore")
        self.dnvme([server], "disk", "release", *disks, "--yes")
        self.assertEqual(self.held(cluster)[1], [])
        cluster.call("volume.create", create)
        self.online(cluster, "new")
        new = self.volume(cluster, "new")
        self.assertGreater(int(new["id"][1:]), int(later["id"][1:]) + (1024 << 20) - 2)
        for number, name in ((2, "b"), (3, "c")):
            self.newcomer(cluster, number, name)
            wait_until(f"{name} has joined", lambda: cluster.call("cluster.status").get("waits_for") is None, 40)
        self.assertEqual(
            sorted(each["membership"] for each in cluster.call("cluster.status")["servers"]), ["voter"] * 3
        )
        cluster.check_replicas()
        cluster.call("cluster.transfer", {"name": "c"})
        wait_until("the new one leads", lambda: cluster.leader() is cluster.servers[-1])
        self.assertEqual(self.held(cluster), (["two"], []))
        self.assertIn("sound", self.dnvme([cluster.leader()], "cluster", "check"))
        cluster.check_extents()

    def test_refused(self):
        """Nothing is changed by what is refused; one that was interrupted begins anew."""
        cluster = self.make(1)
        path = self.backup(cluster)
        cluster.servers[0].kill()
        server = Server(cluster, 1)
        server.directory = os.path.join(cluster.directory, "restored")
        with open(path, "rb") as file:
            whole = file.read()
        for name, content, words in (
            ("cut", whole[:-1], "backup"),
            ("longer", whole + b"x", "backup"),
            ("flipped", whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :], ""),
            ("version", whole[:8] + b"\x63" + whole[9:], "version"),
            ("other", b"text", "backup"),
        ):
            with open(os.path.join(cluster.directory, name), "wb") as file:
                file.write(content)
            said = self.restore(server, "--restore", os.path.join(cluster.directory, name), "--yes")
            self.assertIn("cannot restore", said)
            self.assertIn(words, said)
        self.assertIn("cannot restore", self.restore(server, "--restore", path + "none", "--yes"))
        self.assertFalse(os.path.exists(server.directory))
        for words in (["--restore", path, "--recover"], ["--restore", path, "--lost", "s1"], ["--yes"], ["--restore="]):
            self.restore(server, *words, status=USAGE)
        os.mkdir(server.directory)
        other = os.path.join(server.directory, "other")
        with open(other, "wb"):
            pass
        self.assertIn('there is "other"', self.restore(server, "--restore", path, "--yes"))
        os.unlink(other)
        # The mark of one that was interrupted.
        for name, content in (("restoring", b""), ("recovering", b"x"), ("id", b"7\n"), ("raft/snapshot-1-1-1", b"x")):
            os.makedirs(os.path.dirname(os.path.join(server.directory, name)), exist_ok=True)
            with open(os.path.join(server.directory, name), "wb") as file:
                file.write(content)
        self.assertIn("was not finished", self.restore(server, status=1))
        self.restore(server, "--restore", path, "--yes", status=0)
        then = time.time()
        cluster.servers[:] = [server]
        server.start()
        cluster.leader()
        revision = cluster.call("cluster.status")["revision"]
        # The same backup once more, a second later: no number comes again.
        server.kill()
        shutil.rmtree(server.directory)
        wait_until("it is another second", lambda: time.time() > then + 1)
        self.restore(server, "--restore", path, "--yes", status=0)
        server.start()
        cluster.leader()
        self.assertGreater(cluster.call("cluster.status")["revision"], revision + (1 << 33))


if __name__ == "__main__":
    main()
