# SPDX-License-Identifier: GPL-2.0-or-later
"""Groups of three servers, as processes on loopback addresses of this machine, that take the same load."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid

import harness

SERVERS = 3
LOAD_PORT = 7400
PEER_PORT = 7401
NAME_BYTES = 63  # LIMIT_NAME
LABEL_COUNT = 3


class LoadFailed(Exception):
    pass


def node_name(number):
    """As load_dnvme.c makes it of a slot."""
    return "b" * (NAME_BYTES - 5) + f"-{number:04}"


class QuietServer(harness.Server):
    """As it is installed: without what tests have it log."""

    def arguments(self):
        return [word for word in super().arguments() if word != "--log-level=debug"]


class QuietCluster(harness.Cluster):
    make_server = QuietServer


def register(cluster, count):
    """Nodes whose record has about 300 bytes, and of which nothing is heard afterwards."""
    labels = [{"key": f"label{number}", "value": "v" * 40} for number in range(LABEL_COUNT)]
    leader = cluster.leader()
    for number in range(count):
        hello = {"node": node_name(number), "address": "127.0.0.1", "port": 4420, "boot_id": str(uuid.uuid4())}
        hello.update(version="bench", protocol=1, labels=labels, storage_only=True)
        with leader.connect() as connection:
            connection.call("agent.hello", hello)


class Dnvme:
    """dnvmed, asked for node.cordon and node.uncordon through its API."""

    name = protocol = "dnvme"

    def __init__(self, outstanding_max):
        self.cluster = QuietCluster(SERVERS)
        self.nodes = outstanding_max

    def start(self):
        self.cluster.start()
        self.cluster.init()
        register(self.cluster, self.nodes)

    def addresses(self):
        return [self.cluster.leader().api]

    def processes(self):
        return [server.process.pid for server in self.cluster.servers]

    def stop(self):
        wrong = self.cluster.stop()
        self.cluster.remove()
        if wrong:
            raise LoadFailed(f"dnvmed: {wrong}")


class Programs:
    """Three processes of something else."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix=f"dnvme-bench-{self.name}-")
        network = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"
        self.hosts = [f"{network}.{number}" for number in range(1, SERVERS + 1)]
        self.running = []

    def launch(self, number, words):
        with open(os.path.join(self.directory, f"log{number}"), "wb") as log:
            self.running.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def log(self, number):
        with open(os.path.join(self.directory, f"log{number}"), errors="replace") as log:
            return log.read()

    def check(self):
        for number, process in enumerate(self.running, 1):
            if process.poll() is not None:
                raise LoadFailed(f"{self.name} {number} ended with {process.returncode}\n{self.log(number)[-2000:]}")

    def processes(self):
        return [process.pid for process in self.running]

    def stop(self):
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Bare(Programs):
    """libraft, libuv, LMDB, and a put for each command (bare.c)."""

    name = protocol = "bare"

    def start(self):
        peers = [f"{host}:{PEER_PORT}" for host in self.hosts]
        for number, host in enumerate(self.hosts, 1):
            folder = os.path.join(self.directory, str(number))
            os.mkdir(folder)
            program = os.path.join(harness.BIN, "bench_bare")
            self.launch(number, [program, str(number), folder, f"{host}:{LOAD_PORT}"] + peers)
        self.addresses()

    def addresses(self):
        def leader():
            self.check()
            for number, host in enumerate(self.hosts, 1):
                if self.log(number).split()[-1:] == ["leader"]:
                    return [f"{host}:{LOAD_PORT}"]
            return None

        return harness.wait_until("bench_bare has a leader", leader)


class Etcd(Programs):
    """etcd as Debian has it, with its defaults, asked for Put over gRPC."""

    name = protocol = "etcd"
    program = shutil.which("etcd")

    def start(self):
        names = [(f"e{number}", host) for number, host in enumerate(self.hosts, 1)]
        group = ",".join(f"{name}=http://{host}:{PEER_PORT}" for name, host in names)
        for number, (name, host) in enumerate(names, 1):
            client, peer = f"http://{host}:{LOAD_PORT}", f"http://{host}:{PEER_PORT}"
            words = [self.program, "--name", name, "--data-dir", os.path.join(self.directory, name)]
            words += ["--listen-client-urls", client, "--advertise-client-urls", client]
            words += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            self.launch(number, words + ["--initial-cluster", group, "--log-level", "warn"])
        self.addresses()

    def ask(self, host):
        """Its JSON gateway: slow, and good enough to ask who leads."""
        body = b"{}"
        with socket.create_connection((host, LOAD_PORT), 1.0) as connection:
            connection.sendall(
                b"POST /v3/maintenance/status HTTP/1.0\r\nContent-Type: application/json\r\n"
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            connection.settimeout(5.0)
            answer = b""
            while piece := connection.recv(1 << 16):
                answer += piece
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])

    def addresses(self):
        def leader():
            self.check()
            for host in self.hosts:
                status = self.ask(host)
                if status.get("leader", "0") != "0" and status["leader"] == status["header"]["member_id"]:
                    return [f"{host}:{LOAD_PORT}"]
            return None

        return harness.wait_until("etcd has a leader", leader)


def load_words(protocol, addresses, **options):
    words = [os.path.join(harness.BIN, "bench_load"), f"--protocol={protocol}"]
    words += [f"--address={address}" for address in addresses]
    return words + [f"--{name}={value}" for name, value in options.items()]


def load_run(target, **options):
    """One run of the generator against the leader; what it printed."""
    done = subprocess.run(load_words(target.protocol, target.addresses(), **options), capture_output=True, text=True)
    if done.returncode != 0:
        raise LoadFailed(f"{target.name}: {done.stderr.strip()}")
    return json.loads(done.stdout)
