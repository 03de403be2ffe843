# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness's cluster, with each process in a network namespace of its own and a handle on its disk and its clock."""

import os

import harness
from fault import network
from fault.control import Control
from fault.network import Network

GIB = 1 << 30


class Server(harness.Server):
    def __init__(self, cluster, number):
        super().__init__(cluster, number)
        self.program = cluster.program
        self.endpoint = cluster.net.endpoint(f"s{number}", self.host)
        self.control = Control(os.path.join(cluster.directory, f"control{number}"))

    def arguments(self):
        words = super().arguments()
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
        super().__init__(scenario["servers"], scenario["options"], network.SERVERS)
