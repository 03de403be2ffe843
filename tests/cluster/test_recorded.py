# SPDX-License-Identifier: GPL-2.0-or-later
"""The data directory of a server of an earlier version: today's program opens it, and answers the same.

tests/recorded/NAME.tar.xz is the directory, tests/recorded/NAME.json what the server of that version answered before it
ended. NAME-log has all of it in the log, NAME-snapshot a snapshot and a log behind it. `./dev record NAME` makes them, once
for each version; they are never made again (docs/PROTOCOL.md, "Versions").
"""

import glob
import json
import os
import shutil
import struct
import sys
import tarfile
import uuid

from harness import GIB, Cluster, ClusterTest, Connection, RpcError, SimAgent, main, wait_until

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recorded")
# The addresses are part of the store. Nothing else in the tests has them: the harness chooses its third number from 0 on.
NETWORK = "127.255.255"
# What to record it with.
KINDS = {"log": [], "snapshot": ["--snapshot-threshold=64", "--snapshot-trailing=16"]}
PIECE = 1 << 16
STATE_FORMAT_AT = 8  # of the format version in DIR/state/state


def text_of(value):
    """As JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: text_of(item) for key, item in value.items()}
    return [text_of(item) for item in value] if isinstance(value, list) else value


def said(now, then, path=""):
    """What was said and is not any more; fields that came since do not matter."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [line for key in then for line in said(now.get(key), then[key], f"{path}.{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(now) == len(then):
        return [line for at, item in enumerate(then) for line in said(now[at], item, f"{path}[{at}]")]
    return [] if now == then else [f"{path}: was {then!r}, is {now!r}"]


def answers(server):
    """What the state says; agents have no part in it."""
    with server.connect() as connection:
        status = connection.call("cluster.status")
        found = {
            "status": {key: status[key] for key in ("id", "name", "nodes", "disks", "volumes", "bytes_total", "bytes_free")},
            "revision": status["revision"],
            "nodes": [item["node"] for item in connection.call("node.list")["nodes"]],
            "disks": connection.call("disk.list")["disks"],
            "volumes": connection.call("volume.list")["volumes"],
            "hosts": connection.call("host.list")["hosts"],
            "snapshots": connection.call("snapshot.list", {"name": "thin"})["snapshots"],
            "jobs": connection.call("job.list")["jobs"],
            "events": connection.call("event.list")["events"],
            "findings": connection.call("cluster.check").get("total", 0),
            "digest": server.info(digest=True)["digest"],
        }
    return text_of(found)


def extract(archive, member, path):
    """Without the zeros, of which the store is full."""
    if member.isdir():
        os.makedirs(path, 0o700, exist_ok=True)
        return
    with archive.extractfile(member) as source, open(path, "wb") as target:
        while piece := source.read(PIECE):
            if any(piece):
                target.write(piece)
            else:
                target.seek(len(piece), os.SEEK_CUR)
        target.truncate(member.size)


class Recorded(ClusterTest):
    def unpacked(self, name):
        """A server that is not started, on the directory."""
        cluster = Cluster(1, [], NETWORK)
        self.addCleanup(cluster.remove)
        self.addCleanup(self.end, cluster)
        server = cluster.servers[0]
        with tarfile.open(os.path.join(FOLDER, f"{name}.tar.xz")) as archive:
            for member in archive:
                extract(archive, member, os.path.join(server.directory, os.path.relpath(member.name, "server")))
        with open(os.path.join(FOLDER, f"{name}.json")) as file:
            return cluster, server, json.load(file)

    def names(self):
        names = [os.path.basename(path)[: -len(".tar.xz")] for path in glob.glob(os.path.join(FOLDER, "*.tar.xz"))]
        self.assertGreaterEqual(len(names), 2)
        return sorted(names)

    def same(self, cluster, server, then, name, what):
        server.start()
        cluster.leader()
        now = answers(server)
        lines = said(now, then["answers"])
        if lines:
            self.fail(
                f"{what} of {name}: what a server of that version answered is answered otherwise.\n"
                + "\n".join(lines[:20])
                + "\nIn a group of both versions that are two states: docs/PROTOCOL.md, \"Versions\"."
            )

    def test_store(self):
        """It is opened as it is, and goes on."""
        for name in self.names():
            cluster, server, then = self.unpacked(name)
            self.same(cluster, server, then, name, "the store")
            # What an earlier attempt was told is told again; what is new is done.
            request_id = bytes.fromhex(then["repeated"]["request_id"])
            again = server.call("volume.create", dict(then["repeated"], request_id=request_id))
            self.assertEqual(again["id"], then["repeated_id"])
            server.call("volume.delete", {"name": "three"})
            self.refused("NOT_FOUND", lambda: server.call("volume.get", {"name": "nowhere"}))
            self.assertEqual(server.stop(), 0)

    def test_log(self):
        """The same state comes of its log and snapshot."""
        for name in self.names():
            cluster, server, then = self.unpacked(name)
            snapshots = glob.glob(os.path.join(server.directory, "raft", "snapshot-*"))
            self.assertEqual(bool(snapshots), name.endswith("-snapshot"))
            shutil.rmtree(os.path.join(server.directory, "state"))
            self.same(cluster, server, then, name, "log and snapshot")
            self.assertEqual(server.stop(), 0)

    def test_newer_format(self):
        """A store of a format that is yet to come is left as it is."""
        cluster, server, _ = self.unpacked(self.names()[-1])
        path = os.path.join(server.directory, "state", "state")
        with open(path, "r+b") as file:
            data = bytearray(file.read())
            (version,) = struct.unpack_from("<I", data, STATE_FORMAT_AT)
            struct.pack_into("<I", data, STATE_FORMAT_AT, version + 1)
            file.seek(0)
            file.write(data)
        server.launch()
        self.assertEqual(server.process.wait(20), 1)
        server.process = None
        self.assertIn(f"has format version {version + 1}, this program knows version {version}", server.log())
        self.assertIn("start the version of dnvme that wrote it", server.log())
        with open(path, "rb") as file:
            self.assertEqual(file.read(), bytes(data))


# --- recording ---------------------------------------------------------------------------------------------------------


def online(cluster, *names):
    for name in names:
        wait_until(
            f"{name} is online",
            lambda name=name: cluster.call("volume.get", {"name": name})["volume"]["phase"] == "online",
            60,
        )


def job_over(cluster, job):
    wait_until(
        f"{job} is done", lambda: cluster.call("job.wait", {"id": job, "wait_ms": 1000})["operation"]["state"] == "done", 60
    )


def phases(cluster):
    """Of all slots; and of what is left of a holder that was moved away from."""
    for volume in cluster.call("volume.list")["volumes"]:
        yield from (slot["phase"] for slot in volume["slots"])
        yield from ("retired" for controller in volume["controllers"] if controller["role"] == "retired")


def fill(cluster):
    """A bit of everything; returns the request that is repeated, and its answer."""
    for number in range(1, 5):
        SimAgent(cluster, f"node{number}", disks=2, options=[f"--label=rack=r{number % 2}"])
    for number in range(1, 5):
        node = f"node{number}"
        wait_until("it is online", lambda node=node: cluster.call("node.get", {"name": node})["health"] == "online")
        for disk in (0, 1):
            cluster.call("disk.add", {"node": node, "path": f"/dev/sim{disk}"})
    repeated = {"name": "plain", "size_bytes": GIB, "request_id": uuid.UUID(int=7).bytes}
    answer = cluster.call("volume.create", repeated)
    # One controller each: then a server that hears of no agent for long leaves the state as it is.
    cluster.call("volume.create", {"name": "thin", "size_bytes": 2 * GIB, "legs": 2, "provision": "thin"})
    cluster.call("volume.create", {"name": "three", "size_bytes": GIB, "copies": 3, "legs": 2})
    cluster.call("volume.create", {"name": "gone", "size_bytes": GIB})
    online(cluster, "plain", "thin", "three", "gone")
    cluster.call("volume.attach", {"volume": "plain", "host_nqn": "nqn.2014-08.org.example:host1"})
    cluster.call("volume.attach", {"volume": "thin", "host_nqn": "nqn.2014-08.org.example:host2"})
    job_over(cluster, cluster.call("snapshot.create", {"volume": "thin", "name": "before"})["id"])
    job_over(cluster, cluster.call("volume.extend", {"name": "plain", "size_bytes": 2 * GIB})["id"])
    cluster.call("volume.delete", {"name": "gone"})
    wait_until("it is gone", lambda: cluster.call("cluster.status")["volumes"] == 3, 60)
    cluster.call("node.drain", {"name": "node3"})
    wait_until("it moved", lambda: cluster.call("volume.get", {"name": "three"})["volume"]["slots"][0]["holder"] != "node3", 60)
    wait_until("nothing moves", lambda: set(phases(cluster)) == {"serving"}, 60)
    cluster.call("node.uncordon", {"name": "node3"})
    cluster.call("cluster.set", {"settings": {"rebuild_after_ms": 3600000}})
    try:  # a refusal that is remembered
        cluster.call("volume.create", dict(repeated, name="plain", again=True, request_id=uuid.UUID(int=8).bytes))
    except RpcError as error:
        assert error.code == "ALREADY_EXISTS", error
    return repeated, answer["id"]


def record(name, options):
    if os.path.exists(os.path.join(FOLDER, f"{name}.json")):
        sys.exit(f"{name} is recorded already; what no released version wrote may be removed first")
    cluster = Cluster(1, options, NETWORK)
    server = cluster.servers[0]
    try:
        cluster.start()
        cluster.init("recorded")
        repeated, repeated_id = fill(cluster)
        for agent in cluster.agents:
            agent.stop()
        then = {"answers": answers(server), "repeated": text_of(repeated), "repeated_id": repeated_id}
        assert server.stop() == 0
        with open(os.path.join(FOLDER, f"{name}.json"), "w") as file:
            json.dump(then, file, indent=1, sort_keys=True)
            file.write("\n")
        with tarfile.open(os.path.join(FOLDER, f"{name}.tar.xz"), "w:xz", preset=9) as archive:
            archive.add(server.directory, "server")
    finally:
        cluster.stop()
        cluster.remove()


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--record":
        for kind, options in KINDS.items():
            record(f"{sys.argv[2]}-{kind}", options)
    else:
        main()
