# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness's cluster, with each process in a network namespace of its own and a handle on its disk and its clock."""

import mmap
import os
import struct
import time

import harness
from fault import network
from fault.network import Network

SHIM = "libattack_shim.so"
GIB = 1 << 30


class Control:
    """The numbers that the shim in a server looks at (fault/shim.c)."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(32))
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 32)

    def disk(self, delay_ms=0, fail=0):
        self.page[:8] = struct.pack("=II", delay_ms, fail)

    def clock(self, jump_ms=0):
        self.page[8:16] = struct.pack("=q", jump_ms)

    def speed(self, percent=0):
        """Clocks only ever run slower from now on, or catch up at once: none goes back."""
        self.page[24:28] = struct.pack("=I", 0)
        self.page[16:24] = struct.pack("=q", time.monotonic_ns())
        self.page[24:28] = struct.pack("=I", percent)


class Server(harness.Server):
    def __init__(self, cluster, number):
        super().__init__(cluster, number)
        self.program = cluster.program
        self.endpoint = cluster.net.endpoint(f"s{number}", self.host)
        self.control = Control(os.path.join(cluster.directory, f"control{number}"))

    def arguments(self):
        shim = os.path.join(harness.BIN, "..", "lib", SHIM)
        # A sanitizer wants to be the first library, and bears to be the second.
        environment = [f"LD_PRELOAD={shim}", f"DNVME_ATTACK_CONTROL={self.control.path}"]
        options = os.environ.get("ASAN_OPTIONS", "")
        environment.append(f"ASAN_OPTIONS=verify_asan_link_order=0:{options}")
        words = super().arguments()
        program = next(at for at, word in enumerate(words) if word.endswith("/" + self.program))
        return self.endpoint.prefix + words[:program] + ["env"] + environment + words[program:]


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
