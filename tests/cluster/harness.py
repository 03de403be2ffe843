# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs real dnvmed processes on loopback addresses of their own, and talks MessagePack-RPC to them.

A test names a scenario and looks at what is there afterwards. Nothing waits for a fixed time: wait_until() polls and
fails loudly when its deadline passes.
"""

import errno
import itertools
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

import msgpack_small

BIN = os.environ.get("DNVME_BIN", "")
# Sanitized and loaded machines are slower; one factor stretches every deadline.
SLOW = float(os.environ.get("DNVME_TEST_SLOW", "1"))
# Every program that a test starts writes the report of a sanitizer here, even one that nobody looks at or that is killed.
REPORTS = tempfile.mkdtemp(prefix="dnvme-reports-")
for sanitizer in ("ASAN", "UBSAN", "TSAN"):
    os.environ[f"{sanitizer}_OPTIONS"] = f"log_path={REPORTS}/report:{os.environ.get(f'{sanitizer}_OPTIONS', '')}"
API_PORT = 7400
RAFT_PORT = 7401
GIB = 1 << 30


def wait_until(what, condition, timeout_s=20.0):
    """The first true value of condition(); an RpcError or OSError in it counts as not yet."""
    deadline = time.monotonic() + timeout_s * SLOW
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (RpcError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s * SLOW:.0f} s in vain: {what}; last: {last!r}")
        time.sleep(0.02)


def sanitizer_reports():
    """What sanitizers wrote since the last call."""
    reports = []
    for name in sorted(os.listdir(REPORTS)):
        path = os.path.join(REPORTS, name)
        with open(path, errors="replace") as file:
            reports.append(file.read())
        os.unlink(path)
    return "\n".join(reports)


class RpcError(Exception):
    def __init__(self, failure):
        self.code = failure.get("code")
        self.message = failure.get("message", "")
        self.hint = failure.get("hint", "")
        self.details = failure.get("details", "")
        super().__init__(f"{self.code}: {self.message} ({self.hint}) {self.details!r}")


def volume_extents(volume):
    """(disk, set of extents) of each LD of a volume that was not freed yet."""
    for leg in volume["legs"]:
        for group in leg["groups"]:
            for ld in group["members"]:
                if ld["state"] == "freed":
                    continue
                extents = set()
                for run in ld.get("ranges", []):
                    extents.update(range(run["start"], run["start"] + run["length"]))
                yield ld["disk"], extents


class Connection:
    """One MessagePack-RPC connection; not for several threads at once."""

    def __init__(self, address, timeout_s=5.0, source=None):
        """`source`: the address of this machine to come from."""
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout_s * SLOW)
            self.socket.connect(address)
        else:
            host, port = address.rsplit(":", 1)
            origin = (source, 0) if source else None
            self.socket = socket.create_connection((host, int(port)), timeout_s * SLOW, origin)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.msgids = itertools.count(1)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, params=None):
        msgid = next(self.msgids)
        self.send(msgpack_small.pack([0, msgid, method, [params or {}]]))
        return msgid

    def notify(self, method, params=None):
        self.send(msgpack_small.pack([2, method, [params or {}]]))

    def receive(self, timeout_s=40.0):
        """The next message; ConnectionError when the other side ended."""
        deadline = time.monotonic() + timeout_s * SLOW
        while True:
            if self.received:
                try:
                    message, used = msgpack_small.unpack_from(self.received)
                    self.received = self.received[used:]
                    return message
                except msgpack_small.Incomplete:
                    pass
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise TimeoutError("no message in time")
            data = self.socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the other side ended the connection")
            self.received += data

    def response(self, msgid, timeout_s=40.0):
        while True:
            message = self.receive(timeout_s)
            if message[0] == 1 and message[1] == msgid:
                if message[2] is not None:
                    raise RpcError(message[2])
                return message[3]

    def call(self, method, params=None, timeout_s=40.0):
        return self.response(self.request(method, params), timeout_s)


class Server:
    program = "dnvmed"

    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.host = f"{cluster.network}.{number}"
        self.api = f"{self.host}:{API_PORT}"
        self.raft = f"{self.host}:{RAFT_PORT}"
        self.directory = os.path.join(cluster.directory, f"server{number}")
        self.log_path = os.path.join(cluster.directory, f"server{number}.log")
        self.process = None
        self.disk = None  # a SmallDisk under its data folder

    def record(self):
        return {"id": self.number, "raft_address": self.raft, "api_address": self.api}

    def arguments(self):
        return (self.disk.prefix() if self.disk else []) + [
            os.path.join(BIN, self.program),
            f"--id={self.number}",
            f"--listen={self.api}",
            f"--raft={self.raft}",
            f"--data={self.directory}",
            "--log-level=debug",
        ] + self.cluster.options

    def start(self):
        self.launch()
        self.ready()

    def launch(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.arguments(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self):
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"server {self.number} ended with {self.process.returncode}\n{self.log()}")
            return self.info()

        wait_until(f"server {self.number} answers", answers)

    def kill(self):
        """As a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, timeout_s=15.0):
        """As an operator would; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout_s * SLOW)
        self.process = None
        return status

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stack(self):
        """Where its threads are, if there is a debugger."""
        words = ["gdb", "-batch", "-ex", "thread apply all bt", "-p", str(self.process.pid)]
        try:
            return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"no stack: {error}"

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def connect(self):
        return Connection(self.api)

    def call(self, method, params=None, timeout_s=40.0):
        with self.connect() as connection:
            return connection.call(method, params, timeout_s)

    def info(self, digest=False):
        with Connection(self.api, 1.0) as connection:
            return connection.call("server.info", {"digest": digest}, 5.0)


class SmallDisk:
    """A filesystem of its own for the data folder of a server: a tmpfs in a mount namespace that only the server sees."""

    def __init__(self, server, mib):
        os.makedirs(server.directory)
        mount = 'mount -t tmpfs -o size="$1"m,mode=700 small "$2" && echo there && exec sleep infinity'
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mount, "sh", str(mib), server.directory],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self.holder.stdout.readline() != "there\n":
            raise AssertionError("cannot mount a tmpfs in a namespace")
        self.path = f"/proc/{self.holder.pid}/root{server.directory}"
        server.disk = self

    def prefix(self):
        return ["nsenter", f"--target={self.holder.pid}", "--mount"]

    def fill(self):
        """Not a byte is left."""
        with open(os.path.join(self.path, "filler"), "ab", buffering=0) as filler:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self):
        os.unlink(os.path.join(self.path, "filler"))

    def remove(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


class Cluster:
    """A group of servers in a directory and a /24 of 127.0.0.0/8 of their own."""

    make_server = Server

    def __init__(self, count=3, options=(), network=None):
        self.directory = tempfile.mkdtemp(prefix="dnvme-cluster-")
        self.network = network or f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"
        self.options = list(options)
        self.servers = [self.make_server(self, number) for number in range(1, count + 1)]
        self.agents = []

    def start(self):
        for server in self.servers:
            server.start()
        return self

    def init(self, name="test", server=0):
        servers = [server.record() for server in self.servers]
        reply = self.servers[server].call("cluster.init", {"name": name, "servers": servers})
        self.leader()
        return reply

    def leader(self, servers=None):
        """The server that leads and answers as such."""

        def find():
            for server in servers or self.alive():
                info = server.info()
                if info["role"] == "leader":
                    with server.connect() as connection:
                        connection.call("node.list", {"limit": 1})
                    return server
            return None

        return wait_until("a leader", find)

    def followers(self):
        leader = self.leader()
        return [server for server in self.alive() if server is not leader]

    def alive(self):
        return [server for server in self.servers if server.process is not None]

    def call(self, method, params=None, timeout_s=40.0):
        return self.leader().call(method, params, timeout_s)

    def retry(self, method, params, timeout_s=60.0):
        """Repeat until some server answers with an outcome, as a client with a request id does."""
        deadline = time.monotonic() + timeout_s * SLOW
        for server in itertools.cycle(self.servers):
            try:
                return server.call(method, params)
            except RpcError as error:
                if error.code not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    raise
                last = error
            except OSError as error:
                last = error
            if time.monotonic() > deadline:
                raise AssertionError(f"{method} found no server that answers: {last!r}")
            time.sleep(0.02)

    def check_replicas(self):
        """Every living server comes to the same digest; it covers the state, not the Raft index."""

        def same():
            infos = [server.info(digest=True) for server in self.alive()]
            seen[:] = [(info["id"], info.get("applied_index", 0), info["digest"]) for info in infos]
            return len({info["digest"] for info in infos}) == 1 and infos[0]["digest"]

        seen = []
        try:
            return wait_until("all servers have the same digest", same)
        except AssertionError:
            raise AssertionError(f"replicas differ: {seen}") from None

    def state(self):
        """The replicated state as the API shows it; the digest also covers the Raft index."""
        leader = self.leader()
        with leader.connect() as connection:
            status = connection.call("cluster.status")
            return {
                "revision": status["revision"],
                "free": status.get("bytes_free"),
                "nodes": [item["node"] for item in connection.call("node.list").get("nodes", [])],
                "disks": connection.call("disk.list").get("disks", []),
                "volumes": connection.call("volume.list").get("volumes", []),
                "hosts": connection.call("host.list").get("hosts", []),
            }

    def check_extents(self):
        """What the disks say is free and what the volumes say they own add up to what there is."""
        owned = {}
        volumes = self.call("volume.list").get("volumes", [])
        for volume in volumes:
            for disk, extents in volume_extents(volume):
                taken = owned.setdefault(disk, set())
                if taken & extents:
                    raise AssertionError(f"an extent of {disk} is owned twice")
                taken |= extents
        for disk in self.call("disk.list").get("disks", []):
            used = len(owned.pop(disk["id"], ()))
            if disk.get("extents_free", 0) + used != disk["extents_total"]:
                there = {volume["id"]: volume["phase"] for volume in volumes}
                counts = f"{disk.get('extents_free', 0)} free, {used} used of {disk['extents_total']}"
                raise AssertionError(f"{disk['id']}: {counts}; volumes: {there}")
        if owned:
            raise AssertionError(f"extents of disks that do not exist: {sorted(owned)}")

    def agent(self, name, **options):
        agent = FakeAgent(self, name, **options)
        self.agents.append(agent)
        return agent

    def stop(self):
        """Stop everything as an operator would, all at once; returns what did not end as it should."""
        for agent in self.agents:
            agent.stop()
        for server in self.alive():
            server.resume()
            server.process.send_signal(signal.SIGTERM)
        wrong = []
        for server in self.alive():
            try:
                status = server.process.wait(15 * SLOW)
            except subprocess.TimeoutExpired:
                status = f"no end\n{server.stack()}"
            if status != 0:
                wrong.append(f"server {server.number}: {status}")
            server.kill()
        return wrong

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class SimAgent:
    """The real dnvme-agent over a kernel that is only in its memory; the kernel outlives the agent in a file."""

    address = "127.0.0.1"

    def __init__(self, cluster, name, disks=1, disk_bytes=64 * GIB, options=()):
        self.cluster = cluster
        self.options = list(options)
        self.name_ = name
        self.failure = None
        self.log_path = os.path.join(cluster.directory, f"{name}.log")
        self.state_path = os.path.join(cluster.directory, f"{name}.sim")
        self.paths = [f"/dev/sim{number}" for number in range(disks)]
        self.disk_bytes = disk_bytes
        self.used_by = {}  # path: what somebody else has on it; as of the next start
        self.process = None
        cluster.agents.append(self)
        self.start()

    def disk_arguments(self):
        used = {path: f":{text}" for path, text in self.used_by.items()}
        return [f"--sim-disk={path}={self.disk_bytes}{used.get(path, '')}" for path in self.paths]

    def prefix(self):
        """Words of the command line before the agent's own."""
        return []

    def start(self):
        arguments = self.prefix() + [
            os.path.join(BIN, "dnvme-agent"),
            f"--node={self.name_}",
            f"--address={self.address}",
            "--backend=sim",
            f"--sim-state={self.state_path}",
            "--server=" + ",".join(server.api for server in self.cluster.servers),
            "--log-level=debug",
        ] + self.disk_arguments() + self.options
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is None:
            return
        self.resume()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(15 * SLOW)
        except subprocess.TimeoutExpired:
            status = "no end"
        if status != 0:
            self.failure = f"{self.name_}: {status}\n{self.log()[-4000:]}"
        self.process.kill()
        self.process.wait()
        self.process = None

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def observe(self):
        """What is in its kernel, as the agent prints it."""
        return subprocess.run(
            [os.path.join(BIN, "dnvme-agent"), "observe", "--json", "--backend=sim", f"--sim-state={self.state_path}"]
            + self.disk_arguments(),
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout


class FakeAgent(threading.Thread):
    """Says what an agent says and makes nothing: each object is reported as done at once.

    It follows the leader, heartbeats, and remembers every desired state that it was sent.
    """

    def __init__(self, cluster, name, disks=1, disk_bytes=64 * GIB, hold=(), boot_id=None, storage_only=False):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.name_ = name
        self.hello = {
            "node": name,
            "address": "127.0.0.1",
            "port": 4420,
            "boot_id": boot_id or str(uuid.uuid4()),
            "storage_only": storage_only,
            "version": "fake",
            "protocol": 1,
            "inventory": [
                {"path": f"/dev/fake{number}", "size_bytes": disk_bytes, "serial": f"{name}-{number}"}
                for number in range(disks)
            ]
            + [{"path": "/dev/used", "size_bytes": disk_bytes, "in_use": True}],
        }
        self.hold = set(hold)  # ids that stay pending
        self.hold_if = lambda kind, item: False  # objects that do: kind and the desired object, None if it is removed
        self.rebuilds = False  # whether what is to be rebuilt is, at once
        self.lost = {}  # LDs whose path is lost, and for how many milliseconds
        self.volumes = {}  # desired volumes by id
        self.objects = {}
        self.lock = threading.RLock()
        self.ending = threading.Event()
        self.silent = threading.Event()
        self.sessions = 0
        self.connected = threading.Event()
        self.parts = []
        self.failure = None
        self.connection = None
        self.start()

    def stop(self):
        self.ending.set()
        self.join(10)

    def release(self, *ids):
        """Let ids that were held become done."""
        with self.lock:
            self.hold -= set(ids)
            self.report_all()

    def report_all(self):
        """Say everything again, as the test wants it by now."""
        with self.lock:
            self.report(self.connection, list(self.objects.values()))
            self.report_health(self.connection, self.volumes.values())

    def run(self):
        servers = itertools.cycle(self.cluster.servers)
        target = next(servers).api
        while not self.ending.is_set():
            try:
                with Connection(target, 1.0) as connection:
                    welcome = connection.call("agent.hello", self.hello, 5.0)
                    self.serve(connection, welcome)
            except RpcError as error:
                lines = dict(line.split("=", 1) for line in error.details.split("\n") if "=" in line)
                target = lines.get("leader") or next(servers).api
            except OSError:
                target = next(servers).api
            except Exception as error:  # shown by the test
                self.failure = error
                raise
            self.connected.clear()
            self.ending.wait(0.05)

    def serve(self, connection, welcome):
        self.sessions += 1
        self.connection = connection
        period = welcome["heartbeat_ms"] / 1000
        sequence = 0
        due = heard = time.monotonic()
        while not self.ending.is_set():
            now = time.monotonic()
            if self.silent.is_set():
                heard = now  # who asks nothing can expect no answer
            if now - heard > welcome["lease_ms"] / 1000 * SLOW:
                raise OSError("the leader is silent")
            if now >= due and not self.silent.is_set():
                sequence += 1
                connection.request("agent.heartbeat", {"sequence": sequence, "sent_ms": int(now * 1000)})
                due = now + period
            try:
                message = connection.receive(0.05 / SLOW)
            except TimeoutError:
                continue
            heard = time.monotonic()
            if message[0] == 1 and message[2] is not None:
                raise RpcError(message[2])
            if message[0] == 2 and message[1] == "agent.desired":
                self.desired(connection, message[2][0])

    def desired(self, connection, part):
        with self.lock:
            self.parts.append(part)
            if part.get("reset"):
                self.objects = {}
                self.volumes = {}
            changed = []
            for kind, key in (("disk", "disks"), ("export", "exports"), ("volume", "volumes")):
                for item in part.get(key, []):
                    changed.append((kind, item["id"], item["revision"], "converged"))
                    self.hold_check(kind, item["id"], item)
            for item in part.get("volumes", []):
                self.volumes[item["id"]] = item
                for consumer in item.get("consumers", []):
                    changed.append(("consumer", consumer["id"], item["revision"], "converged"))
            for item in part.get("removed", []):
                changed.append((item["kind"], item["id"], item["revision"], "absent"))
                self.hold_check(item["kind"], item["id"], None)
                self.volumes.pop(item["id"], None)
            for item in changed:
                self.objects[item[0], item[1]] = item
            if part.get("complete"):
                self.report_health(connection, part.get("volumes", []))
                self.report(connection, list(self.objects.values()) if part.get("reset") else changed)
                self.connected.set()

    def hold_check(self, kind, id, item):
        if self.hold_if(kind, item):
            self.hold.add(id)

    def report_health(self, connection, volumes):
        """What stands below the controllers, as far as the groups are its own."""
        reports = []
        for volume in volumes:
            members = []
            for leg in volume.get("legs", []):
                for group in leg.get("groups", []):
                    for member in group["members"]:
                        members.append(self.member(leg, member))
            remote = {leg.get("slot", 0) for leg in volume.get("legs", []) if not leg.get("local")}
            peers = [{"slot": slot} for slot in sorted(remote)] if volume.get("top_wanted") else []
            reports.append(
                {"volume": volume["id"], "members": members, "peers": peers, "revision": volume["revision"]}
            )
        if reports:
            connection.notify("agent.report", {"volumes": reports})

    def member(self, leg, member):
        health = {"in-sync": "in-sync", "stale": "absent", "rebuilding": "rebuilding"}[member["state"]]
        if health == "rebuilding" and self.rebuilds:
            health = "in-sync"
        status = {"ld": member["ld"], "epoch": leg["epoch"], "health": health}
        if member["state"] == "stale":
            status.update(dropped=True)
        if health == "rebuilding":
            status.update(done_bytes=GIB // 4, total_bytes=GIB)
        if member["ld"] in self.lost:
            status.update(path_lost=True, path_lost_ms=self.lost[member["ld"]])
        return status

    def report(self, connection, items):
        objects = []
        for kind, id, revision, state in items:
            status = {"kind": kind, "id": id, "revision": revision, "state": state}
            if id in self.hold:
                status.update(state="pending", message="held by the test")
            objects.append(status)
        if objects:
            connection.notify("agent.report", {"objects": objects})


class Numberless(Server):
    """Not part of the group yet: it is told its number when it joins."""

    def arguments(self):
        return [word for word in super().arguments() if not word.startswith("--id=")]


class ClusterTest(unittest.TestCase):
    """Shows the servers' logs when a test fails."""

    def ran(self, arguments, status):
        """What a program says; status None: whatever comes of it."""
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=120 * SLOW, stdin=subprocess.DEVNULL, check=False
        )
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def dnvme(self, servers, *words, status=0):
        """The command line, as an operator of these servers uses it."""
        return self.ran([os.path.join(BIN, "dnvme"), "-s", ",".join(server.api for server in servers), *words], status)

    def released(self, server, volume):
        """Whether it could be."""
        return f"volume {volume} is released" in self.dnvme([server], "volume", "release", volume, "--yes", status=None)

    def newcomer(self, cluster, number, name):
        server = Numberless(cluster, number)
        cluster.servers.append(server)
        server.start()
        params = {"name": name, "raft_address": server.raft, "api_address": server.api, "request_id": uuid.uuid4().bytes}
        cluster.call("cluster.add_server", params)
        return server

    def make(self, count=3, options=(), init=True, small_disks=None):
        """`small_disks`: the size in MiB of the disk of a server, by its number."""
        cluster = Cluster(count, options)
        self.addCleanup(cluster.remove)
        for number, mib in (small_disks or {}).items():
            self.addCleanup(SmallDisk(cluster.servers[number - 1], mib).remove)
        self.addCleanup(self.end, cluster)
        cluster.start()
        if init:
            cluster.init()
        return cluster

    def end(self, cluster):
        wrong = [f"server {s.number} ended by itself" for s in cluster.alive() if s.process.poll() is not None]
        wrong += cluster.stop()
        failed = any(problem for _, problem in getattr(self._outcome, "errors", []) if problem)
        result = getattr(self._outcome, "result", None)
        if result is not None:
            failed = failed or any(test is self for test, _ in result.errors + result.failures)
        failed = failed or sys.exc_info()[0] is not None
        for server in cluster.servers:
            if (failed or wrong) and os.path.exists(server.log_path):
                print(f"--- log of server {server.number}, last lines ---")
                print("\n".join(server.log().split("\n")[-60:]))
        reports = sanitizer_reports()
        if reports:
            self.fail(f"a sanitizer reported:\n{reports}")
        self.assertFalse(wrong)
        for agent in cluster.agents:
            self.assertIsNone(agent.failure)

    def rack(self, cluster, nodes=3, **options):
        """Agents with one disk each, added to the cluster."""
        agents = [cluster.agent(f"node{number}", **options) for number in range(1, nodes + 1)]
        for agent in agents:
            wait_until(f"{agent.name_} is connected", agent.connected.is_set)
            wait_until(
                f"{agent.name_} is online",
                lambda agent=agent: cluster.call("node.get", {"name": agent.name_})["health"] == "online",
            )
            for disk in agent.hello["inventory"]:
                if not disk.get("in_use"):
                    cluster.call("disk.add", {"node": agent.name_, "path": disk["path"]})
        return agents

    def refused(self, code, call, *words):
        """The error of a call that must be refused; its sentence, hint or details hold all the words."""
        with self.assertRaises(RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual(error.code, code, str(error))
        for word in words:
            self.assertIn(word, f"{error.message}\n{error.hint}\n{error.details}")
        return error

    def online(self, cluster, name):
        return wait_until(
            f"volume {name} is online",
            lambda: cluster.call("volume.get", {"name": name})["volume"]["phase"] == "online",
        )


def main():
    program = unittest.main(verbosity=2, exit=False)
    reports = sanitizer_reports()  # of programs that ran outside a ClusterTest
    os.rmdir(REPORTS)
    if reports:
        print(reports, file=sys.stderr)
    sys.exit(bool(reports) or not program.result.wasSuccessful())
