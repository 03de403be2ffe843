# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers whose state was made with volumes, and bench_nodes, which speaks for the nodes that these lie on."""

import json
import os
import queue
import subprocess
import threading
import time

import harness
import restart
import targets

WAIT_S = 180.0
QUIET_S, QUIET_PERCENT = 0.5, 5.0


class Speakers:
    """A process of bench_nodes."""

    def __init__(self, nodes, servers):
        words = [os.path.join(harness.BIN, "bench_nodes"), str(nodes)] + [server.api for server in servers]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put({"event": "ended"})

    def event(self, name, behind=0.0, check=lambda event: True):
        """The next one of this name, later than `behind`."""
        deadline = time.monotonic() + WAIT_S * harness.SLOW
        while True:
            try:
                event = self.events.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                raise targets.LoadFailed(f"bench_nodes: no {name} in time") from None
            if event["event"] == "ended":
                raise targets.LoadFailed(f"bench_nodes ended with {self.process.wait()}")
            if event["event"] == name and event["at"] > behind and check(event):
                return event

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def beats(self):
        """Of the heartbeats since the last call: how many, and how long they took to be answered."""
        self.say("beats")
        return self.event("beats")

    def cpu_seconds(self):
        return restart.cpu_seconds(self)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


def all_online(server, nodes):
    """Whether each node is online, says this server."""
    after, online = None, 0
    with server.connect() as connection:
        while True:
            page = connection.call("node.list", {"after": after} if after else {})
            online += sum(node["health"] == "online" for node in page["nodes"])
            if not page.get("more"):
                return online == nodes
            after = page["nodes"][-1]["node"]["name"]


class Rack:
    """Servers with `volumes` volumes on `nodes` nodes, `on_first` of them served by node1; and the nodes."""

    def __init__(self, count, volumes, nodes, on_first=0, options=()):
        self.cluster = restart.Cluster(count, options)
        self.speakers = None
        self.volumes, self.nodes, self.on_first = volumes, nodes, on_first

    def start(self):
        first = self.cluster.servers[0]
        words = [os.path.join(harness.BIN, "bench_volumes"), first.directory, first.raft, first.api]
        words += [str(number) for number in (self.volumes, self.nodes, self.on_first)]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        first.start()
        restart.grow(self.cluster)
        self.speakers = Speakers(self.nodes, self.cluster.servers)
        self.speakers.event("there")
        self.settle()

    def settle(self):
        """Until the leader has looked at everything."""

        def quiet():
            leader = self.cluster.leader()
            before = restart.cpu_seconds(leader)
            began = time.monotonic()
            time.sleep(QUIET_S)  # what is measured, not a wait
            return restart.cpu_seconds(leader) - before < QUIET_PERCENT / 100 * (time.monotonic() - began) + 0.02

        harness.wait_until("all nodes are online", lambda: all_online(self.cluster.leader(), self.nodes), WAIT_S)
        if self.volumes > 0:
            harness.wait_until("the leader is quiet", quiet, WAIT_S)

    def stop(self):
        if self.speakers is not None:
            self.speakers.stop()
        wrong = self.cluster.stop()
        self.cluster.remove()
        if wrong:
            raise targets.LoadFailed(f"dnvmed: {wrong}")

    # What the generator of load asks of a target.
    name, protocol = "dnvme", "create"

    def addresses(self):
        return [self.cluster.leader().api]

    def processes(self):
        return [server.process.pid for server in self.cluster.servers]
