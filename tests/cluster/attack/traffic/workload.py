# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients do: a few objects, many at a time, so that they meet. An object serves for some seconds only, so that the
number of operations on it, which the checker has to put in order, stays bounded."""

import random
import threading
import time

MIB = 1 << 20
NAME_EPOCH_S = 2.0
OBJECT_EPOCH_S = 6.0
LEAVING = ("unexporting", "dismantling", "releasing")
SWITCH_METHODS = {"on": "node.cordon", "drain": "node.drain", "off": "node.uncordon"}
NQN = "nqn.2014-08.org.nvmexpress:attack-"
MISSING = ("NOT_FOUND",)


def object_count(seconds):
    """How many switches, and how many volumes for hosts, a run of that length needs."""
    return 1 + int(seconds / OBJECT_EPOCH_S)


class Client(threading.Thread):
    """One client. A process of the history ends with an operation whose outcome nobody knows; the client goes on as
    another one."""

    def __init__(self, number, transport, history, scenario, seed, began, ending):
        super().__init__(daemon=True)
        self.number = number
        self.transport = transport
        self.history = history
        self.scenario = scenario
        self.random = random.Random(seed)
        self.began = began
        self.ending = ending
        self.lives = 0
        self.failure = None
        self.repeatable = []  # (f, key, value, method, params, request id) of mutations that may be sent again

    @property
    def process(self):
        return f"{self.transport.kind}-{self.number}.{self.lives}"

    def run(self):
        names = list(self.scenario["mix"])
        weights = [self.scenario["mix"][name] for name in names]
        pace_s = self.scenario["pace_s"]
        try:
            while not self.ending.is_set():
                getattr(self, self.random.choices(names, weights)[0])()
                self.ending.wait(self.random.uniform(0, 2 * pace_s))
        except Exception as error:  # told by the run
            self.failure = error
        finally:
            self.transport.close()

    # --- the objects ---

    def epoch(self, length_s):
        return int((time.monotonic() - self.began) / length_s)

    def name(self):
        return f"n{self.epoch(NAME_EPOCH_S)}-{self.random.randrange(3)}"

    def object(self):
        return min(self.epoch(OBJECT_EPOCH_S), self.scenario["objects"] - 1)

    # --- calls ---

    def do(self, f, key, value, method, params, take=None, refusals=(), request=None, again=None):
        """One operation of the history. `take` makes its result of the reply; refusals that tell nothing about the
        object, other than those of `refusals`, are recorded, but say nothing to the models."""
        self.history.add(
            self.process, "invoke", f, key=key, value=value, request=request.hex() if request else None, again=again
        )
        type, what = self.transport.call(method, params, request, self.scenario["timeout_s"])
        if type == "ok":
            self.history.add(self.process, "ok", f, key=key, value=value, result=take(what) if take else None)
        else:
            code = what.split(":")[0].split("\t")[0] if type == "fail" else None
            self.history.add(
                self.process, type, f, key=key, value=value, error=what, code=code if code in refusals else None
            )
            if type == "info":
                self.lives += 1
        return type

    def mutate(self, f, key, value, method, params, take, refusals=()):
        """Some without a request id; libdnvme then chooses one."""
        request = self.random.randbytes(16) if self.random.random() < self.scenario["request_ids"] else None
        type = self.do(f, key, value, method, params, take, refusals, request)
        if request is not None and type in ("ok", "info"):
            self.repeatable = self.repeatable[-7:] + [(f, key, value, method, params, take, refusals, request)]

    def again(self):
        """Send a mutation once more, under its request id and by way of another server."""
        if self.repeatable:
            self.transport.move()
            self.do(*self.repeatable[self.random.randrange(len(self.repeatable))], again=True)

    def create(self):
        name = self.name()
        params = {"name": name, "size_bytes": 16 * MIB, "copies": self.random.choice((1, 2)), "provision": "thin"}
        self.mutate("create", f"name:{name}", None, "volume.create", params, created, ("ALREADY_EXISTS",))

    def delete(self):
        name = self.name()
        self.mutate("delete", f"name:{name}", None, "volume.delete", {"name": name}, created, MISSING)

    def get(self):
        name = self.name()
        self.do("read", f"name:{name}", None, "volume.get", {"name": name}, name_read, MISSING)

    def list(self):
        self.do("list", "volumes", None, "volume.list", {}, listed)

    def turn(self):
        node, position = f"r{self.object()}", self.random.choice(list(SWITCH_METHODS))
        method = SWITCH_METHODS[position]
        self.mutate("write", f"switch:{node}", position, method, {"name": node}, lambda reply: reply["revision"])

    def look(self):
        node = f"r{self.object()}"
        self.do("read", f"switch:{node}", None, "node.get", {"name": node}, switch_read)

    def attach(self):
        volume, host = f"h{self.object()}", NQN + str(self.random.randrange(5))
        params = {"volume": volume, "host_nqn": host}
        self.mutate("attach", f"hosts:{volume}", host, "volume.attach", params, lambda reply: reply["revision"])

    def detach(self):
        volume, host = f"h{self.object()}", NQN + str(self.random.randrange(5))
        params = {"volume": volume, "host_nqn": host}
        self.mutate("detach", f"hosts:{volume}", host, "volume.detach", params, lambda reply: reply["revision"])

    def hosts(self):
        volume = f"h{self.object()}"
        self.do("read", f"hosts:{volume}", None, "volume.get", {"name": volume}, hosts_read)

    def status(self):
        self.do("revision", "cluster", None, "cluster.status", {}, lambda reply: reply["revision"])


def created(reply):
    return [reply["id"], reply["revision"]]


def name_read(reply):
    return [reply["volume"]["id"], reply["volume"]["phase"] in LEAVING]


def hosts_read(reply):
    return sorted(reply["volume"].get("hosts", []))


def switch_read(reply):
    node = reply["node"]
    position = "drain" if node.get("draining") else "on" if node.get("cordoned") else "off"
    return [position, node["revision"]]


def listed(reply):
    """Each volume with what of it must be nobody else's."""
    import harness

    return [
        {
            "id": volume["id"],
            "name": volume["name"],
            "uuid": volume["uuid"] if isinstance(volume["uuid"], str) else volume["uuid"].hex(),
            "leaving": volume["phase"] in LEAVING,
            "extents": [[disk, sorted(extents)] for disk, extents in harness.volume_extents(volume)],
        }
        for volume in reply.get("volumes", [])
    ]
