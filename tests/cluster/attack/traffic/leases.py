# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that only ask for leases. Each holds on to one server: it asks that one as long as it gives any, so that a
leader that was deposed is asked as well."""

import threading
import time
import uuid

import harness


class Tenant(threading.Thread):
    def __init__(self, number, server, source, history, ending):
        super().__init__(daemon=True)
        self.number = number
        self.server = server
        self.source = source
        self.history = history
        self.ending = ending
        self.lives = 0
        self.failure = None
        self.hello = {
            "node": f"tenant{number}",
            "address": source,
            "port": 4420,
            "boot_id": str(uuid.uuid4()),
            "storage_only": True,
            "version": "attack",
            "protocol": 1,
        }

    def run(self):
        try:
            while not self.ending.is_set():
                try:
                    with harness.Connection(self.server, 0.5, self.source) as connection:
                        connection.call("agent.hello", self.hello, 1.0)
                        self.serve(connection)
                except (harness.RpcError, OSError):
                    pass
                self.ending.wait(0.05)
        except Exception as error:  # told by the run
            self.failure = error

    def serve(self, connection):
        sequence = 0
        while not self.ending.wait(0.05):
            sequence += 1
            process = f"tenant-{self.number}.{self.lives}"
            self.history.add(process, "invoke", "lease", key="leases", value=sequence)
            try:
                sent_ms = int(time.monotonic() * 1000)
                reply = connection.call("agent.heartbeat", {"sequence": sequence, "sent_ms": sent_ms}, 3.0)
            except (harness.RpcError, OSError) as error:
                self.lives += 1
                self.history.add(process, "info", "lease", key="leases", value=sequence, error=repr(error))
                raise
            self.history.add(process, "ok", "lease", key="leases", value=sequence, result=reply["term"])


def register(server, name):
    """A node of that name that nobody runs: a switch."""
    hello = {
        "node": name,
        "address": "10.88.9.9",
        "port": 4420,
        "boot_id": str(uuid.uuid4()),
        "storage_only": True,
        "version": "attack",
        "protocol": 1,
    }
    with server.connect() as connection:
        connection.call("agent.hello", hello)
        return connection.call("node.get", {"name": name})
