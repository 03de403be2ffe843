# SPDX-License-Identifier: GPL-2.0-or-later
"""What is recorded: servers at work, one of them in the recorder."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))

import harness
import msgpack_small

MIB = 1 << 20
SERVER_OPTIONS = ["--snapshot-threshold=32", "--snapshot-trailing=8"]


class RecordedServer(harness.Server):
    """A server whose writes are recorded; its files are in a directory that holds nothing else."""

    def __init__(self, cluster, number, program, boot=1):
        super().__init__(cluster, number)
        self.program, self.boot = program, boot
        self.root = os.path.join(cluster.directory, "disk")
        self.directory = os.path.join(self.root, "data")
        self.trace = os.path.join(cluster.directory, "trace")
        os.makedirs(self.root, exist_ok=True)

    def arguments(self):
        own = super().arguments()
        own[0] = os.path.join(harness.BIN, self.program)
        return [os.path.join(harness.BIN, "power_recorder"), self.trace, self.root, str(self.boot)] + own

    def crash(self):
        """The process dies; what it wrote is still with the kernel."""
        self.process.send_signal(signal.SIGUSR1)
        status = self.process.wait(30 * harness.SLOW)
        self.process = None
        if status != 128 + signal.SIGKILL:
            raise AssertionError(f"the recorder ended with {status}\n{self.log()[-3000:]}")


class PlainServer(harness.Server):
    def __init__(self, cluster, number, program):
        super().__init__(cluster, number)
        self.program = program

    def arguments(self):
        own = super().arguments()
        own[0] = os.path.join(harness.BIN, self.program)
        return own


class Recording:
    """Commands to a group whose first server is recorded, and the digest of each state that was seen."""

    def __init__(self, servers, program, plain_program="power_dnvmed"):
        self.cluster = harness.Cluster(servers, SERVER_OPTIONS)
        self.victim = RecordedServer(self.cluster, 1, program)
        self.cluster.servers = [self.victim] + [
            PlainServer(self.cluster, number, plain_program) for number in range(2, servers + 1)
        ]
        self.digests = {}  # revision: digest
        self.volumes = 0

    def see(self, revision):
        """Remember the digest of the state that the last command made, unless the leader made another one of it."""
        for server in self.cluster.alive():
            info = server.info(digest=True)
            if info["role"] == "leader" and self.call("cluster.status", {})["revision"] == revision:
                self.digests[revision] = info["digest"]

    def call(self, method, params):
        return self.cluster.retry(method, params)

    def nodes(self, count=3):
        """Agents that never finish anything, so that nothing changes but by our commands."""
        agents = [self.cluster.agent(f"node{number}", disks=2) for number in range(count)]
        for agent in agents:
            agent.hold_if = lambda kind, item: True
        self.nodes_are_back()
        for agent in agents:
            for disk in ("/dev/fake0", "/dev/fake1"):
                self.see(self.call("disk.add", {"node": agent.name_, "path": disk})["revision"])

    def nodes_are_back(self):
        def online():
            nodes = self.call("node.list", {}).get("nodes", [])
            return len(nodes) == len(self.cluster.agents) and all(node["health"] == "online" for node in nodes)

        harness.wait_until("the agents are with the leader", online)

    def create(self):
        self.volumes += 1
        return {"name": f"vol{self.volumes}", "size_bytes": MIB}

    def steps(self, count):
        """One command after the other, of several kinds."""
        self.nodes_are_back()
        for number in range(count):
            method, params = (
                ("volume.create", self.create),
                ("node.cordon", lambda: {"name": "node0"}),
                ("node.uncordon", lambda: {"name": "node0"}),
                ("volume.delete", lambda: {"name": f"vol{self.volumes}"}),
            )[number % 4]
            self.see(self.call(method, params())["revision"])

    def burst(self, count):
        """Many commands at once: they share entries of the log, which are longer than a block then."""
        self.nodes_are_back()
        with self.cluster.leader().connect() as connection:
            connection.send(self.many(count))
            replies = []
            while len(replies) < count:
                _, _, failure, reply = connection.receive()
                if failure is not None:
                    raise harness.RpcError(failure)
                replies.append(reply["revision"])
        self.see(max(replies))

    def many(self, count):
        return b"".join(msgpack_small.pack([0, msgid, "volume.create", [self.create()]]) for msgid in range(count))

    def end(self):
        for agent in self.cluster.agents:
            agent.stop()
        for server in self.cluster.alive():
            server.kill()

    def remove(self):
        self.cluster.remove()


def alone(recording, length):
    """One server: forms its cluster, works, takes snapshots, is stopped and killed in between."""
    server = recording.victim
    server.start()
    recording.cluster.init()
    recording.nodes()
    recording.steps(length)
    recording.burst(24)
    if server.stop() != 0:
        raise AssertionError("the server did not stop as it should")
    server.start()
    recording.steps(length // 2)
    # Through the ends of several segments of the log.
    for _ in range(6):
        recording.burst(30)
    server.crash()
    server.start()
    recording.steps(length // 2)
    if server.stop() != 0:
        raise AssertionError("the server did not stop as it should")
    server.start()
    recording.steps(2)
    server.crash()


def member(recording, length):
    """One of three: votes, follows, leads, is deposed with entries that nobody else has, gets a snapshot."""
    cluster, victim, others = recording.cluster, recording.victim, recording.cluster.servers[1:]
    cluster.start()
    cluster.init()
    recording.nodes()
    recording.steps(length)
    # Leaders come and go; who stops hands over, to the first server first.
    if cluster.leader() is victim:
        victim.stop()
        recording.steps(2)
        victim.start()
    for _ in range(12):
        leader = cluster.leader()
        if leader is victim:
            break
        leader.stop()
        cluster.leader()
        leader.start()
    else:
        raise AssertionError("the victim was never elected")
    recording.steps(4)
    # As a leader that nobody hears it writes what the others never get, over more than one segment, and dies with it.
    with victim.connect() as connection:
        cut_off = [recording.many(40) for _ in range(8)]
        for other in others:
            other.kill()
        for requests in cut_off:
            connection.send(requests)
        harness.wait_until("it leads no more", lambda: victim.info()["role"] != "leader")
        victim.crash()
    for other in others:
        other.start()
    recording.steps(4)
    victim.start()
    recording.steps(4)
    cluster.check_replicas()
    # Away for longer than the others keep their log.
    victim.crash()
    recording.steps(48)
    victim.start()
    cluster.check_replicas()
    recording.steps(length // 2)
    cluster.check_replicas()
    victim.crash()


WORKLOADS = {"alone": (alone, 1), "member": (member, 3)}


def record(name, program, length, planted):
    """`planted`: the program has a bug, which may spoil the work itself; what was recorded until then counts."""
    work, servers = WORKLOADS[name]
    recording = Recording(servers, program)
    try:
        work(recording, length)
    except Exception as error:
        if not planted:
            print(recording.victim.log()[-4000:], file=sys.stderr)
            raise
        print(f"the planted bug spoils the work: {error}")
    finally:
        recording.end()
    return recording
