# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots: taken, listed and deleted, and who dies meanwhile. The agents are real, over simulated kernels."""

import json
import os
import subprocess

from harness import BIN, GIB, main, wait_until
from test_jobs import Jobs as Base


READER = "nqn.2014-08.org.x:reader"


class Snapshots(Base):
    def snapshot(self, cluster, name="one", **params):
        params = {"accept_flush": True, **params}
        return cluster.call("snapshot.create", {"volume": "db", "name": name, **params})["id"]

    def listed(self, cluster):
        page = cluster.call("snapshot.list", {"name": "db"})
        return [found["name"] for found in page.get("snapshots", [])], page.get("dropped_thins", [])

    def pools(self, agent):
        return {name: targets for name, targets in self.devices(agent).items() if "-pool-" in name}

    def pauses(self, agents):
        return [pause for agent in agents.values() for pause in json.loads(agent.observe()).get("pauses", [])]

    def suspended(self, agents):
        return [dm["name"] for agent in agents.values() for dm in json.loads(agent.observe()).get("dms", [])
                if dm.get("suspended")]

    def test_an_old_agent_is_named(self):
        cluster = self.make()
        self.rack(cluster)  # of agents that say nothing of what they can do
        cluster.call("volume.create", {"name": "db", "size_bytes": GIB})
        self.online(cluster, "db")
        self.refused(
            "UNSUPPORTED", lambda: self.snapshot(cluster), 'cannot snapshot volume "db"', "cannot make snapshots", "run a"
        )
        self.refused(
            "UNSUPPORTED",
            lambda: cluster.call("volume.extend", {"name": "db", "size_bytes": 2 * GIB}),
            'cannot extend volume "db"',
            "cannot make volumes larger that are in use",
            "run a version",
        )
        self.refused(
            "UNSUPPORTED",
            lambda: cluster.call("snapshot.attach", {"volume": "db", "name": "one", "host_nqn": READER}),
            'cannot attach a snapshot of volume "db"',
            "cannot serve snapshots to hosts",
        )

    def test_taken(self):
        cluster, agents = self.lay(provision="thin")
        before = self.free(cluster)
        job = self.snapshot(cluster, accept_flush=False)
        found = self.wait_over(cluster, job, "done")
        self.assertEqual(found["snapshot"]["name"], "one")
        got = cluster.call("snapshot.get", {"volume": "db", "name": "one"})
        self.assertEqual((got["snapshot"]["state"], got["snapshot"]["thin"]), ("taken", 1))
        self.assertGreaterEqual(got["snapshot"]["moment_ms"], got["snapshot"]["created_ms"])
        self.assertLess(self.free(cluster), before)
        self.quiet(cluster)
        self.assertEqual(self.suspended(agents), [])
        wait_until("nothing is known of the pause", lambda: self.pauses(agents) == [])
        for slot in self.volume(cluster)["slots"]:
            for name, targets in self.pools(agents[slot["holder"]]).items():
                self.assertIn("no_discard_passdown", targets[0]["params"], name)
        # The room of the first one's groups does for a second one only when there is some left: it gets more.
        self.wait_over(cluster, self.snapshot(cluster, "two"), "done")
        self.assertEqual(self.listed(cluster), (["one", "two"], []))
        self.refused("FAILED_PRECONDITION", lambda: cluster.call("volume.delete", {"name": "db"}), "snapshot")
        cluster.call("snapshot.delete", {"volume": "db", "name": "one"})
        self.assertEqual(self.listed(cluster)[0], ["two"])
        wait_until("its thin devices are gone", lambda: self.listed(cluster) == (["two"], []), 30)
        cluster.call("snapshot.delete", {"volume": "db", "name": "two"})
        wait_until("all are gone", lambda: self.listed(cluster) == ([], []), 30)
        self.quiet(cluster)
        cluster.call("volume.delete", {"name": "db"})
        wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0, 30)
        cluster.check_replicas()

    def test_refused(self):
        cluster, agents = self.lay(count=1)
        self.refused("FAILED_PRECONDITION", lambda: self.snapshot(cluster, accept_flush=False), "keep all")
        self.refused("NOT_FOUND", lambda: cluster.call("snapshot.get", {"volume": "db", "name": "one"}), "has no snapshot")
        self.refused("NOT_FOUND", lambda: cluster.call("snapshot.delete", {"volume": "db", "name": "one"}))
        self.refused("NOT_FOUND", lambda: cluster.call("snapshot.list", {"name": "dc"}))
        self.refused("INVALID_ARGUMENT", lambda: self.snapshot(cluster, pause_limit_ms=50), "pause_limit_ms")
        self.wait_over(cluster, self.snapshot(cluster), "done")
        self.refused("ALREADY_EXISTS", lambda: self.snapshot(cluster), "has a snapshot")

    def readable(self, agent):
        """Of the snapshot's devices, those that are there; and whether hosts read it or get errors."""
        try:
            found = {name: targets for name, targets in self.devices(agent).items() if "-snap" in name}
        except subprocess.CalledProcessError:  # the agent was writing its file
            return None
        top = found.get("dnvme-snapshot-v1.t1")
        return sum("-snapthin-" in name for name in found), top and top[0]["type"]

    def test_read(self):
        """A host reads a snapshot: all controllers serve it, also after a slot moved, and none when it is over."""
        cluster, agents = self.lay()
        self.wait_over(cluster, self.snapshot(cluster), "done")
        params = {"volume": "db", "name": "one", "host_nqn": READER}
        self.refused("NOT_FOUND", lambda: cluster.call("snapshot.attach", {**params, "name": "two"}), "no snapshot")
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("snapshot.attach", {**params, "host_nqn": "h"}), "not an NQN")
        cluster.call("snapshot.attach", params)

        def served():
            roles = {one["node"]: one["role"] for one in self.volume(cluster)["controllers"]}
            return all(self.readable(agents[node]) == ((1, "striped") if role == "active" else (0, "error"))
                       for node, role in roles.items() if role != "retired")
        wait_until("it is served", served, 30)
        got = cluster.call("snapshot.get", {"volume": "db", "name": "one"})
        self.assertIn(":snapshot:v1.t1", got["nqn"])
        self.assertEqual(got["snapshot"]["hosts"], [READER])
        self.quiet(cluster)
        victim = agents[self.volume(cluster)["slots"][0]["holder"]]
        victim.kill()
        wait_until("the slot moves", lambda: self.volume(cluster)["slots"][0]["holder"] != victim.name_, 30)
        victim.start()
        self.quiet(cluster)
        wait_until("it is served again", served, 60)
        self.refused("FAILED_PRECONDITION", lambda: cluster.call("snapshot.delete", {"volume": "db", "name": "one"}),
                     "is attached to " + READER, "dnvme snapshot detach db one")
        cluster.call("snapshot.detach", params)
        wait_until("nobody serves it", lambda: all(self.readable(agent) == (0, None) for agent in agents.values()), 30)
        cluster.call("snapshot.delete", {"volume": "db", "name": "one"})
        wait_until("it is gone", lambda: self.listed(cluster) == ([], []), 30)
        self.quiet(cluster)
        cluster.check_replicas()

    def test_agents_die(self):
        """Each controller's agent is killed once while a snapshot is made, and started again: it is made in the end, or the
        job failed and nothing is left."""
        cluster, agents = self.lay(provision="thin")
        for number, slot in enumerate(self.volume(cluster)["slots"]):
            job = self.snapshot(cluster, f"snap{number}")
            wait_until("it is under way", lambda: self.operation(cluster, job)["phase"] not in ("exporting", "formatting"), 30)
            victim = agents[slot["holder"]]
            victim.kill()
            victim.start()
            wait_until("it is over", lambda: self.operation(cluster, job)["phase"] == "over", 60)
            self.quiet(cluster)
            wait_until("nothing is held up", lambda: self.suspended(agents) == [], 20)
            wait_until("nothing waits to be deleted", lambda: self.listed(cluster)[1] == [], 30)
        cluster.check_replicas()

    def test_command_line(self):
        cluster, agents = self.lay(count=1)

        def dnvme(*words):
            return subprocess.run([os.path.join(BIN, "dnvme"), "--server", cluster.servers[0].api, *words],
                                  capture_output=True, text=True, timeout=120)

        done = dnvme("snapshot", "create", "db", "one")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--accept-flush", done.stderr)
        done = dnvme("snapshot", "create", "db", "one", "--accept-flush", "--pause-limit", "1s")
        self.assertEqual((done.returncode, done.stdout), (0, "snapshot one of volume db is taken\n"), done.stderr)
        done = dnvme("snapshot", "list", "db")
        self.assertIn("one", done.stdout)
        self.assertIn("taken", done.stdout)
        done = dnvme("snapshot", "get", "db", "one")
        self.assertIn("device 1 of each pool", done.stdout)
        done = dnvme("job", "list")
        self.assertIn("snapshot one of volume db", done.stdout)
        host = ("--host-nqn", READER)
        done = dnvme("host", "connect", "db@one", *host)
        self.assertIn(f"host {READER} is not attached to the snapshot", done.stderr)
        self.assertIn(f"dnvme snapshot attach db one {READER}", done.stderr)
        self.assertIn('has no snapshot "two"', dnvme("host", "connect", "db@two", *host).stderr)
        self.assertIn('no volume "dc"', dnvme("host", "connect", "dc@one", *host).stderr)
        done = dnvme("snapshot", "attach", "db", "one", READER)
        self.assertEqual(done.stdout, f"host {READER} may read snapshot one of volume db\n", done.stderr)
        self.assertIn(f"read by   {READER}", dnvme("snapshot", "get", "db", "one").stdout)
        self.assertIn("volume db@one was not connected", dnvme("host", "disconnect", "db@one").stdout)
        done = dnvme("snapshot", "detach", "db", "one", READER)
        self.assertEqual(done.stdout, f"host {READER} may not read snapshot one of volume db\n", done.stderr)
        done = dnvme("snapshot", "delete", "db", "one")
        self.assertEqual((done.returncode, done.stdout), (0, "snapshot one of volume db is deleted\n"), done.stderr)
        self.assertEqual(self.listed(cluster), ([], []))
        done = dnvme("snapshot", "delete", "db", "one")
        self.assertEqual(done.returncode, 1)
        self.assertIn("has no snapshot", done.stderr)
        done = dnvme("snapshot", "create", "db", "one", "--pause-limit", "10s")
        self.assertEqual(done.returncode, 2)


for name in [name for name in dir(Base) if name.startswith("test_") and name not in vars(Snapshots)]:
    setattr(Snapshots, name, None)  # those of jobs run there
del Base


if __name__ == "__main__":
    main()
