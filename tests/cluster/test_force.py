# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator decides when something will never come back: with the command line, real agents, simulated kernels."""

import json
import os
import subprocess

import msgpack_small
from harness import BIN, ClusterTest, GIB, SLOW, SimAgent, main, wait_until

OBSERVED_ERRORS = 9  # tag of observed.errors


class Force(ClusterTest):
    def lay(self, disks, controllers):
        cluster = self.make()
        agents = {}
        for number in range(1, disks + 1):
            agents[f"dn{number}"] = SimAgent(cluster, f"dn{number}", options=["--storage-only"])
        for number in range(1, controllers + 1):
            agents[f"cn{number}"] = SimAgent(cluster, f"cn{number}", disks=0)
        for name in agents:
            self.health(cluster, name, "online")
            if name.startswith("dn"):
                cluster.call("disk.add", {"node": name, "path": "/dev/sim0"})
        cluster.call("volume.create", {"name": "vol", "size_bytes": GIB, "copies": 2, "standbys": 1})
        self.online(cluster, "vol")
        return cluster, agents

    def health(self, cluster, name, health):
        wait_until(f"{name} is {health}", lambda: cluster.call("node.get", {"name": name})["health"] == health)

    def cli(self, cluster, *words, status=0):
        servers = ",".join(server.api for server in cluster.servers)
        done = subprocess.run([os.path.join(BIN, "dnvme"), "--server", servers, *words], capture_output=True, text=True,
                              timeout=120 * SLOW, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stdout + done.stderr

    def status(self, cluster):
        return cluster.call("volume.get", {"name": "vol"})

    def slot(self, cluster):
        return self.status(cluster)["volume"]["slots"][0]

    def members(self, cluster):
        """{node: LD}"""
        status = self.status(cluster)
        where = {disk["id"]: disk["node"] for disk in status["disks"]}
        return {where[ld["disk"]]: ld for ld in status["volume"]["legs"][0]["groups"][0]["members"]}

    def wait_state(self, cluster, node, state):
        wait_until(f"the member on {node} is {state}", lambda: self.members(cluster)[node]["state"] == state, 30)

    def words(self, text, *words):
        for word in words:
            self.assertIn(word, text)

    def test_served_by_force(self):
        cluster, agents = self.lay(2, 2)
        holder = self.slot(cluster)["holder"]
        other = {"cn1": "cn2", "cn2": "cn1"}[holder]
        lds = {node: ld["id"] for node, ld in self.members(cluster).items()}
        self.words(self.cli(cluster, "volume", "force", "vol", status=1), "needs no force", "is in sync")
        agents["dn1"].kill()
        self.wait_state(cluster, "dn1", "stale")
        self.assertTrue(self.members(cluster)["dn1"]["whole"])
        self.words(self.cli(cluster, "volume", "explain", "vol"),
                   "is degraded: every write has 1 copy instead of 2 on leg 0, since 20", "node dn1: it is offline",
                   f"leg 0 has 1 of 2 copies, {lds['dn2']} on", "what must not be lost now", "what happens next",
                   f"take the place of {lds['dn1']}", f"nothing can be done: {lds['dn1']} finds no other disk then",
                   "dnvme node get dn1", "what happened last", f"{lds['dn1']} on d1 is stale: path-lost")
        agents[holder].kill()
        agents["dn2"].kill()
        wait_until("the slot waits for its disks", lambda: self.slot(cluster)["phase"] == "fencing")
        self.health(cluster, "dn2", "offline")
        self.words(self.cli(cluster, "volume", "force", "vol", status=1), "no copy that could be served",
                   f"{lds['dn1']} of node dn1, stale", f"{lds['dn2']} of node dn2, in-sync")
        agents["dn1"].start()
        self.health(cluster, "dn1", "online")
        wait_until("it says what can be done", lambda: "dnvme volume force vol" in self.status(cluster)["waits_for"])
        before = cluster.state()
        self.words(self.cli(cluster, "volume", "explain", "vol"), "is waiting: slot 0 is not served, it is fencing",
                   "  dnvme volume force vol --slot 0\n", "dnvme node get dn2")
        self.assertEqual(json.loads(self.cli(cluster, "volume", "explain", "vol", "-o", "json"))["condition"], "waiting")
        plan = self.cli(cluster, "volume", "force", "vol")
        self.words(plan, f"> {lds['dn1']} ", "(path-lost) since 20", "every write since", "node dn2 comes back",
                   "--powered-off dn2", f"--powered-off {holder}")
        self.assertEqual(cluster.state(), before)  # a dry run
        revision = json.loads(self.cli(cluster, "volume", "force", "vol", "-o", "json"))["revision"]
        force = ["volume", "force", "vol", "--yes-i-may-lose-data"]
        self.words(self.cli(cluster, *force, status=2), "--revision is missing")
        stale = [*force, "--revision", str(revision - 1), "--powered-off", "dn2"]
        self.words(self.cli(cluster, *stale, status=1), "changed since")
        force += ["--revision", str(revision)]
        # Nobody but the operator knows that the old holder does not serve on from the disk that nobody can reach.
        self.words(self.cli(cluster, *force, status=1), f"node {holder} may still serve hosts from node dn2")
        self.assertEqual(cluster.state(), before)
        self.cli(cluster, *force, "--powered-off", "dn2", "--by", "me, because of ticket 7")
        self.assertEqual({node: ld["state"] for node, ld in self.members(cluster).items()},
                         {"dn1": "in-sync", "dn2": "stale"})
        slot = self.slot(cluster)
        self.assertEqual((slot["holder"], slot["phase"], slot["reason"]), (other, "serving", "force"))
        self.words(self.cli(cluster, "volume", "get", "vol"), "served by force", "by me, because of ticket 7",
                   f"from {lds['dn1']} of node dn1", f"instead of {lds['dn2']} of node dn2", "node dn2 was said to be off")
        self.assertIn('by="me, because of ticket 7"', "".join(server.log() for server in cluster.servers))
        # What was given up comes back by a rebuild, and nothing is left of it.
        agents["dn2"].start()
        self.wait_state(cluster, "dn2", "in-sync")
        agents[holder].start()
        wait_until("all is clean", lambda: not any(
            controller["role"] == "retired" for controller in self.status(cluster)["volume"]["controllers"]), 30)
        wait_until("nothing is wrong", lambda: "problems" not in self.status(cluster))
        cluster.check_replicas()

    def error_add(self, agent, ld):
        """The disk of an agent that does not run returns an error, which the kernel records."""
        with open(agent.state_path, "rb") as file:
            state, _ = msgpack_small.unpack_from(file.read())
        number = int(ld.removeprefix("ld"))
        others = [errors for errors in state[1].get(OBSERVED_ERRORS, []) if errors[1] != number]
        state[1][OBSERVED_ERRORS] = [*others, {1: number, 2: 2, 3: 1}]
        with open(agent.state_path, "wb") as file:
            file.write(msgpack_small.pack(state))

    def test_a_copy_that_returned_errors(self):
        cluster, agents = self.lay(2, 3)
        holder = self.slot(cluster)["holder"]
        lds = {node: ld["id"] for node, ld in self.members(cluster).items()}
        agents["dn2"].kill()
        self.wait_state(cluster, "dn2", "stale")
        agents["dn1"].stop()
        self.error_add(agents["dn1"], lds["dn1"])
        agents["dn1"].start()
        agents[holder].kill()
        wait_until("it says what can be done", lambda: "no other copy is sure to have it; to use what is there: dnvme "
                   "volume force vol --slot 0" in self.status(cluster).get("waits_for", ""), 30)
        before = cluster.state()
        self.words(self.cli(cluster, "volume", "force", "vol"), f"> {lds['dn1']} ", "in-sync",
                   "returned 2 read and 1 write errors since its node booted", "may have dropped it at an error",
                   "not known: whether", f"{lds['dn2']} ", "stale, and its node is offline")
        self.assertEqual(cluster.state(), before)
        revision = json.loads(self.cli(cluster, "volume", "force", "vol", "-o", "json"))["revision"]
        self.cli(cluster, "volume", "force", "vol", "--yes-i-may-lose-data", "--revision", str(revision))
        self.assertEqual({node: ld["state"] for node, ld in self.members(cluster).items()},
                         {"dn1": "in-sync", "dn2": "stale"})
        slot = self.slot(cluster)
        self.assertEqual((slot["phase"], slot["reason"]), ("serving", "force"))
        self.words(self.cli(cluster, "volume", "get", "vol"), "served by force",
                   f"from {lds['dn1']} of node dn1, which was in sync, but may have missed writes")
        agents["dn2"].start()
        self.wait_state(cluster, "dn2", "in-sync")
        # What was forgotten does not come back with the next move.
        agents[holder].start()
        self.health(cluster, holder, "online")
        agents[slot["holder"]].kill()
        wait_until("another one serves", lambda: self.slot(cluster)["phase"] == "serving" and
                   self.slot(cluster)["epoch"] > slot["epoch"], 30)
        self.assertEqual(self.members(cluster)["dn1"]["state"], "in-sync")
        cluster.check_replicas()

    def ours(self, agent):
        observed = json.loads(agent.observe())
        return [dm["name"] for dm in observed["dms"]] + [subsystem["nqn"] for subsystem in observed["subsystems"]] + [
            one["nqn"] for one in observed["imports"]]

    def test_a_dead_node_is_forgotten(self):
        cluster, agents = self.lay(3, 3)
        holder = self.slot(cluster)["holder"]
        empty = next(name for name in ("dn1", "dn2", "dn3") if name not in self.members(cluster))
        used = next(name for name in ("dn1", "dn2", "dn3") if name != empty)
        self.words(self.cli(cluster, "node", "forget", holder, status=1), "! slot 0 of volume vol", "1 of these")
        agents[holder].kill()

        def another_serves():
            slot = self.slot(cluster)  # one look: between two it moves
            return slot["phase"] == "serving" and slot["holder"] != holder
        wait_until("another one serves", another_serves, 30)
        parked = lambda: [nqn for name in self.members(cluster) for nqn in self.ours(agents[name]) if nqn.endswith(":e1")]
        wait_until("the old exports are parked", parked)
        before = cluster.state()
        self.words(self.cli(cluster, "node", "forget", holder, status=1), f"node {holder} is offline",
                   "of volume vol in its kernel, slot 0 in epoch 1", "is your promise", f"dnvme node forget {holder} --yes")
        self.assertEqual(cluster.state(), before)
        self.words(self.cli(cluster, "node", "forget", holder, "--yes"), f"node {holder} is forgotten")
        self.refused("NOT_FOUND", lambda: cluster.call("node.get", {"name": holder}))
        wait_until("nothing is parked any more", lambda: not parked())
        self.assertIn("a node is forgotten with what it held", "".join(server.log() for server in cluster.servers))
        # The promise is broken: it is back, with the same kernel, and takes down what nobody wants of it.
        self.assertTrue(self.ours(agents[holder]))
        agents[holder].start()
        self.health(cluster, holder, "online")
        wait_until("its kernel is clean", lambda: not self.ours(agents[holder]))
        # A node whose copy is in sync is needed; one that missed something is not.
        self.words(self.cli(cluster, "node", "forget", used, status=1), "is in sync", "! ")
        agents[used].kill()
        self.wait_state(cluster, used, "stale")
        self.words(self.cli(cluster, "node", "forget", used, status=1), "it is lost, and another disk takes its place")
        self.words(self.cli(cluster, "node", "forget", used, "--yes"), "is forgotten")
        self.wait_state(cluster, empty, "in-sync")
        self.assertNotIn(used, self.members(cluster))
        self.assertEqual(len(cluster.call("disk.list")["disks"]), 2)
        wait_until("nothing is wrong", lambda: "problems" not in self.status(cluster))
        agents[used].start()
        self.health(cluster, used, "online")
        wait_until("its kernel is clean", lambda: not self.ours(agents[used]))
        # One that holds nothing goes at once, but not while it is there.
        self.words(self.cli(cluster, "node", "forget", used, status=1), "is connected")
        agents[used].stop()
        self.cli(cluster, "node", "forget", used)
        cluster.check_replicas()


if __name__ == "__main__":
    main()
