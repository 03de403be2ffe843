# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness's cluster, with each process in a network namespace of its own and a handle on its disk and its clock."""

import os

import harness
from fault import network
from fault.control import Control
from fault.network import Network

GIB = 1 << 30

DISK_TROUBLE = ("disk is full", "cannot write the Raft log", "Input/output error", "i/o error")


class Server(harness.Server):
    def __init__(self, cluster, number):
        super().__init__(cluster, number)
        self.program = cluster.program
        self.endpoint = cluster.net.endpoint(f"s{number}", self.host)
        self.control = Control(os.path.join(cluster.directory, f"control{number}"))
        self.wrong = []  # ends that no fault explains
        self.member = f"s{number}"  # its name as a member of the group
        self.numbered = True  # it is started with its number, and not given one

    def revive(self):
        """If it ended it starts again. It may end by itself when its disk is full or bad, and says so."""
        if self.process is not None and self.process.poll() is not None:
            status = self.process.wait()
            self.process = None
            last = [line for line in self.log().split("\n") if " error dnvmed: " in line][-1:]
            if status != 1 or not last or not any(word in last[0] for word in DISK_TROUBLE):
                self.wrong.append(f"server {self.number} ended by itself with {status}: {last}")
        if self.process is None:
            self.launch()

    def arguments(self):
        words = [word for word in super().arguments() if self.numbered or not word.startswith("--id=")]
        program = next(at for at, word in enumerate(words) if word.endswith("/" + self.program))
        return self.endpoint.prefix + words[:program] + self.control.prefix() + words[program:]


class Agent(harness.SimAgent):
    def __init__(self, cluster, number):
        self.address = f"{network.AGENTS}.{number}"
        self.endpoint = cluster.net.endpoint(f"a{number}", self.address)
        super().__init__(cluster, f"node{number}", disks=2, disk_bytes=64 * GIB)

    def prefix(self):
        return self.endpoint.prefix


class Cluster(harness.Cluster):
    make_server = Server

    def __init__(self, scenario, program):
        self.program = program
        self.net = Network()
        super().__init__(scenario["servers"] + scenario["spares"], scenario["options"], network.SERVERS)
        self.spares = self.servers[scenario["servers"] :]  # not part of the group; added and removed by faults
        del self.servers[scenario["servers"] :]
