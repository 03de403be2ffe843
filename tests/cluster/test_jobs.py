# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs that somebody asked for: a volume that grows, undone in each phase, and what dies meanwhile.

The agents are real, over simulated kernels. A disk of which the agent is away holds a phase up.
"""

import json
import subprocess
import os

from harness import BIN, ClusterTest, GIB, SimAgent, main, wait_until

OVER = ("done", "cancelled", "failed")


class Jobs(ClusterTest):
    def lay(self, count=3, spare=0, **params):
        """A volume "db" over node1 to node3; with `spare` nodes more, whose disks have the most room."""
        cluster = self.make(count=count)
        agents = {}
        for number in range(1, 4):
            agents[f"node{number}"] = SimAgent(cluster, f"node{number}")
        for agent in agents.values():
            self.wait_online(cluster, agent.name_)
            cluster.call("disk.add", {"node": agent.name_, "path": "/dev/sim0"})
        params = {"name": "db", "size_bytes": GIB, "controllers": 2, "standbys": 1, **params}
        cluster.call("volume.create", params)
        self.online(cluster, "db")
        # New ones get what the volume grows by, as they are empty; they hold no controllers.
        for number in range(4, 4 + spare):
            name = f"node{number}"
            agents[name] = SimAgent(cluster, name, disk_bytes=128 * GIB, options=["--storage-only"])
            self.wait_online(cluster, name)
            cluster.call("disk.add", {"node": name, "path": "/dev/sim0"})
        return cluster, agents

    def wait_online(self, cluster, name):
        wait_until(f"{name} is online", lambda: cluster.call("node.get", {"name": name})["health"] == "online")

    def volume(self, cluster):
        return cluster.call("volume.get", {"name": "db"})["volume"]

    def extend(self, cluster, size=3 * GIB, **params):
        return cluster.call("volume.extend", {"name": "db", "size_bytes": size, **params})["id"]

    def operation(self, cluster, job):
        return cluster.call("job.get", {"id": job})["operation"]

    def wait_phase(self, cluster, job, phase):
        wait_until(f"{job} is {phase}", lambda: self.operation(cluster, job)["phase"] == phase, 30)

    def wait_over(self, cluster, job, state):
        def over():
            found = cluster.call("job.wait", {"id": job, "wait_ms": 1000})["operation"]
            return found if found["state"] in OVER else None

        found = wait_until(f"{job} is over", over, 60)
        self.assertEqual(found["state"], state, found)
        return found

    def devices(self, agent):
        return {dm["name"]: dm["targets"] for dm in json.loads(agent.observe()).get("dms", [])}

    def sizes(self, agent):
        return {name: sum(t["length"] for t in targets) * 512 for name, targets in self.devices(agent).items()}

    def free(self, cluster):
        return sum(disk["extents_free"] for disk in cluster.call("disk.list")["disks"])

    def quiet(self, cluster):
        wait_until("nothing is under way", lambda: not [
            job for job in cluster.call("job.list").get("jobs", []) if "operation" not in job
        ], 60)
        wait_until("no problems", lambda: "problems" not in cluster.call("volume.get", {"name": "db"}), 30)

    def check_grown(self, cluster, agents, size):
        self.assertEqual(self.volume(cluster)["size_bytes"], size)
        for controller in self.volume(cluster)["controllers"]:
            if controller["role"] != "retired":
                self.assertEqual(self.sizes(agents[controller["node"]])["dnvme-volume-v1"], size, controller)

    def test_extend(self):
        for provision in ("thin", "thick"):
            with self.subTest(provision):
                cluster, agents = self.lay(count=1 if provision == "thin" else 3, provision=provision)
                job = self.extend(cluster)
                self.assertEqual(job, "j1")
                found = self.wait_over(cluster, job, "done")
                self.assertEqual(found["extend"], {"size_bytes": 3 * GIB, "from_bytes": GIB})
                self.check_grown(cluster, agents, 3 * GIB)
                self.quiet(cluster)
                leg = self.volume(cluster)["legs"][0]
                self.assertEqual((leg["size_bytes"], len(leg["groups"])), (3 * GIB // 2, 2))
                holder = agents[self.volume(cluster)["slots"][0]["holder"]]
                self.assertEqual(self.sizes(holder)["dnvme-thin-v1.l0"], 3 * GIB // 2)
                # Those that it exports to hosts and to the other controller say so.
                told = [
                    space.get("size_bytes")
                    for subsystem in json.loads(holder.observe())["subsystems"]
                    for space in subsystem["namespaces"]
                    if ":volume:" in subsystem["nqn"] or ":leg:" in subsystem["nqn"]
                ]
                self.assertEqual(sorted(told), [3 * GIB // 2, 3 * GIB])
                # And once more, by little: what it has may do.
                job = self.extend(cluster, 3 * GIB + (1 << 20))
                self.wait_over(cluster, job, "done")
                self.check_grown(cluster, agents, 3 * GIB + (1 << 20))
                listed = cluster.call("job.list", {"volume": "db", "state": "done"})["jobs"]
                self.assertEqual([one["id"] for one in listed], ["j1", "j2"])
                cluster.call("job.forget", {"id": "j1"})
                self.refused("NOT_FOUND", lambda: cluster.call("job.get", {"id": "j1"}))
                cluster.call("volume.delete", {"name": "db"})
                wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0, 30)
                cluster.check_replicas()
                self.assertEqual(self.devices(holder), {})

    def test_refused(self):
        cluster, agents = self.lay(count=1)
        self.refused("INVALID_ARGUMENT", lambda: self.extend(cluster, GIB), "can only grow")
        self.refused("NO_CAPACITY", lambda: self.extend(cluster, 4000 * GIB), 'cannot extend volume "db"', "short")
        self.refused("NOT_FOUND", lambda: cluster.call("job.get", {"id": "j9"}))
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("job.wait", {"id": "v1.s0.e1"}))
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("job.list", {"state": "x"}), "cancelled")

    def hold_up(self, cluster, agents):
        """The disks that the volume is to grow by do not answer."""
        for name in agents:
            if name > "node3":
                agents[name].kill()
        return self.extend(cluster)

    def test_cancel_exporting(self):
        cluster, agents = self.lay(count=1, spare=2)
        before = self.free(cluster)
        agents["node4"].kill()
        job = self.extend(cluster)
        self.refused("FAILED_PRECONDITION", lambda: self.extend(cluster), f"job {job} works on", f"dnvme job cancel {job}")
        self.assertEqual(self.operation(cluster, job)["phase"], "exporting")
        wait_until("it says for what it waits", lambda: "node4" in cluster.call("job.get", {"id": job}).get("waits_for", ""))
        cluster.call("job.cancel", {"id": job})
        self.wait_phase(cluster, job, "releasing")
        self.assertLess(self.free(cluster), before)
        agents["node4"].start()
        self.wait_over(cluster, job, "cancelled")
        self.assertEqual(self.free(cluster), before)
        self.assertEqual(self.volume(cluster)["size_bytes"], GIB)
        # Nothing of it keeps the next one.
        self.wait_over(cluster, self.extend(cluster), "done")
        self.check_grown(cluster, agents, 3 * GIB)

    def test_deadline(self):
        cluster, agents = self.lay(count=1, spare=2)
        agents["node4"].kill()
        job = self.extend(cluster, deadline_ms=1500)
        self.wait_phase(cluster, job, "releasing")
        plan = cluster.call("job.forget_plan", {"id": job})
        self.assertIn("node node4 gives its room back", " ".join(plan["items"]))
        self.refused("CONFLICT", lambda: cluster.call("job.forget", {"id": job}))
        agents["node4"].start()
        found = self.wait_over(cluster, job, "failed")
        self.assertEqual(found["error"]["code"], "DEADLINE_EXCEEDED")
        self.assertIn("phase exporting", found["error"]["message"])
        self.quiet(cluster)

    def test_forget_one_that_hangs(self):
        cluster, agents = self.lay(count=1, spare=2)
        before = self.free(cluster)
        agents["node4"].kill()
        job = self.extend(cluster)
        plan = cluster.call("job.forget_plan", {"id": job})
        cluster.call("job.forget", {"id": job, "revision": plan["revision"]})
        self.refused("NOT_FOUND", lambda: cluster.call("job.get", {"id": job}))
        self.assertNotIn("operation", self.volume(cluster))
        agents["node4"].start()
        wait_until("its room is back", lambda: self.free(cluster) == before, 30)
        self.quiet(cluster)

    def test_delete(self):
        cluster, agents = self.lay(count=1, spare=2)
        agents["node4"].kill()
        job = self.extend(cluster)
        cluster.call("volume.delete", {"name": "db"})
        self.assertEqual(self.operation(cluster, job)["state"], "cancelled")
        agents["node4"].start()
        wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0, 30)

    def test_leader_killed(self):
        """In each phase in turn; a retry under the same request id finds the first job."""
        cluster, agents = self.lay(spare=2)
        size = GIB
        for phase in ("exporting", "formatting", "joining", "resizing"):
            size += GIB
            for name in agents:
                self.wait_online(cluster, name)
            # Who is away holds a phase up; the last two pass quickly.
            holder = self.volume(cluster)["slots"][0]["holder"]
            away = {"exporting": ["node4", "node5"], "formatting": [holder]}.get(phase, [])
            request = os.urandom(16)
            if phase == "exporting":
                for name in away:
                    agents[name].pause()
            job = self.extend(cluster, size, request_id=request)
            if phase == "formatting":
                agents[holder].kill()
            phases = ("exporting", "formatting", "joining", "resizing", "over")
            wait_until(
                f"{job} is {phase}",
                lambda: phases.index(self.operation(cluster, job)["phase"]) >= phases.index(phase),
                30,
            )
            cluster.leader().kill()
            for name in away:
                agents[name].resume() if phase == "exporting" else agents[name].start()
            wait_until("somebody leads", lambda: cluster.call("cluster.status"))
            self.assertEqual(self.extend(cluster, size, request_id=request), job)
            self.wait_over(cluster, job, "done")
            self.check_grown(cluster, agents, size)
            for server in cluster.servers:
                if server.process is None:
                    server.start()
        self.quiet(cluster)
        cluster.check_replicas()

    def test_holder_killed(self):
        """An agent that is started again goes on; a holder that is away hands its slot on, and the job waits for that."""
        cluster, agents = self.lay(count=1, spare=2, provision="thick")
        job = self.extend(cluster)
        holder = agents[self.volume(cluster)["slots"][0]["holder"]]
        holder.kill()
        holder.start()
        self.wait_over(cluster, job, "done")
        self.check_grown(cluster, agents, 3 * GIB)
        job = self.extend(cluster, 5 * GIB)
        holder.kill()
        self.wait_over(cluster, job, "done")
        holder.start()
        self.quiet(cluster)
        self.check_grown(cluster, agents, 5 * GIB)

    def test_command_line(self):
        cluster, agents = self.lay(count=1)

        def dnvme(*words):
            return subprocess.run([os.path.join(BIN, "dnvme"), "--server", cluster.servers[0].api, *words],
                                  capture_output=True, text=True, timeout=120)

        done = dnvme("volume", "extend", "db", "--size", "2GiB")
        self.assertEqual((done.returncode, done.stdout), (0, "volume db has 2 GiB\n"), done.stderr)
        done = dnvme("job", "wait", "j1")
        self.assertEqual((done.returncode, done.stdout), (0, "job j1 is done: volume db from 1 GiB to 2 GiB\n"))
        done = dnvme("job", "list", "--volume", "db", "--state", "done")
        self.assertIn("extend", done.stdout)
        done = dnvme("job", "get", "j1")
        self.assertIn("state     done", done.stdout)
        done = dnvme("job", "cancel", "j1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("job j1 is done", done.stderr)
        done = dnvme("job", "forget", "j1")
        self.assertEqual((done.returncode, done.stdout), (0, "job j1 is forgotten\n"), done.stderr)
        done = dnvme("volume", "extend", "db")
        self.assertEqual(done.returncode, 2)
        done = dnvme("volume", "extend", "db", "--size", "1GiB")
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    main()
