# SPDX-License-Identifier: GPL-2.0-or-later
"""What the leader does when something dies: slots move, members are given up and come back.

Controllers run on nodes of their own (cn1 …), disks are on others (dn1 …); the agents say what agents say.
"""

import threading

from harness import ClusterTest, GIB, RpcError, SimAgent, main, wait_until


class Failover(ClusterTest):
    def lay(self, controllers=3, disks=3):
        """A cluster with its agents by name."""
        cluster = self.make()
        agents = {}
        for number in range(1, disks + 1):
            agents[f"dn{number}"] = cluster.agent(f"dn{number}", storage_only=True)
        for number in range(1, controllers + 1):
            agents[f"cn{number}"] = cluster.agent(f"cn{number}", disks=0)
        for name in agents:
            self.wait_health(cluster, name, "online")
            if name.startswith("dn"):
                cluster.call("disk.add", {"node": name, "path": "/dev/fake0"})
        return cluster, agents

    def create(self, cluster, **params):
        params = {"name": "vol", "size_bytes": GIB, "copies": 2, "standbys": 1, **params}
        cluster.call("volume.create", params)
        self.online(cluster, "vol")
        return self.volume(cluster)

    def wait_health(self, cluster, name, health):
        wait_until(f"{name} is {health}", lambda: cluster.call("node.get", {"name": name})["health"] == health)

    def volume(self, cluster):
        return cluster.call("volume.get", {"name": "vol"})["volume"]

    def roles(self, volume):
        return {controller["node"]: controller["role"] for controller in volume["controllers"]}

    def states(self, volume):
        return {
            ld["id"]: ld["state"] for leg in volume["legs"] for group in leg["groups"] for ld in group["members"]
        }

    def disk_node(self, cluster, ld):
        """Where an LD lies."""
        status = cluster.call("volume.get", {"name": "vol"})
        nodes = {disk["id"]: disk["node"] for disk in status["disks"]}
        for leg in status["volume"]["legs"]:
            for group in leg["groups"]:
                for member in group["members"]:
                    if member["id"] == ld:
                        return nodes[member["disk"]]
        raise AssertionError(f"there is no {ld}")

    def wait_volume(self, cluster, what, condition):
        def look():
            volume = self.volume(cluster)
            return condition(volume) and volume

        return wait_until(what, look, 30)

    def wait_phase(self, cluster, phase, epoch=2, slot=0):
        return self.wait_volume(
            cluster,
            f"slot {slot} is {phase}",
            lambda v: v["slots"][slot]["phase"] == phase and v["slots"][slot]["epoch"] == epoch,
        )

    def again(self, cluster, agents, name, **options):
        """Its agent is started again; the kernel did not begin anew."""
        old = agents[name].hello
        agents[name] = cluster.agent(
            name,
            disks=len(old["inventory"]) - 1,
            boot_id=options.pop("boot_id", old["boot_id"]),
            storage_only=old["storage_only"],
            **options,
        )
        return agents[name]

    # --- slots ---

    def test_a_controller_dies(self):
        cluster, agents = self.lay()
        volume = self.create(cluster)
        self.assertEqual(self.roles(volume), {"cn1": "active", "cn2": "standby"})
        agents["cn1"].stop()
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual((volume["slots"][0]["holder"], volume["slots"][0]["reason"]), ("cn2", "failover"))
        # Another standby takes the place of the one that serves now.
        volume = self.wait_volume(cluster, "a standby", lambda v: self.roles(v).get("cn3") == "standby")
        self.assertEqual(self.roles(volume), {"cn1": "retired", "cn2": "active", "cn3": "standby"})
        jobs = cluster.call("job.list")["jobs"]
        self.assertEqual([(job["id"], job["kind"]) for job in jobs], [("v1.clean.cn1", "clean")])
        job = cluster.call("job.get", {"id": "v1.clean.cn1"})
        self.assertIn("node cn1 is offline", job["waits_for"])
        # Every member was fenced, so nobody had to wait for the old holder's lease.
        self.assertNotIn("unfenced", volume["slots"][0])
        self.again(cluster, agents, "cn1")
        volume = self.wait_volume(cluster, "cn1 is clean", lambda v: "cn1" not in self.roles(v))
        self.refused("NOT_FOUND", lambda: cluster.call("job.get", {"id": "v1.clean.cn1"}))
        self.assertNotIn("jobs", cluster.call("job.list"))
        self.assertEqual(volume["slots"][0]["epoch"], 2)
        cluster.check_replicas()

    def reports(self, cluster, said, until):
        """Hosts repeat what they say, {host: (live, lost)}, until it is so."""
        ending = threading.Event()

        def repeat():
            while not ending.wait(0.5):
                for host, (live, lost) in said.items():
                    try:
                        cluster.call(
                            "host.report",
                            {"host_nqn": host, "volumes": [{"volume": "v1", "live": live, "lost": lost}]},
                        )
                    except (OSError, RpcError):
                        pass  # the leader changes just now

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            return until()
        finally:
            ending.set()
            thread.join()

    def test_hosts_do_not_reach_the_holder(self):
        """It lives and serves, but the host that is attached reaches the standby only: the slot moves there. One that
        reaches the holder keeps it."""
        cluster, _ = self.lay()
        self.create(cluster)
        hosts = [f"nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-00000000000{number}" for number in range(3)]
        for host in hosts[:2]:
            cluster.call("volume.attach", {"volume": "vol", "host_nqn": host})
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("host.report", {"host_nqn": "h"}), "host_nqn")
        # Of nothing, of a volume that there is not, by somebody who is not attached: no error, and no effect.
        for server in cluster.servers:
            server.call("host.report", {"host_nqn": hosts[0]})
        cluster.call("host.report", {"host_nqn": hosts[0], "volumes": [{"volume": "v9", "lost": ["cn1"]}]})

        def waits_for(words, epoch=1):
            status = cluster.call("volume.get", {"name": "vol"})
            self.assertEqual(status["volume"]["slots"][0]["epoch"], epoch)
            return words in status.get("waits_for", "")

        said = {hosts[0]: (["cn2"], ["cn1"]), hosts[1]: (["cn1"], []), hosts[2]: ([], ["cn1", "cn2"])}
        sentence = f"host {hosts[0]} has no path to node cn1; another host has one"
        self.reports(cluster, said, lambda: wait_until("another host keeps it", lambda: waits_for(sentence)))
        # The new leader has to hear it from the beginning.
        self.next_leader(cluster)
        del said[hosts[1]]
        volume = self.reports(cluster, said, lambda: self.wait_phase(cluster, "serving"))
        self.assertEqual((volume["slots"][0]["holder"], volume["slots"][0]["reason"]), ("cn2", "unreached"))
        volume = self.wait_volume(cluster, "cn1 is clean", lambda v: "retired" not in self.roles(v).values())
        self.assertEqual(set(self.states(volume).values()), {"in-sync"})
        # Not back at once, whatever hosts say.
        said = {hosts[0]: (["cn1", "cn3"], ["cn2"])}
        epoch = volume["slots"][0]["epoch"]
        self.reports(cluster, said, lambda: wait_until("it stays", lambda: waits_for("less than 15 s ago", epoch)))
        cluster.check_replicas()

    def test_every_phase_outlives_its_leader(self):
        """The leader dies while the slot is held in each phase in turn; the next one goes on from there."""
        cluster, agents = self.lay()
        self.create(cluster)
        for name in ("dn1", "dn2", "dn3"):
            agents[name].hold_if = lambda kind, item: kind == "export"
        agents["cn2"].hold_if = lambda kind, item: kind == "volume" and item and item.get("legs_wanted", False)
        agents["cn1"].stop()
        self.wait_phase(cluster, "fencing")
        self.next_leader(cluster)
        self.assertEqual(self.volume(cluster)["slots"][0]["phase"], "fencing")
        for name in ("dn1", "dn2", "dn3"):
            agents[name].hold_if = lambda kind, item: False
            agents[name].hold.clear()
            agents[name].report_all()
        self.wait_phase(cluster, "assembling")
        self.next_leader(cluster)
        self.assertEqual(self.volume(cluster)["slots"][0]["phase"], "assembling")
        agents["cn2"].hold_if = lambda kind, item: kind == "volume" and item and item["role"] == "active"
        agents["cn2"].release("v1")
        self.wait_phase(cluster, "exporting")
        self.next_leader(cluster)
        self.assertEqual(self.volume(cluster)["slots"][0]["phase"], "exporting")
        agents["cn2"].hold_if = lambda kind, item: False
        agents["cn2"].release("v1")
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual(volume["slots"][0]["holder"], "cn2")
        self.assertEqual(set(self.states(volume).values()), {"in-sync"})
        cluster.check_replicas()

    def next_leader(self, cluster):
        """The leader is killed and comes back as a follower; every agent has found the next one."""
        old = cluster.leader()
        old.kill()
        cluster.leader()
        old.start()
        for agent in cluster.agents:
            if not agent.ending.is_set():
                self.wait_health(cluster, agent.name_, "online")

    def test_the_successor_dies_as_well(self):
        cluster, agents = self.lay()
        self.create(cluster)
        agents["cn2"].hold_if = lambda kind, item: kind == "volume" and item and item.get("legs_wanted", False)
        agents["cn1"].stop()
        self.wait_phase(cluster, "assembling")
        agents["cn2"].stop()
        volume = self.wait_phase(cluster, "serving", 3)
        self.assertEqual(volume["slots"][0]["holder"], "cn3")
        self.assertEqual(self.roles(volume), {"cn1": "retired", "cn2": "retired", "cn3": "active"})

    def test_without_a_standby_one_is_made(self):
        cluster, agents = self.lay(2)
        self.create(cluster, standbys=0)
        agents["cn1"].stop()
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual(self.roles(volume), {"cn1": "retired", "cn2": "active"})

    def test_without_a_node_it_says_so(self):
        cluster, agents = self.lay(1)
        self.create(cluster, standbys=0)
        agents["cn1"].stop()
        wait_until(
            "it says what it lacks",
            lambda: "a standby finds no node" in cluster.call("volume.get", {"name": "vol"}).get("waits_for", ""),
        )
        # It comes back: nothing happened.
        self.again(cluster, agents, "cn1")
        self.wait_health(cluster, "cn1", "online")
        wait_until(
            "it waits for nothing", lambda: "waits_for" not in cluster.call("volume.get", {"name": "vol"})
        )
        self.assertEqual(self.volume(cluster)["slots"][0]["epoch"], 1)

    def test_a_short_absence_is_none(self):
        cluster, agents = self.lay()
        self.create(cluster)
        before = cluster.state()
        agents["cn1"].stop()
        again = self.again(cluster, agents, "cn1")
        wait_until("it is back", again.connected.is_set)
        self.wait_health(cluster, "cn1", "online")
        self.assertEqual(cluster.state(), before)

    def test_a_reboot_is_no_short_absence(self):
        """Its kernel is empty, however soon it is back."""
        cluster, agents = self.lay()
        self.create(cluster)
        agents["cn1"].stop()
        self.again(cluster, agents, "cn1", boot_id="11111111-2222-3333-4444-555555555555")
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual(volume["slots"][0]["holder"], "cn2")
        # Without a standby it begins anew itself.
        cluster.call("node.cordon", {"name": "cn1"})
        cluster.call("node.cordon", {"name": "cn3"})
        self.wait_volume(cluster, "cn1 is clean", lambda v: self.roles(v).get("cn1") != "retired")
        for name in ("cn1", "cn3"):
            agents[name].stop()
            self.wait_health(cluster, name, "offline")
        agents["cn2"].stop()
        self.again(cluster, agents, "cn2", boot_id="11111111-2222-3333-4444-666666666666")
        volume = self.wait_phase(cluster, "serving", 3)
        self.assertEqual((volume["slots"][0]["holder"], volume["slots"][0]["reason"]), ("cn2", "restart"))

    def test_no_lease_without_a_majority(self):
        """A heartbeat is answered behind a barrier that began when it had arrived."""
        cluster, agents = self.lay(0, 1)
        agents["dn1"].stop()
        leader, followers = cluster.leader(), cluster.followers()
        with leader.connect() as connection:
            connection.call("agent.hello", agents["dn1"].hello)
            connection.call("agent.heartbeat", {"sequence": 1, "sent_ms": 1})
            for follower in followers:
                follower.pause()
            connection.request("agent.heartbeat", {"sequence": 2, "sent_ms": 2})
            try:
                while True:
                    message = connection.receive(3.0)
                    self.assertFalse(message[0] == 1 and message[2] is None, "a lease was renewed")
            except (TimeoutError, ConnectionError):
                pass
            for follower in followers:
                follower.resume()
        cluster.leader()

    def test_a_leader_that_was_held_up_judges_nobody(self):
        cluster = self.make(1)
        for name, storage_only in (("dn1", True), ("dn2", True), ("cn1", False), ("cn2", False)):
            cluster.agent(name, disks=int(storage_only), storage_only=storage_only)
            self.wait_health(cluster, name, "online")
            if storage_only:
                cluster.call("disk.add", {"node": name, "path": "/dev/fake0"})
        self.create(cluster)
        server = cluster.servers[0]
        held = threading.Timer(3, server.resume)
        server.pause()
        held.start()
        held.join()
        for name in ("dn1", "dn2", "cn1", "cn2"):
            self.wait_health(cluster, name, "online")
        self.assertNotIn("health=offline", server.log())
        self.assertEqual(self.volume(cluster)["slots"][0]["epoch"], 1)

    def test_two_slots(self):
        """The other holder shuts the old one out before the slot goes on."""
        cluster, agents = self.lay()
        volume = self.create(cluster, controllers=2, legs=1)
        self.assertEqual(self.roles(volume), {"cn1": "active", "cn2": "active", "cn3": "standby"})
        agents["cn2"].hold.update(["v1.s1.cn1"])
        agents["cn1"].stop()
        self.wait_phase(cluster, "fencing")
        wait_until(
            "it waits for the consumer export",
            lambda: "v1.s1.cn1" in cluster.call("volume.get", {"name": "vol"}).get("waits_for", ""),
        )
        job = cluster.call("job.list")["jobs"][0]
        self.assertEqual((job["id"], job["kind"], job["phase"]), ("v1.s0.e2", "failover", "fencing"))
        self.assertIn("v1.s1.cn1", cluster.call("job.get", {"id": "v1.s0.e2"})["waits_for"])
        agents["cn2"].release("v1.s1.cn1")
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual(volume["slots"][1]["epoch"], 1)

    def test_both_slots(self):
        cluster, agents = self.lay(4)
        self.create(cluster, controllers=2, standbys=2)
        agents["cn1"].stop()
        agents["cn2"].stop()
        self.wait_phase(cluster, "serving", 2, 0)
        volume = self.wait_phase(cluster, "serving", 2, 1)
        self.assertEqual({slot["holder"] for slot in volume["slots"]}, {"cn3", "cn4"})

    def test_a_disk_node_dies_with_the_controller(self):
        """What was not fenced is given up, and the new holder waits until nobody can read it."""
        cluster, agents = self.lay()
        volume = self.create(cluster)
        ld = next(iter(self.states(volume)))
        agents["cn1"].stop()
        agents[self.disk_node(cluster, ld)].stop()
        wait_until(
            "it waits for the old holder's lease",
            lambda: "node cn1 may serve for up to" in cluster.call("volume.get", {"name": "vol"}).get("waits_for", ""),
        )
        volume = self.volume(cluster)
        self.assertEqual(volume["slots"][0]["phase"], "assembling")
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual(self.states(volume)[ld], "stale")
        self.assertEqual(volume["slots"][0]["holder"], "cn2")

    def test_nothing_is_assembled_from_unfenced_members(self):
        cluster, agents = self.lay()
        volume = self.create(cluster)
        lds = list(self.states(volume))
        nodes = [self.disk_node(cluster, ld) for ld in lds]
        agents["cn1"].stop()
        for node in nodes:
            agents[node].stop()
        self.wait_phase(cluster, "fencing")
        for node in nodes:
            self.wait_health(cluster, node, "offline")
        status = wait_until(
            "it names what is missing",
            lambda: (s := cluster.call("volume.get", {"name": "vol"})) and "is offline" in s.get("waits_for", "") and s,
        )
        self.assertEqual(status["volume"]["slots"][0]["phase"], "fencing")
        self.assertEqual(set(self.states(status["volume"]).values()), {"in-sync"})
        # One of them is enough.
        self.again(cluster, agents, nodes[0])
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual(self.states(volume), {lds[0]: "in-sync", lds[1]: "stale"})

    def test_drain(self):
        cluster, agents = self.lay()
        self.create(cluster)
        cluster.call("node.drain", {"name": "cn1"})
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual((volume["slots"][0]["holder"], volume["slots"][0]["reason"]), ("cn2", "drain"))
        wait_until("it is empty", lambda: not cluster.call("node.get", {"name": "cn1"})["node"].get("controllers"))
        node = cluster.call("node.get", {"name": "cn1"})["node"]
        self.assertTrue(node["cordoned"] and node["draining"])
        # A cordon does not end it, opening does.
        cluster.call("node.cordon", {"name": "cn1"})
        self.assertTrue(cluster.call("node.get", {"name": "cn1"})["node"]["draining"])
        cluster.call("node.uncordon", {"name": "cn1"})
        node = cluster.call("node.get", {"name": "cn1"})["node"]
        self.assertFalse("cordoned" in node or "draining" in node)

    def test_a_slot_is_moved(self):
        """By hand: to its standby, to a node that is none, and not as long as that is not ready."""
        cluster, agents = self.lay(controllers=3)
        self.create(cluster)

        def move(to=None, **more):
            return cluster.call("volume.move", {"volume": "vol", **({"to": to} if to else {}), **more})["id"]

        def over(job):
            return wait_until(
                f"{job} is over",
                lambda: (o := cluster.call("job.wait", {"id": job, "wait_ms": 1000})["operation"])["phase"] == "over" and o,
                30,
            )["state"]

        self.assertEqual(over(move()), "done")
        slot = self.volume(cluster)["slots"][0]
        self.assertEqual((slot["holder"], slot["reason"], slot["epoch"]), ("cn2", "asked", 2))
        self.refused("FAILED_PRECONDITION", lambda: move("cn2"), 'node "cn2" holds slot 0')
        self.refused("NOT_FOUND", lambda: move(slot=3), 'slot: volume "vol" has no slot 3, the last one is 0')
        self.refused("NOT_FOUND", lambda: move("nobody"), 'there is no node "nobody"')
        self.refused("FAILED_PRECONDITION", lambda: move("dn1"), 'node "dn1" cannot hold a slot of volume "vol": it holds no')
        volume = self.wait_volume(cluster, "all is well", lambda v: sorted(self.roles(v).values()) == ["active", "standby"])
        other = ({"cn1", "cn2", "cn3"} - {*self.roles(volume)}).pop()
        cluster.call("node.cordon", {"name": other})
        self.refused("FAILED_PRECONDITION", lambda: move(other), f'node "{other}" cannot hold', "it is cordoned")
        cluster.call("node.uncordon", {"name": other})
        # It becomes a standby, and is not ready.
        agents[other].hold.add("v1")
        job = move(other)
        found = cluster.call("job.get", {"id": job})
        self.assertEqual(
            (found["kind"], found["phase"], found["target"]),
            ("move-slot", "preparing", f"slot 0 of volume vol from node cn2 to node {other}"),
        )
        self.assertIn(f"controller v1: node {other}", found["waits_for"])
        self.assertEqual(self.roles(self.volume(cluster))[other], "standby")
        self.refused("FAILED_PRECONDITION", move, f"job {job} works on volume")
        cluster.call("job.cancel", {"id": job})
        self.assertEqual(over(job), "cancelled")
        self.assertEqual(self.volume(cluster)["slots"][0]["holder"], "cn2")
        # What was made for it goes; asked again, it is made again.
        agents[other].release("v1")
        self.wait_volume(cluster, "it is gone", lambda v: other not in self.roles(v))
        self.assertEqual(over(move(other)), "done")
        volume = self.volume(cluster)
        self.assertEqual((volume["slots"][0]["holder"], volume["slots"][0]["epoch"]), (other, 3))
        self.assertNotIn("next", volume["slots"][0])
        cluster.check_replicas()

    def test_a_frozen_slot_begins_anew(self):
        cluster, agents = self.lay()
        volume = self.create(cluster)
        agents["cn1"].lost = {ld: 60000 for ld in self.states(volume)}
        agents["cn1"].report_all()
        # This agent says so of every epoch at once, as no real one does: it may have begun anew more than once.
        volume = self.wait_volume(cluster, "it begins anew", lambda v: v["slots"][0]["epoch"] >= 2)
        self.assertEqual((volume["slots"][0]["holder"], volume["slots"][0]["reason"]), ("cn1", "restart"))
        agents["cn1"].lost = {}
        agents["cn1"].report_all()

    def test_real_agents(self):
        """The same with agents over simulated kernels, which outlive them; each node has a disk, too."""
        cluster = self.make()
        agents = {name: SimAgent(cluster, name) for name in ("node1", "node2", "node3")}
        for name, agent in agents.items():
            self.wait_health(cluster, name, "online")
            cluster.call("disk.add", {"node": name, "path": agent.paths[0]})
        cluster.call("node.cordon", {"name": "node3"})
        volume = self.create(cluster)
        self.assertEqual(self.roles(volume), {"node1": "active", "node2": "standby"})
        agents["node1"].kill()
        volume = self.wait_phase(cluster, "serving")
        self.assertEqual(self.roles(volume), {"node1": "retired", "node2": "active"})
        self.assertEqual(sorted(self.states(volume).values()), ["in-sync", "stale"])
        agents["node1"].start()
        volume = self.wait_volume(
            cluster,
            "it is clean, a standby, and in sync",
            lambda v: self.roles(v).get("node1") == "standby" and set(self.states(v).values()) == {"in-sync"},
        )
        self.assertEqual(volume["slots"][0]["epoch"], 2)
        # And back again.
        agents["node2"].kill()
        volume = self.wait_phase(cluster, "serving", 3)
        self.assertEqual(self.roles(volume), {"node2": "retired", "node1": "active"})
        agents["node2"].start()
        self.wait_volume(cluster, "all is well", lambda v: set(self.states(v).values()) == {"in-sync"})
        cluster.check_replicas()

    # --- members ---

    def test_a_disk_node_dies_and_comes_back(self):
        cluster, agents = self.lay()
        volume = self.create(cluster)
        ld = next(iter(self.states(volume)))
        node = self.disk_node(cluster, ld)
        agents[node].stop()
        volume = self.wait_volume(cluster, "it is stale", lambda v: self.states(v)[ld] == "stale")
        self.assertEqual(volume["slots"][0]["epoch"], 1)
        member = volume["legs"][0]["groups"][0]["members"][0]
        self.assertEqual((member["id"], member["stale_reason"]), (ld, "path-lost"))
        self.again(cluster, agents, node)
        self.wait_volume(cluster, "it is rebuilt", lambda v: self.states(v)[ld] == "rebuilding")
        job = wait_until("it goes on", lambda: (j := cluster.call("job.list")["jobs"][0]).get("done_bytes") and j)
        self.assertEqual((job["id"], job["kind"], job["total_bytes"]), (f"v1.{ld}", "rebuild", GIB))
        # The leader dies: the rebuild goes on, and is not complete by itself.
        self.next_leader(cluster)
        self.assertEqual(self.states(self.volume(cluster))[ld], "rebuilding")
        agents["cn1"].rebuilds = True
        agents["cn1"].report_all()
        self.wait_volume(cluster, "it is in sync", lambda v: self.states(v)[ld] == "in-sync")
        wait_until("nothing is left to do", lambda: "jobs" not in cluster.call("job.list"))
        cluster.check_replicas()

    def test_a_lost_path(self):
        cluster, agents = self.lay()
        volume = self.create(cluster)
        lds = list(self.states(volume))
        agents["cn1"].lost = {lds[1]: 1}
        agents["cn1"].report_all()
        # Half a second later it is looked at again, without another word.
        self.wait_volume(cluster, "it is stale", lambda v: self.states(v)[lds[1]] == "stale")
        # The last one is never given up.
        agents["cn1"].lost = {ld: 5000 for ld in lds}
        agents["cn1"].report_all()
        wait_until(
            "it says so",
            lambda: "no other copy is well" in cluster.call("volume.get", {"name": "vol"}).get("waits_for", ""),
        )
        self.assertEqual(self.states(self.volume(cluster))[lds[0]], "in-sync")
        agents["cn1"].lost = {}
        agents["cn1"].rebuilds = True
        agents["cn1"].report_all()
        self.wait_volume(cluster, "all is well", lambda v: set(self.states(v).values()) == {"in-sync"})

    def test_another_disk_takes_its_place(self):
        cluster, agents = self.lay()
        volume = self.create(cluster)
        free = cluster.call("cluster.status")["bytes_free"]
        cluster.call("cluster.set", {"settings": {"rebuild_after_ms": 3000}})
        ld = next(iter(self.states(volume)))
        node = self.disk_node(cluster, ld)
        agents["cn1"].rebuilds = True
        agents[node].stop()
        volume = self.wait_volume(
            cluster,
            "another one is in sync",
            lambda v: ld not in self.states(v) and set(self.states(v).values()) == {"in-sync"},
        )
        self.assertEqual([leaving["ld"]["id"] for leaving in volume["leaving"]], [ld])
        self.assertEqual([job["kind"] for job in cluster.call("job.list")["jobs"]], ["release"])
        self.assertLess(cluster.call("cluster.status")["bytes_free"], free)
        self.again(cluster, agents, node)
        self.wait_volume(cluster, "its extents are free", lambda v: "leaving" not in v)
        self.assertEqual(cluster.call("cluster.status")["bytes_free"], free)
        cluster.check_replicas()

    def test_settings(self):
        cluster, _ = self.lay(1, 1)
        cluster.call("cluster.set", {"settings": {"rebuild_after_ms": 30000, "rebuild_rate_bytes": 1 << 20}})
        cluster.call("cluster.set", {"settings": {"rebuild_after_ms": 40000}})
        self.create(cluster, copies=1, standbys=0)
        leg = cluster.agents[-1].volumes["v1"]["legs"][0]
        self.assertEqual(leg["rebuild_rate_bytes"], 1 << 20)
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("job.get", {"id": "v1"}), "v1")
        self.refused("NOT_FOUND", lambda: cluster.call("job.get", {"id": "v1.s0.e7"}))
        self.refused("INVALID_ARGUMENT", lambda: cluster.call("job.list", {"filter": "nonsense"}), "failover")


if __name__ == "__main__":
    main()
