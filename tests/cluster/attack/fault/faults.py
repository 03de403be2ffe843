# SPDX-License-Identifier: GPL-2.0-or-later
"""What can befall a cluster. Each fault is begun on a choice of victims, stands for a while, and is healed; `heal` leaves
nothing behind, whatever the fault did to its victim."""

import itertools
import os
import shutil
import uuid

import harness


def leader_of(cluster):
    """The server that believes that it leads, or any, if none does."""
    for server in cluster.alive():
        try:
            if server.info()["role"] == "leader":
                return server
        except (OSError, harness.RpcError):
            pass
    return cluster.alive()[0]


def both(one, other):
    return [(one, other), (other, one)]


class Fault:
    def __init__(self, cluster, random):
        self.cluster = cluster
        self.random = random
        self.servers = cluster.servers

    def pick(self):
        return self.random.choice(self.servers)

    def minority(self):
        return self.random.sample(self.servers, (len(self.servers) - 1) // 2)

    def begin(self):
        """Returns what it does, for the history."""
        raise NotImplementedError

    def heal(self):
        raise NotImplementedError


class Kill(Fault):
    """kill -9, and a start later."""

    def victims(self):
        return [self.pick()]

    def begin(self):
        self.killed = self.victims()
        for server in self.killed:
            server.kill()
        return [f"s{server.number}" for server in self.killed]

    def heal(self):
        for server in self.killed:
            server.revive()


class KillLeader(Kill):
    def victims(self):
        return [leader_of(self.cluster)]


class KillMinority(Kill):
    def victims(self):
        return self.minority()


class KillAll(Kill):
    def victims(self):
        return list(self.servers)


class Restart(Fault):
    """As an operator restarts servers: one after the other, each asked to stop."""

    def begin(self):
        for server in self.servers:
            if server.process is not None:
                server.stop()
            server.start()
        return [f"s{server.number}" for server in self.servers]

    def heal(self):
        pass


class Pause(Fault):
    """SIGSTOP, and SIGCONT later."""

    def victims(self):
        return [self.pick()]

    def begin(self):
        self.paused = self.victims()
        for server in self.paused:
            server.pause()
        return [f"s{server.number}" for server in self.paused]

    def heal(self):
        for server in self.paused:
            server.resume()


class PauseLeader(Pause):
    def victims(self):
        return [leader_of(self.cluster)]


class Cut(Fault):
    """Packets between servers do not arrive. Clients and agents reach all of them."""

    def pairs(self):
        """[(sender, receiver)], servers."""
        raise NotImplementedError

    def begin(self):
        pairs = self.pairs()
        self.cluster.net.cut([(sender.host, receiver.host) for sender, receiver in pairs])
        return [f"s{sender.number}>s{receiver.number}" for sender, receiver in pairs]

    def heal(self):
        self.cluster.net.heal()


class CutHalves(Cut):
    def pairs(self):
        few = self.minority()
        many = [server for server in self.servers if server not in few]
        return [pair for one, other in itertools.product(few, many) for pair in both(one, other)]


class IsolateLeader(Cut):
    def pairs(self):
        self.leader = leader = leader_of(self.cluster)
        return [pair for server in self.servers if server is not leader for pair in both(leader, server)]


class IsolateSlowLeader(IsolateLeader):
    """The clocks of a leader that nobody hears run slow: it believes for longer that it leads."""

    def begin(self):
        told = super().begin()
        self.leader.control.speed(20)
        return told

    def heal(self):
        super().heal()
        self.leader.control.speed()


class DeafLeader(Cut):
    """The leader is heard and hears nothing."""

    def pairs(self):
        leader = leader_of(self.cluster)
        return [(server, leader) for server in self.servers if server is not leader]


class MuteLeader(Cut):
    """The leader hears all and is not heard."""

    def pairs(self):
        leader = leader_of(self.cluster)
        return [(leader, server) for server in self.servers if server is not leader]


class OneWay(Cut):
    def pairs(self):
        one, other = self.random.sample(self.servers, 2)
        return [(one, other)]


class Bridge(Cut):
    """Two halves that do not see each other, and one server that both see."""

    def pairs(self):
        servers = self.random.sample(self.servers, len(self.servers))
        half = len(servers) // 2
        return [pair for one, other in itertools.product(servers[:half], servers[half + 1 :]) for pair in both(one, other)]


class CutClients(Cut):
    """Some clients and agents do not reach the leader; it reaches everybody."""

    def begin(self):
        leader = leader_of(self.cluster)
        addresses = [agent.address for agent in self.cluster.agents] + self.cluster.client_addresses
        away = self.random.sample(addresses, (len(addresses) + 1) // 2)
        self.cluster.net.cut([(address, leader.host) for address in away])
        return [f"{address}>s{leader.number}" for address in away]


class DiskFull(Fault):
    """Not a byte is left on the disk of one server."""

    def begin(self):
        self.victim = self.random.choice([server for server in self.servers if server.disk is not None])
        self.victim.disk.fill()
        return [f"s{self.victim.number}"]

    def heal(self):
        self.victim.disk.free()
        self.victim.revive()


class DiskFullRestart(DiskFull):
    """The same, and the server is killed while it is so. It cannot start; it is tried nevertheless."""

    def begin(self):
        told = super().begin()
        self.victim.kill()
        self.victim.launch()
        return told


class SlowDisk(Fault):
    """Each flush and each write of the log takes long."""

    def begin(self):
        self.victims = self.random.sample(self.servers, self.random.randint(1, len(self.servers)))
        delay_ms = self.random.choice((20, 100, 400))
        for server in self.victims:
            server.control.disk(delay_ms=delay_ms)
        return [f"s{server.number}: {delay_ms} ms" for server in self.victims]

    def heal(self):
        for server in self.victims:
            server.control.disk()


class BadDisk(Fault):
    """Flushes and writes of the log of one server return EIO. It may end, and then starts again on a good one."""

    def begin(self):
        self.victim = self.pick()
        self.victim.control.disk(fail=1)
        return [f"s{self.victim.number}"]

    def heal(self):
        self.victim.control.disk()
        self.victim.revive()


class Clocks(Fault):
    """The wall clocks of some servers jump, to and fro; afterwards they are right again."""

    def begin(self):
        told = []
        for server in self.random.sample(self.servers, self.random.randint(1, len(self.servers))):
            jump_ms = self.random.choice((-1, 1)) * int(10 ** self.random.uniform(2, 8))
            server.control.clock(jump_ms)
            told.append(f"s{server.number}: {jump_ms} ms")
        return told

    def heal(self):
        for server in self.servers:
            server.control.clock()


class SlowClocks(Fault):
    """All clocks of some servers run slow, and catch up in the end. (Fast ones are against what leases rely on.)"""

    def begin(self):
        self.victims = self.random.sample(self.servers, self.random.randint(1, len(self.servers)))
        percent = self.random.choice((20, 50, 90))
        for server in self.victims:
            server.control.speed(percent)
        return [f"s{server.number}: {percent} %" for server in self.victims]

    def heal(self):
        for server in self.victims:
            server.control.speed()


class AgentFault(Fault):
    def pick(self):
        """One that runs: another fault may have killed some."""
        return self.random.choice([agent for agent in self.cluster.agents if agent.process is not None])


class KillAgent(AgentFault):
    def begin(self):
        self.agent = self.pick()
        self.agent.kill()
        return [self.agent.name_]

    def heal(self):
        self.agent.start()


class PauseAgent(AgentFault):
    def begin(self):
        self.agent = self.pick()
        self.agent.pause()
        return [self.agent.name_]

    def heal(self):
        if self.agent.process is not None:
            self.agent.resume()


class Membership(Fault):
    """What an operator asks for. That it is refused is an answer, too."""

    def ask(self, method, params):
        try:
            self.cluster.retry(method, dict(params, request_id=uuid.uuid4().bytes))
        except harness.RpcError as error:
            if error.code != "FAILED_PRECONDITION":
                raise
            return False
        return True

    def membership(self, name):
        """None: there is no such server."""
        for server in self.cluster.retry("cluster.status", {})["servers"]:
            if server["name"] == name:
                return server["membership"]
        return None

    def heal(self):
        pass


class AddServer(Membership):
    numbers = itertools.count(1)

    def begin(self):
        if not self.cluster.spares:
            return []
        server = self.cluster.spares.pop(0)
        server.numbered = False
        server.member = f"m{next(self.numbers)}"
        server.launch()
        server.ready()
        params = {"name": server.member, "raft_address": server.raft, "api_address": server.api}
        if not self.ask("cluster.add_server", params):
            server.kill()
            self.cluster.spares.append(server)
            return []
        self.servers.append(server)
        harness.wait_until(f"{server.member} joined", lambda: self.membership(server.member) in ("voter", "standby"), 60)
        return [server.member]


class RemoveServer(Membership):
    """Any of more than three; the leader, too. It comes back later as a new one."""

    def begin(self):
        if len(self.servers) <= 3:
            return []
        server = self.pick()
        if not self.ask("cluster.remove_server", {"name": server.member}):
            return []
        harness.wait_until(f"{server.member} left", lambda: self.membership(server.member) is None, 60)
        harness.wait_until(f"{server.member} ended", lambda: server.process.poll() is not None, 60)
        if server.process.returncode != 1 or "was removed from its cluster" not in server.log():
            server.wrong.append(f"server {server.number} was removed, and ended with {server.process.returncode}")
        server.process = None
        self.servers.remove(server)
        self.cluster.spares.append(server)
        for name in os.listdir(server.directory):
            path = os.path.join(server.directory, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        return [server.member]


class Transfer(Membership):
    def begin(self):
        server = self.pick()
        return [server.member] if self.ask("cluster.transfer", {"name": server.member}) else []


FAULTS = {
    "kill": Kill,
    "kill-leader": KillLeader,
    "kill-minority": KillMinority,
    "kill-all": KillAll,
    "restart": Restart,
    "pause": Pause,
    "pause-leader": PauseLeader,
    "cut-halves": CutHalves,
    "isolate-leader": IsolateLeader,
    "isolate-slow-leader": IsolateSlowLeader,
    "deaf-leader": DeafLeader,
    "mute-leader": MuteLeader,
    "one-way": OneWay,
    "bridge": Bridge,
    "cut-clients": CutClients,
    "disk-full": DiskFull,
    "disk-full-restart": DiskFullRestart,
    "slow-disk": SlowDisk,
    "bad-disk": BadDisk,
    "clocks": Clocks,
    "slow-clocks": SlowClocks,
    "kill-agent": KillAgent,
    "pause-agent": PauseAgent,
    "add-server": AddServer,
    "remove-server": RemoveServer,
    "transfer": Transfer,
}
