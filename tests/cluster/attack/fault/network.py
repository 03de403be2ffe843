# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces on one bridge, and cuts between them by nftables. All of it is in the namespaces of the run itself
(attack.py unshares them first), so it is gone when the run is."""

import os
import subprocess

NETWORK = "10.88.0"
SERVERS, AGENTS, LIBRARY, LOCAL = "10.88.0", "10.88.1", "10.88.2", "10.88.3"
RULES = """
table inet attack {
	set cut { type ipv4_addr; }
	chain in { type filter hook input priority -300; ip saddr @cut drop; }
}
"""


def run(*words, text=None):
    done = subprocess.run(words, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Endpoint:
    """A namespace with one address."""

    def __init__(self, network, name, address):
        self.name = name
        self.address = address
        self.prefix = ["nsenter", f"--net=/run/netns/{name}", "--"]
        run("ip", "netns", "add", name)
        run("ip", "link", "add", "name", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"v{name}", "master", network.bridge, "up")
        for words in (
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", f"{address}/16", "dev", "eth0"],
            ["ip", "link", "set", "eth0", "up"],
        ):
            run(*self.prefix, *words)
        run(*self.prefix, "nft", "-f", "-", text=RULES)

    def remove(self):
        run("ip", "netns", "delete", self.name)


class Network:
    def __init__(self):
        self.bridge = "attack"
        self.endpoints = {}  # by address
        os.makedirs("/run/netns", exist_ok=True)
        run("mount", "-t", "tmpfs", "namespaces", "/run/netns")
        run("ip", "link", "set", "lo", "up")
        # With an address of its own: else it takes another one as ports come, and nobody finds it for a while.
        run("ip", "link", "add", "name", self.bridge, "address", "02:00:0a:58:03:fe", "type", "bridge")
        run("ip", "link", "set", self.bridge, "up")
        # The run's own place on the network: who looks at servers from outside is never cut off.
        run("ip", "address", "add", f"{LOCAL}.254/16", "dev", self.bridge)

    def endpoint(self, name, address):
        self.endpoints[address] = endpoint = Endpoint(self, name, address)
        return endpoint

    def local(self, number):
        """One more address of the run's own place, for clients in this process."""
        run("ip", "address", "add", f"{LOCAL}.{number}/16", "dev", self.bridge)
        return f"{LOCAL}.{number}"

    def cut(self, pairs):
        """What the first of each pair sends does not arrive at the second, which has an Endpoint."""
        by_receiver = {}
        for sender, receiver in pairs:
            by_receiver.setdefault(receiver, []).append(sender)
        for receiver, senders in by_receiver.items():
            text = f"add element inet attack cut {{ {', '.join(senders)} }}\n"
            run(*self.endpoints[receiver].prefix, "nft", "-f", "-", text=text)

    def heal(self):
        for endpoint in self.endpoints.values():
            run(*endpoint.prefix, "nft", "flush", "set", "inet", "attack", "cut")
