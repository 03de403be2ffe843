# SPDX-License-Identifier: GPL-2.0-or-later
"""Two ways to call a server: raw MessagePack-RPC, and libdnvme. Each call ends as

    ("ok", reply), ("fail", "CODE: sentence"): it had no effect, ("info", why): nobody knows.
"""

import json
import os
import random
import select
import subprocess

import harness

# What a server refuses did not happen. Everything else may have.
REFUSALS = (
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "CONFLICT",
    "FAILED_PRECONDITION",
    "NO_CAPACITY",
    "UNSUPPORTED",
    "TOO_LARGE",
)
# In the details of a refusal: it may have been done nevertheless.
DOUBT = "outcome=unknown"
# How often who follows the leader looks for it anew.
FOLLOW = 0.05


class RawClient:
    """Believes what servers say of outcomes, repeats nothing by itself, and goes to another server after each trouble."""

    kind = "raw"

    def __init__(self, servers, source, seed, follow=False):
        self.servers = servers
        self.follow = follow  # look for the leader, and stay with it for a while
        self.source = source
        self.random = random.Random(seed)
        self.connection = None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def move(self):
        """The next call goes to any server."""
        self.close()

    def connect(self):
        server = self.random.choice(self.servers)
        connection = harness.Connection(server, 0.5, self.source)
        if not self.follow:
            return connection
        with connection:
            leader = connection.call("server.info", {}, 0.5).get("leader", 0)
        return harness.Connection(self.servers[leader - 1] if leader else server, 0.5, self.source)

    def call(self, method, params, request_id, timeout_s):
        if self.follow and self.random.random() < FOLLOW:
            self.move()
        if request_id is not None:
            params = dict(params, request_id=request_id)
        try:
            if self.connection is None:
                self.connection = self.connect()
        except (OSError, harness.RpcError) as error:
            return "fail", f"not connected: {error}"
        try:
            return "ok", self.connection.call(method, params, timeout_s)
        except harness.RpcError as error:
            if "not part of a cluster" in error.message:
                # A member once, or to be one: it knows nothing of what the cluster did.
                self.close()
                return "fail", f"UNAVAILABLE: {error}"
            if error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                self.close()
                if "outcome=none" in error.details:
                    return "fail", str(error)
                return "info", str(error)
            known = error.code in REFUSALS and DOUBT not in error.details
            return ("fail" if known else "info"), str(error)
        except OSError as error:
            self.close()
            return "info", repr(error)


class LibraryClient:
    """A program on libdnvme in a network namespace of its own: traffic/client.c. The library repeats by itself."""

    kind = "libdnvme"

    def __init__(self, servers, prefix, seed):
        servers = list(servers)
        random.Random(seed).shuffle(servers)
        self.command = prefix + [os.path.join(harness.BIN, "attack_client"), ",".join(servers)]
        self.process = None
        self.begin()

    def begin(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def move(self):
        pass

    def call(self, method, params, request_id, timeout_s):
        id = request_id.hex() if request_id is not None else "-"
        timeout_ms = int(timeout_s * harness.SLOW * 1000)
        self.process.stdin.write(f"{timeout_ms} {id} {method} {json.dumps(params)}\n")
        # It promises to end in time; a second of grace, as it may not get the processor at once.
        if not select.select([self.process.stdout], [], [], timeout_s * harness.SLOW + 5)[0]:
            raise AssertionError(f"libdnvme did not end {method} within its deadline of {timeout_ms} ms and 5 s more")
        line = self.process.stdout.readline()
        if line.startswith("ok "):
            return "ok", json.loads(line[3:])
        if not line.startswith("error "):
            raise AssertionError(f"attack_client ended: {line!r}, {self.process.wait()}")
        code = line[6:].split("\t")[0]
        # It may have sent the request more than once: what the last server says of itself is not the whole of it.
        return ("fail" if code in REFUSALS and DOUBT not in line else "info"), line[6:].strip()
