# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line, verb by verb, against real servers: what it prints, what it refuses, how it ends."""

import json
import os
import signal
import subprocess
import threading

from harness import BIN, ClusterTest, SLOW, main, wait_until

HOST = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"
DONE, REFUSED, USAGE, UNAVAILABLE, TIMED_OUT = range(5)


class CommandLine(ClusterTest):
    def dnvme(self, servers, *words, status=DONE, env=None):
        """What it says: standard output if it is done, else standard error."""
        environment = dict(os.environ, **(env or {}))
        environment.pop("DNVME_SERVERS", None) if env is None else None
        given = ["--server", servers] if servers else []
        done = subprocess.run([os.path.join(BIN, "dnvme"), *given, *words], capture_output=True, text=True,
                              timeout=120 * SLOW, stdin=subprocess.DEVNULL, env=environment, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == DONE else done.stderr

    def cli(self, *words, status=DONE):
        return self.dnvme(self.servers, *words, status=status)

    def json(self, *words):
        return json.loads(self.cli(*words, "-o", "json"))

    def words(self, text, *words):
        for word in words:
            self.assertIn(word, text)

    def row(self, table, name):
        """The cells of the line that begins with `name`."""
        for line in table.split("\n"):
            if line.split()[:1] == [name]:
                return line.split()
        raise AssertionError(f"no {name} in:\n{table}")

    def begin(self, nodes=3, **options):
        cluster = self.make()
        self.servers = ",".join(server.api for server in cluster.servers)
        agents = self.rack(cluster, nodes, **options)
        return cluster, agents

    def test_servers(self):
        """From one server to three and back to two by the verbs of the command line."""
        cluster = self.make(1)
        self.servers = cluster.servers[0].api
        for number in (2, 3):
            server = cluster.make_server(cluster, number)
            server.start()
            cluster.servers.append(server)
        second, third = cluster.servers[1:]
        self.words(self.cli("cluster", "add-server", "b", status=USAGE), "needs NAME ADDRESS")
        self.words(self.cli("cluster", "add-server", "b", f"{cluster.network}.99:7400", status=UNAVAILABLE),
                   "cannot add server \"b\"", "hint: the new server must run")
        self.words(self.cli("cluster", "add-server", "b", second.api), "server b (s2) is added: it stands by")
        self.words(self.cli("cluster", "add-server", "b", second.api), "server b (s2) is added")
        self.words(self.cli("cluster", "add-server", "b", third.api, status=REFUSED), "name: server 2 has the name")
        self.words(self.cli("cluster", "transfer", "b", status=REFUSED), "server b does not vote")
        self.words(self.cli("cluster", "add-server", "c", third.api), "server c (s3) is added: it votes")
        table = self.cli("cluster", "status")
        self.words(table, "MEMBER")
        self.assertEqual(self.row(table, "1")[1:4], ["s1", "voter", "leader"])
        self.assertEqual(self.row(table, "2")[1:4], ["b", "voter", "follower"])
        self.words(self.cli("cluster", "transfer"), "leads")
        self.words(self.cli("cluster", "transfer", "b"), "server b leads")
        self.words(self.cli("cluster", "transfer", "b", "c", status=USAGE), "\"c\" is one argument too many")
        self.servers = f"{second.api},{third.api}"
        self.words(self.cli("cluster", "remove-server", "nobody", status=REFUSED), "there is no server \"nobody\"")
        self.words(self.cli("cluster", "remove-server", "s1"), "server s1 is removed")
        wait_until("it ended", lambda: cluster.servers[0].process.poll() is not None)
        self.assertEqual(cluster.servers[0].process.returncode, 1)
        cluster.servers[0].process = None
        fourth = cluster.make_server(cluster, 4)
        fourth.start()
        cluster.servers.append(fourth)
        self.words(self.cli("cluster", "replace-server", "c", "d", fourth.api, "--no-wait", status=USAGE), "waits")
        self.words(self.cli("cluster", "replace-server", "c", "d", fourth.api),
                   "server d has taken the place of server c")
        third.process.wait(20 * SLOW)
        third.process = None
        self.assertEqual([server["name"] for server in self.json("cluster", "status")["servers"]], ["b", "d"])

    def test_forming_a_cluster(self):
        cluster = self.make(init=False)
        servers = [server.api for server in cluster.servers]
        everyone = ",".join(servers)
        self.words(self.dnvme(everyone, "cluster", "init", status=USAGE), "needs --name")
        self.words(self.dnvme(f"{everyone},{servers[0]}", "cluster", "init", "--name", "c", status=REFUSED),
                   "cannot form cluster \"c\"", "are the same server")
        nobody = f"{cluster.network}.99:7400"
        self.words(self.dnvme(f"{servers[0]},{nobody}", "cluster", "init", "--name", "c", status=UNAVAILABLE),
                   nobody, "hint: every server of --server must run")
        many = ",".join(servers + [f"{cluster.network}.{number}:7400" for number in range(50, 58)])
        self.dnvme(many, "cluster", "init", "--name", "c", status=UNAVAILABLE)
        self.words(self.dnvme(everyone, "cluster", "init", "--name", "c", "--no-wait"), "formed of 3 servers")
        text = self.dnvme(everyone, "cluster", "init", "--name", "c")  # again is the same
        self.words(text, "cluster c ", "0 nodes, 0 disks, 0 volumes", "leader    server ")
        self.assertEqual(self.row(text, "3")[4:6], [cluster.servers[2].api, cluster.servers[2].raft])
        self.assertIn("revision", json.loads(
            self.dnvme(everyone, "cluster", "init", "--name", "c", "--no-wait", "-o", "json")))
        self.words(self.dnvme(everyone, "cluster", "init", "--name", "other", status=REFUSED), "other")
        # A server of another cluster.
        strange = self.make(1)
        self.words(self.dnvme(f"{servers[0]},{strange.servers[0].api}", "cluster", "init", "--name", "c",
                              status=REFUSED), "cannot form")
        cluster.servers[2].kill()
        wait_until("it is missed", lambda: "unreachable" in self.dnvme(everyone, "cluster", "status"))
        status = json.loads(self.dnvme(everyone, "cluster", "status", "-o", "json"))
        self.assertEqual([server.get("reachable", False) for server in status["servers"]], [True, True, False])

    def test_settings(self):
        self.begin(1)
        self.words(self.cli("cluster", "set", status=USAGE), "needs a setting")
        self.words(self.cli("cluster", "set", "--rebuild-after", "soon", status=USAGE), "--rebuild-after")
        self.words(self.cli("cluster", "set", "--rebuild-rate", "fast", status=USAGE), "--rebuild-rate")
        self.words(self.cli("cluster", "set", "--rebuild-after", "30s"), "settings are changed")
        revision = self.json("cluster", "set", "--rebuild-rate", "none")["revision"]
        self.assertEqual(self.json("cluster", "status")["revision"], revision)

    def test_nodes_and_disks(self):
        _, agents = self.begin(3, disks=2)
        path = "/dev/fake0"
        row = self.row(self.cli("node", "list"), "node1")
        self.assertEqual(row[1:5], ["127.0.0.1:4420", "online", "open", "0"])
        self.assertEqual(len(self.json("node", "list")["nodes"]), 3)
        text = self.cli("node", "get", "node1")
        self.words(text, "node node1  online  open", path, "free or ours", "/dev/used", "in use by others")
        self.assertEqual(self.json("node", "get", "node1")["node"]["name"], "node1")
        self.words(self.cli("node", "get", "nobody", status=REFUSED), "cannot get node \"nobody\"")
        self.words(self.cli("node", "get", "No Name", status=REFUSED), "not a valid name")
        self.words(self.cli("node", "get", status=USAGE), "NODE")
        self.words(self.cli("node", "cordon", "node1"), "node1 is cordoned")
        self.assertEqual(self.row(self.cli("node", "list"), "node1")[3], "cordoned")
        self.cli("node", "cordon", "nobody", status=REFUSED)
        self.words(self.cli("node", "uncordon", "node1"), "node1")
        self.assertIn("revision", self.json("node", "uncordon", "node1"))

        text = self.cli("disk", "list")
        self.assertEqual(self.row(text, "d1")[1:3], ["node1", path])
        self.assertEqual(len(self.json("disk", "list", "--node", "node2")["disks"]), 2)
        self.words(self.cli("disk", "get", "d1"), "disk d1  node1:/dev/fake0", "extents used (0 %)", "LDs        0")
        self.assertEqual(self.json("disk", "get", "d1")["node"], "node1")
        self.words(self.cli("disk", "get", "x1", status=REFUSED), "cannot get disk \"x1\"")
        self.words(self.cli("disk", "add", "node1", "/dev/used", status=REFUSED), "cannot add disk /dev/used", "in use")
        self.words(self.cli("disk", "add", "node1", "/dev/none", status=REFUSED), "/dev/none")
        self.words(self.cli("disk", "remove", "disk", status=REFUSED), "is not the id of a disk", "hint: ids of disks")
        self.words(self.cli("disk", "remove", "d6"), "disk d6 is removed")
        self.words(self.cli("disk", "remove", "d6", status=REFUSED), "cannot remove disk \"d6\"")
        self.words(self.cli("disk", "add", "node3", "/dev/fake1"), "is node3:/dev/fake1")
        self.words(self.cli("disk", "add", "node3", "/dev/fake1", status=REFUSED), "is disk d7 already")
        self.assertIn("revision", self.json("disk", "remove", "d5"))
        agents[2].stop()
        wait_until("node3 is missed", lambda: self.row(self.cli("node", "list"), "node3")[2] != "online")
        self.words(self.cli("disk", "add", "node3", "/dev/fake1", status=REFUSED), "hint: start dnvme-agent")

    def test_volumes(self):
        cluster, agents = self.begin(3)
        create = ["volume", "create", "db1", "--size", "1GiB", "--standbys", "1"]
        for words, wanted in (
            (["--size", "1GiB", "--copies", "9"], "--copies"),
            ([], "--size is missing"),
            (["--size", "4KiB"], "less than the smallest volume"),
            (["--size", "5EiB"], "more than the largest volume"),
            (["--size", "1048577"], "not a multiple of 4096"),
            (["--size", "1GiB", "--spread", "moon"], "none of node, rack, zone"),
        ):
            self.words(self.cli("volume", "create", "db1", *words, status=USAGE), wanted)
        self.words(self.cli(*create), "volume db1 is online: v1, 1 GiB")
        self.words(self.cli(*create, status=REFUSED), "cannot create volume \"db1\"")
        self.words(self.cli("volume", "create", "huge", "--size", "1PiB", status=REFUSED), "not enough space")
        self.words(self.cli("volume", "create", "db2", "--size", "1GiB", "--no-wait", "--provision", "thin", "--legs", "2",
                            "--copies", "1", "--controllers", "1", "--durability", "flush"), "db2 is placed as v2")
        self.assertIn("id", self.json("volume", "create", "db3", "--size", "1GiB", "--no-wait"))
        self.words(self.cli("volume", "create", "db4", "--size", "1GiB", "-o", "json"), '"online"')
        self.online(cluster, "db2")
        row = self.row(self.cli("volume", "list"), "v1")
        self.assertEqual(row[1:4] + row[-2:], ["db1", "1", "GiB", "thick", "online"])
        self.assertEqual(len(self.json("volume", "list", "--phase", "online")["volumes"]), 4)
        self.assertEqual(self.json("volume", "list", "--phase", "releasing").get("volumes", []), [])
        self.cli("volume", "list", "--phase", "lost", status=USAGE)
        self.words(self.cli("volume", "get", "db1"), "db1", "node1", "d1")
        self.assertEqual(self.json("volume", "get", "v1")["volume"]["name"], "db1")
        self.words(self.cli("volume", "get", "nothing", status=REFUSED), "cannot get volume \"nothing\"")

        self.words(self.cli("volume", "attach", "db1", HOST), f"host {HOST} may use volume db1")
        self.words(self.cli("volume", "attach", "db1", "host", status=REFUSED), "cannot attach host host")
        self.assertIn("revision", self.json("volume", "attach", "db2", HOST))
        text = self.cli("host", "list")
        self.assertEqual(self.row(text, HOST)[1], "db1,db2")
        self.assertEqual(self.json("host", "list")["hosts"][0]["nqn"], HOST)
        self.words(self.cli("volume", "delete", "db1", status=REFUSED), "cannot delete volume \"db1\"", HOST)
        self.words(self.cli("volume", "detach", "db1", HOST), f"host {HOST} may no longer use volume db1")
        self.assertIn("revision", self.json("volume", "detach", "db2", HOST))
        self.cli("volume", "detach", "nothing", HOST, status=REFUSED)

        self.words(self.cli("volume", "delete", "db1"), "volume db1 is deleted")
        self.words(self.cli("volume", "delete", "db2", "--no-wait"), "volume db2 is being deleted")
        self.assertIn("revision", self.json("volume", "delete", "db3"))
        # What it waited for is said when it waited too long.
        for agent in agents:
            agent.hold |= {f"d{disk}.v4.s0" for disk in (1, 2, 3)}
        self.words(self.cli("volume", "delete", "db4", "--timeout", "1s", status=TIMED_OUT),
                   "volume \"db4\" is being deleted: still in phase releasing", "held by the test", "hint: it goes on")
        for agent in agents:
            agent.release(*agent.hold)
        wait_until("it is gone", lambda: not self.json("volume", "list").get("volumes"))

    def test_jobs(self):
        """A member that is rebuilt, and a node that is forgotten with one."""
        cluster, agents = self.begin(4)
        self.assertEqual(self.json("job", "list").get("jobs", []), [])
        self.cli("volume", "create", "vol", "--size", "1GiB", "--copies", "2")
        volume = cluster.call("volume.get", {"name": "vol"})["volume"]
        holder = volume["slots"][0]["holder"]
        member = volume["legs"][0]["groups"][0]["members"][0]
        agent = next(agent for agent in agents if agent.name_ == holder)
        agent.lost = {member["ld"] if "ld" in member else member["id"]: 10000}
        agent.report_all()
        wait_until("it is given up", lambda: self.json("job", "list").get("jobs"))
        agent.lost = {}
        agent.report_all()

        def rebuilding():
            job = self.json("job", "list", "--kind", "rebuild").get("jobs", [])
            return job and job[0].get("total_bytes") and job[0]

        job = wait_until("it is rebuilt", rebuilding, 60)
        self.assertEqual(job["node"], holder)
        row = self.row(self.cli("job", "list"), job["id"])
        self.assertEqual(row[1:4], ["rebuild", "rebuilding", holder])
        self.words(self.cli("job", "get", job["id"]), f"job {job['id']}  rebuild  rebuilding", "target", "volume vol",
                   "256 MiB of 1 GiB (25 %)")
        self.assertEqual(self.json("job", "get", job["id"])["id"], job["id"])
        self.words(self.cli("job", "wait", job["id"], "--timeout", "300ms", status=TIMED_OUT),
                   "is still in phase rebuilding", "hint: it goes on without this command")
        self.cli("job", "list", "--kind", "party", status=USAGE)
        self.words(self.cli("job", "get", "nonsense", status=REFUSED), "cannot get job \"nonsense\"")
        self.words(self.cli("job", "get", "v1.ld77", status=REFUSED), "cannot get job")
        agent.rebuilds = True
        agent.report_all()
        self.words(self.cli("job", "wait", job["id"], "--timeout", "60s"), f"job {job['id']} is over")

        # A node that holds something is not forgotten by chance.
        where = {disk["id"]: disk["node"] for disk in cluster.call("volume.get", {"name": "vol"})["disks"]}
        victim = next(name for name in where.values() if name != holder)
        self.words(self.cli("node", "forget", victim, status=REFUSED), "not forgotten",
                   "nothing was changed")
        next(one for one in agents if one.name_ == victim).stop()
        wait_until("it is offline", lambda: self.json("node", "get", victim)["health"] == "offline", 30)
        refused = subprocess.run([os.path.join(BIN, "dnvme"), "--server", self.servers, "node", "forget", victim],
                                 capture_output=True, text=True, check=False)
        self.assertEqual(refused.returncode, REFUSED)
        self.words(refused.stdout, f"node {victim} is offline", "and holds:", "volume vol", "your promise")
        self.words(refused.stderr, "nothing was changed", f"dnvme node forget {victim} --yes")
        for one in agents:
            self.cli("node", "cordon", one.name_)  # so that no other disk takes the place
        self.words(self.cli("node", "forget", victim, "--yes", "--by", "me"), f"node {victim} is forgotten")
        self.words(self.cli("node", "get", victim, status=REFUSED), "cannot get node")
        lost = wait_until("the copy counts as lost", lambda: self.json("job", "list").get("jobs"))[0]
        self.assertIn("lost with its node, volume vol", lost["target"])
        self.words(self.cli("job", "get", lost["id"]), f"job {lost['id']}  rebuild  lost", "lost with its node")
        self.words(self.cli("node", "forget", "nobody", status=REFUSED), "cannot forget node \"nobody\"")

    def test_drain(self):
        cluster, agents = self.begin(3)
        self.cli("volume", "create", "vol", "--size", "1GiB", "--copies", "2", "--standbys", "1")
        holder = cluster.call("volume.get", {"name": "vol"})["volume"]["slots"][0]["holder"]
        self.words(self.cli("node", "drain", holder, "--timeout", "60s"), f"node {holder} is drained")
        self.assertEqual(self.row(self.cli("node", "list"), holder)[3], "draining")
        self.cli("node", "uncordon", holder)
        other = cluster.call("volume.get", {"name": "vol"})["volume"]["slots"][0]["holder"]
        self.assertNotEqual(other, holder)
        self.words(self.cli("node", "drain", other, "--no-wait"), f"node {other} is being drained")
        self.cli("node", "uncordon", other)
        self.cli("node", "drain", "nobody", status=REFUSED)
        # What it waited for is said when it waited too long.
        agents[int(holder[-1]) - 1].hold.add("v1")
        agents[int(other[-1]) - 1].hold.add("v1")
        now = cluster.call("volume.get", {"name": "vol"})["volume"]["slots"][0]["holder"]
        self.words(self.cli("node", "drain", now, "--timeout", "1s", status=TIMED_OUT),
                   f"node \"{now}\" is being drained: 1 controllers are still on node {now}", "hint: it goes on")

    def test_standbys(self):
        cluster, agents = self.begin(4)
        self.cli("volume", "create", "vol", "--size", "1GiB")
        self.words(self.cli("volume", "set", "vol", status=USAGE), "cannot set volume \"vol\": --standbys is missing")
        self.words(self.cli("volume", "set", "vol", "--standbys", "16", status=USAGE), "--standbys")
        self.words(self.cli("volume", "set", "nothing", "--standbys", "1", status=REFUSED), "nothing")
        revision = self.json("volume", "get", "vol")["volume"]["revision"]
        self.words(self.cli("volume", "set", "vol", "--standbys", "2"), "volume vol has 2 standbys")
        volume = self.json("volume", "get", "vol")["volume"]
        self.assertEqual([c["role"] for c in volume["controllers"]], ["active", "standby", "standby"])
        self.assertEqual(self.row(self.cli("volume", "list"), "v1")[6], "2")
        self.words(self.cli("volume", "set", "vol", "--standbys", "1", "--revision", str(revision), status=REFUSED),
                   f"what was accepted was of revision {revision}", "hint: look again")
        # There are four nodes, one is the active one's, and one may not be used.
        spare = ({f"node{n}" for n in range(1, 5)} - {c["node"] for c in volume["controllers"]}).pop()
        self.cli("node", "cordon", spare)
        text = self.cli("volume", "set", "vol", "--standbys", "3", status=REFUSED)
        self.words(text, "volume \"vol\" cannot have 3 standbys: as nodes are now, there are 2 for it",
                   f"{spare} is cordoned", f"{volume['controllers'][0]['node']} holds slot 0 of it",
                   f"{volume['controllers'][1]['node']} is a standby of it", "hint: add a node, uncordon one")
        # What it waited for is said when it waited too long.
        self.cli("node", "uncordon", spare)
        agents[int(spare[-1]) - 1].hold.add("v1")
        self.cli("volume", "set", "vol", "--standbys", "3", "--no-wait")
        wait_until("it has three", lambda: len(self.json("volume", "get", "vol")["volume"]["controllers"]) == 4)
        self.words(self.cli("volume", "set", "vol", "--standbys", "3", "--timeout", "1s", status=TIMED_OUT),
                   "is to have 3 standbys: not yet so", f"standby at node {spare} is not ready", "hint: it goes on")
        # The one that is not ready goes first.
        self.words(self.cli("volume", "set", "vol", "--standbys", "2"), "volume vol has 2 standbys")
        self.assertEqual(self.json("volume", "get", "vol")["volume"]["controllers"][:3], volume["controllers"])
        self.words(self.cli("volume", "set", "vol", "--standbys", "0"), "keeps no standby ready", "hosts wait longer")
        self.words(self.cli("event", "list", "--volume", "vol"), "volume vol: standbys from 2 to 0")
        agents[int(spare[-1]) - 1].release("v1")
        self.words(self.cli("volume", "set", "vol", "--standbys", "1", "--no-wait"), "volume vol is to have 1 standby\n")

    def test_move(self):
        cluster, agents = self.begin(3)
        self.cli("volume", "create", "vol", "--size", "1GiB", "--standbys", "1")
        first, standby = (c["node"] for c in self.json("volume", "get", "vol")["volume"]["controllers"])
        self.words(self.cli("volume", "move", "vol", status=USAGE), "--slot is missing", "hint: dnvme volume get vol shows")
        self.words(self.cli("volume", "move", "vol", "--slot", "0", "--to", first, status=REFUSED),
                   "cannot move a slot of volume \"vol\": node", "holds slot 0 of volume \"vol\" already")
        agents[int(first[-1]) - 1].hold.add("v1")
        self.words(self.cli("volume", "move", "vol", "--slot", "0", "--to", standby),
                   f"slot 0 of volume vol is at node {standby}")
        self.words(self.cli("job", "get", "j1"), "move-slot", f"slot 0 of volume vol from node {first} to node {standby}")
        self.words(self.cli("volume", "move", "vol", "--slot", "0", "--to", first, "--no-wait", status=REFUSED),
                   "has not cleaned up yet", "hint: wait for it: dnvme job wait v1.clean." + first)

    def test_host(self):
        """As far as it goes where the kernel has no path to anything."""
        cluster, agents = self.begin(3)
        self.cli("volume", "create", "vol", "--size", "1GiB", "--standbys", "1")
        mine = ["--host-nqn", HOST]
        self.cli("host", "connect", *mine, status=USAGE)
        self.cli("host", "connect", "vol", "--all", *mine, status=USAGE)
        self.words(self.cli("host", "connect", "vol", "--io-policy", "best", *mine, status=USAGE), "none of numa")
        self.words(self.cli("host", "connect", "vol", "--host-nqn", "me", status=REFUSED), "--host-nqn")
        self.words(self.cli("host", "connect", "nothing", *mine, status=REFUSED), "cannot connect volume \"nothing\"")
        self.words(self.cli("host", "connect", "vol", *mine, status=REFUSED), f"host {HOST} is not attached",
                   f"hint: dnvme volume attach vol {HOST}")
        self.assertEqual(self.cli("host", "connect", "--all", *mine), "")
        self.words(self.cli("host", "disconnect", "vol"), "volume vol was not connected")
        self.words(self.cli("host", "disconnect", "nothing", status=REFUSED), "hint: for a volume that is deleted")
        nqn = cluster.call("volume.get", {"name": "vol"})["nqn"]
        self.words(self.dnvme(None, "host", "disconnect", nqn), "was not connected")
        self.cli("volume", "attach", "vol", HOST)
        if not os.path.exists("/dev/nvme-fabrics"):
            for words in (["vol"], ["--all"]):
                self.words(self.cli("host", "connect", *words, *mine, status=REFUSED),
                           "cannot connect volume \"vol\"", "/dev/nvme-fabrics", "modprobe nvme-tcp")
        agents[0].hold.update(("v2", "d1.v2.s0"))
        agents[1].hold.update(("v2", "d2.v2.s0"))
        self.cli("volume", "create", "new", "--size", "1GiB", "--no-wait")
        self.words(self.cli("host", "connect", "new", *mine, status=REFUSED), "not online but placed", "it waits for: ")

    def test_watch(self):
        """Follows a volume that is not connected: says what it hears of it, touches nothing, and ends when told to."""
        self.begin(3)
        self.cli("volume", "create", "vol", "--size", "1GiB")
        self.words(self.cli("host", "watch", "No", "--host-nqn", HOST, status=REFUSED), "VOLUME")
        self.cli("host", "watch", "vol", "--host-nqn", "me", status=REFUSED)
        for words, wanted in (((), ()), (("vol", "none"), ("following a volume volume=vol name=vol",
                                                           "volume is not followed volume=none"))):
            watch = subprocess.Popen([os.path.join(BIN, "dnvme"), "--server", self.servers, "host", "watch", *words,
                                      "--host-nqn", HOST], stderr=subprocess.PIPE, text=True)
            said = []
            reader = threading.Thread(target=lambda: said.extend(iter(watch.stderr.readline, "")), daemon=True)
            reader.start()
            for word in ("watching", *wanted):
                wait_until(f"it says {word}", lambda word=word: word in "".join(said))
            if words:
                self.cli("volume", "delete", "vol")
                wait_until("it hears of it", lambda: "volume is not followed volume=vol" in "".join(said))
            watch.send_signal(signal.SIGTERM)
            self.assertEqual(watch.wait(10 * SLOW), DONE)
            reader.join(10)
            watch.stderr.close()
            self.assertIn("stopped", said[-1])

    def test_what_is_no_command(self):
        nobody = "127.255.255.254:9"
        self.words(self.dnvme(None, "node", "list", status=USAGE), "no server is given", "DNVME_SERVERS")
        self.words(self.dnvme(nobody, "dance", status=USAGE), "dance", "see dnvme --help")
        self.words(self.dnvme(nobody, "node", "dance", status=USAGE), "dance")
        self.words(self.dnvme(nobody, "node", "list", "--timeout", "300ms", status=UNAVAILABLE), "cannot list nodes")
        self.words(self.dnvme("127.0.0.1:99999", "node", "list", status=USAGE), "99999")
        self.words(self.dnvme(None, "node", "list", "--timeout", "300ms", status=UNAVAILABLE,
                              env={"DNVME_SERVERS": nobody}), nobody)
        with open("/dev/full", "w") as full:
            done = subprocess.run([os.path.join(BIN, "dnvme"), "--help"], stdout=full, stderr=subprocess.PIPE,
                                  check=False)
            self.assertIn(done.returncode, (DONE, REFUSED))

    def test_output_that_cannot_be_written(self):
        self.begin(1)
        with open("/dev/full", "w") as full:
            done = subprocess.run([os.path.join(BIN, "dnvme"), "--server", self.servers, "node", "list"], stdout=full,
                                  stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, REFUSED)
        self.words(done.stderr, "cannot write to standard output")


if __name__ == "__main__":
    main()
