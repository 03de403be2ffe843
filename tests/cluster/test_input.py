# SPDX-License-Identifier: GPL-2.0-or-later
"""What bad input gets from a live server: a precise error or a closed connection with a logged reason; the server goes
on and its state stays what it was."""

import os
import select
import socket
import unittest

from harness import ClusterTest, Connection, GIB, main, wait_until
from msgpack_small import pack

STALL_MS = 1000
REQUEST_ID = bytes(range(16))


class Input(ClusterTest):
    def setUp(self):
        self.cluster = self.make(3, [f"--stall-timeout-ms={STALL_MS}", "--sessions-max=40"])
        self.agents = self.rack(self.cluster)
        self.cluster.call("volume.create", {"name": "there", "size_bytes": GIB})
        self.online(self.cluster, "there")
        self.server = self.cluster.leader()
        self.before = self.cluster.state()

    def unchanged(self):
        """It still answers, with the same state on every replica."""
        self.assertEqual(self.server.call("volume.get", {"name": "there"})["volume"]["name"], "there")
        self.assertEqual(self.cluster.state(), self.before)
        self.cluster.check_replicas()

    def logged(self, *words):
        wait_until(
            f"the log says {words}",
            lambda: any(all(word in line for word in words) for line in self.server.log().split("\n")),
        )

    def ended(self, connection):
        """The server ends the connection; returns what it said before."""
        messages = []
        while True:
            try:
                messages.append(connection.receive(15))
            except ConnectionError:
                return messages

    # --- fields -----------------------------------------------------------------------------------------------

    def test_fields(self):
        with self.server.connect() as connection:
            cases = [
                ("volume.create", {}, "INVALID_ARGUMENT", ["name"]),
                ("volume.create", {"name": "v"}, "INVALID_ARGUMENT", ["size_bytes"]),
                ("volume.create", {"name": "v", "size_bytes": GIB, "sice": 1}, "INVALID_ARGUMENT", ["sice", "copies"]),
                ("volume.create", {"name": "v", "size_bytes": "12XB"}, "INVALID_ARGUMENT", ["size_bytes"]),
                ("volume.create", {"name": "v", "size_bytes": -1}, "INVALID_ARGUMENT", ["size_bytes"]),
                ("volume.create", {"name": "v", "size_bytes": 1.5}, "INVALID_ARGUMENT", ["size_bytes"]),
                ("volume.create", {"name": "v", "size_bytes": 0}, "INVALID_ARGUMENT", ["size_bytes", str(1 << 20)]),
                ("volume.create", {"name": "v", "size_bytes": (1 << 64) - 1}, "INVALID_ARGUMENT", ["size_bytes"]),
                ("volume.create", {"name": "v", "size_bytes": GIB + 1}, "INVALID_ARGUMENT", ["size_bytes", "4096"]),
                ("volume.create", {"name": 7, "size_bytes": GIB}, "INVALID_ARGUMENT", ["name"]),
                ("volume.create", {"name": "", "size_bytes": GIB}, "INVALID_ARGUMENT", ["name"]),
                ("volume.create", {"name": "UPPER", "size_bytes": GIB}, "INVALID_ARGUMENT", ["name"]),
                ("volume.create", {"name": "x" * 64, "size_bytes": GIB}, "INVALID_ARGUMENT", ["name", "63"]),
                ("volume.create", {"name": "v", "size_bytes": GIB, "copies": 5}, "INVALID_ARGUMENT", ["copies", "4"]),
                ("volume.create", {"name": "v", "size_bytes": GIB, "spread": "moon"}, "INVALID_ARGUMENT", ["spread"]),
                (
                    "volume.create",
                    {"name": "v", "size_bytes": GIB, "request_id": b"short"},
                    "INVALID_ARGUMENT",
                    ["request_id", "16"],
                ),
                (
                    "volume.create",
                    {"name": "v", "size_bytes": GIB, "request_id": b"x" * 17},
                    "INVALID_ARGUMENT",
                    ["request_id", "16"],
                ),
                ("volume.create", {"name": "there", "size_bytes": GIB}, "ALREADY_EXISTS", ["there"]),
                ("volume.create", {"name": "v", "size_bytes": 1 << 50}, "NO_CAPACITY", ["node1"]),
                ("volume.create", {"name": "v", "size_bytes": 1 << 62}, None, []),
                ("volume.create", {"name": "v", "size_bytes": GIB, "copies": 4}, "NO_CAPACITY", ["4 copies"]),
                ("volume.create", {"name": "v", "size_bytes": GIB, "spread": "rack", "copies": 4}, "NO_CAPACITY", []),
                ("volume.get", {"name": "nope"}, "NOT_FOUND", ["nope"]),
                ("volume.get", {"name": "v999"}, "NOT_FOUND", ["v999"]),
                ("volume.delete", {"name": "nope"}, "NOT_FOUND", ["nope"]),
                ("volume.attach", {"volume": "nope", "host_nqn": "nqn.2014-08.org.x:h"}, "NOT_FOUND", ["nope"]),
                ("volume.attach", {"volume": "there", "host_nqn": "not an nqn"}, "INVALID_ARGUMENT", ["host_nqn"]),
                ("volume.attach", {"volume": "there", "host_nqn": "n" * 224}, "INVALID_ARGUMENT", ["host_nqn", "223"]),
                ("volume.list", {"limit": 1 << 40}, "INVALID_ARGUMENT", ["limit", "4096"]),
                ("volume.list", {"filter": "sleeping"}, "INVALID_ARGUMENT", ["filter", "sleeping", "online"]),
                ("node.get", {"name": "nope"}, "NOT_FOUND", ["nope"]),
                ("node.cordon", {"name": "nope"}, "NOT_FOUND", ["nope"]),
                ("node.forget", {"name": "node1"}, "FAILED_PRECONDITION", ["node1"]),
                ("disk.add", {"node": "nope", "path": "/dev/x"}, "NOT_FOUND", ["nope"]),
                ("disk.add", {"node": "node1", "path": "/dev/x"}, "NOT_FOUND", ["/dev/x", "/dev/fake0"]),
                ("disk.add", {"node": "node1", "path": "/dev/used"}, "FAILED_PRECONDITION", ["in use"]),
                ("disk.add", {"node": "node1", "path": "/dev/fake0"}, "ALREADY_EXISTS", ["/dev/fake0", "d1"]),
                ("disk.add", {"node": "node1", "path": "/" * 256}, "INVALID_ARGUMENT", ["path", "255"]),
                ("disk.get", {"name": "node1"}, "INVALID_ARGUMENT", ["node1", "d1"]),
                ("disk.get", {"name": "d999"}, "NOT_FOUND", ["d999"]),
                ("disk.list", {"filter": "nope"}, "NOT_FOUND", ["nope"]),
                ("disk.list", {"after": "zz"}, "INVALID_ARGUMENT", ["after", "zz"]),
                ("disk.remove", {"name": "d1"}, "FAILED_PRECONDITION", ["d1"]),
                ("volume.fly", {}, "UNSUPPORTED", ["volume.fly"]),
                ("x" * 300, {}, None, []),
                ("agent.report", {}, "UNSUPPORTED", ["notification"]),
                ("agent.heartbeat", {"sequence": 1, "sent_ms": 1}, "FAILED_PRECONDITION", ["agent.hello"]),
                ("cluster.init", {"name": "test", "servers": [{"id": 1}]}, "INVALID_ARGUMENT", ["servers[0]"]),
                (
                    "cluster.init",
                    {"name": "test", "servers": [dict(self.server.record(), colour="red")]},
                    "INVALID_ARGUMENT",
                    ["servers[0]", "colour"],
                ),
                ("cluster.init", {"name": "test", "servers": [self.server.record()] * 10}, "INVALID_ARGUMENT", ["9"]),
            ]
            for method, params, code, words in cases:
                with self.subTest(method=method, params=str(params)[:80]):
                    if code is None:
                        with self.assertRaises(Exception):
                            connection.call(method, params)
                    else:
                        self.refused(code, lambda: connection.call(method, params), *words)
        self.unchanged()

    def test_through_a_follower(self):
        """The same errors from a server that has to ask another one."""
        follower = self.cluster.followers()[0]
        self.refused(
            "INVALID_ARGUMENT", lambda: follower.call("volume.create", {"name": "v", "size_bytes": 0}), "size_bytes"
        )
        self.refused("NOT_FOUND", lambda: follower.call("volume.delete", {"name": "nope"}), "nope")
        error = self.refused(
            "NO_CAPACITY", lambda: follower.call("volume.create", {"name": "v", "size_bytes": 1 << 50})
        )
        self.assertTrue(error.hint)
        self.unchanged()

    # --- messages ---------------------------------------------------------------------------------------------

    def test_messages(self):
        """Well-formed MessagePack that is no MessagePack-RPC."""
        with self.server.connect() as connection:
            for bad in ([0, 5, "volume.list", 7], [0, 5, "volume.list", [1]], [0, 5, 8, [{}]]):
                with self.subTest(bad=bad):
                    connection.send(pack(bad))
                    message = connection.receive()
                    self.assertEqual(message[:2], [1, 5])
                    self.assertEqual(message[2]["code"], "INVALID_ARGUMENT")
            # Params may be left empty, and the largest msgid is one.
            connection.send(pack([0, 0xFFFFFFFF, "volume.list", []]))
            message = connection.receive()
            self.assertEqual((message[:2], message[2]), ([1, 0xFFFFFFFF], None))
        for bad in (7, {}, [], [0], [9, 1, "x", []], [0, 5, "volume.list"], [0, -1, "volume.list", []], [1, 1, None, None], "GET / HTTP/1.1"):
            with self.subTest(bad=bad), self.server.connect() as connection:
                connection.send(pack(bad))
                self.assertEqual(self.ended(connection), [])
        self.logged("session closed", "reason=")
        self.unchanged()

    def test_garbage(self):
        for bad in (b"\xc1", b"GET / HTTP/1.1\r\n\r\n", bytes(range(255, 0, -1)) * 10, os.urandom(4096)):
            with self.subTest(bad=bad[:16]), self.server.connect() as connection:
                connection.send(bad)
                connection.socket.shutdown(socket.SHUT_WR)
                self.ended(connection)
        with self.server.connect() as connection:
            connection.send(b"\xc1")
            self.ended(connection)
        self.logged("session closed", "0xc1")
        self.unchanged()

    def test_oversize(self):
        with self.server.connect() as connection:
            # A string that says that it is longer than a frame may be: refused before it is sent.
            connection.send(b"\x94\x00\x07\xabvolume.list\x91\x81\xa5after\xdb\x7f\xff\xff\xff")
            messages = self.ended(connection)
            self.assertEqual([m[:2] for m in messages], [[1, 7]])
            self.assertEqual(messages[0][2]["code"], "TOO_LARGE")
            self.assertIn(str(1 << 20), messages[0][2]["message"])
        with self.server.connect() as connection:
            frame = pack([0, 9, "volume.list", [{"after": "x" * (1 << 20)}]])
            try:
                connection.send(frame)
            except OSError:
                pass
            messages = self.ended(connection)
            self.assertEqual(messages[0][2]["code"], "TOO_LARGE")
        with self.server.connect() as connection:
            # Just below the limit it is a frame like any other.
            frame = pack([0, 9, "volume.list", [{"after": "x" * ((1 << 20) - 100)}]])
            connection.send(frame)
            message = connection.receive()
            self.assertEqual(message[2]["code"], "INVALID_ARGUMENT")
            self.assertIn("after", message[2]["message"])
        with self.server.connect() as connection:
            connection.send(b"\x94\x00\x07\xa1x\xdd\xff\xff\xff\xff")
            messages = self.ended(connection)
            self.assertEqual(messages[0][2]["code"], "TOO_LARGE")
        self.unchanged()

    def test_numbers_of_broken_requests(self):
        """Who asked is told, whatever form the number of the request has; nobody is, where it is not there."""
        for head, msgid in ((b"\x07", 7), (b"\xcc\xc8", 200), (b"\xcd\x12\x34", 0x1234), (b"\xce\x89\xab\xcd\xef", 0x89abcdef),
                            (b"\xa1x", None), (b"\xce\x89", None)):
            with self.subTest(head=head), self.server.connect() as connection:
                connection.send(b"\x94\x00" + head + b"\xc1")
                messages = self.ended(connection)
                self.assertEqual([m[:2] for m in messages], [] if msgid is None else [[1, msgid]])
        self.unchanged()

    def test_deep_nesting(self):
        for opener in (b"\x91", b"\x81\xa1x"):
            with self.subTest(opener=opener), self.server.connect() as connection:
                connection.send(b"\x94\x00\x07\xa1x" + opener * 100000)
                messages = self.ended(connection)
                self.assertEqual(messages[0][2]["code"], "TOO_LARGE")
                self.assertIn("24", messages[0][2]["message"])
        self.unchanged()

    # --- connections ------------------------------------------------------------------------------------------

    def test_byte_by_byte(self):
        with self.server.connect() as connection:
            for byte in pack([0, 3, "volume.list", [{}]]):
                connection.send(bytes([byte]))
            self.assertEqual([v["name"] for v in connection.receive()[3]["volumes"]], ["there"])

    def test_half_a_frame(self):
        with self.server.connect() as connection:
            connection.send(pack([0, 3, "volume.list", [{}]])[:-3])
            self.assertEqual(self.ended(connection), [])
        self.logged("session closed", "left a frame unfinished")
        with self.server.connect() as connection:
            connection.send(pack([0, 3, "volume.list", [{}]])[:-3])
        self.logged("session closed", "ended within a frame")
        self.unchanged()

    def test_silence_between_frames_is_fine(self):
        with self.server.connect() as connection:
            connection.call("volume.list")
            with self.server.connect() as other:
                other.send(b"\x94")
                self.ended(other)  # that took longer than the stall limit
            connection.call("volume.list")

    def test_a_client_that_never_reads(self):
        with self.server.connect() as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.socket.setblocking(False)
            request = pack([0, 1, "volume.get", [{"name": "there"}]]) * 100

            def closed():
                try:
                    connection.socket.send(request)
                except BlockingIOError:
                    pass
                except OSError:
                    return True
                return "does not read its answers" in self.server.log()

            wait_until("the server gives up on it", closed, 60)
        self.logged("session closed", "does not read its answers")
        self.unchanged()

    def test_a_client_that_leaves(self):
        """Requests whose client is gone change nothing but what they committed, and leak nothing."""
        for _ in range(20):
            with self.server.connect() as connection:
                for _ in range(50):
                    connection.request("volume.list")
        self.unchanged()

    def test_pipelined_requests(self):
        """More requests than a session may have unanswered: all are answered, in their turn."""
        count = 5000
        with self.server.connect() as connection:
            connection.send(b"".join(pack([0, i, "volume.get", [{"name": "there"}]]) for i in range(count)))
            seen = {connection.receive()[1] for _ in range(count)}
            self.assertEqual(seen, set(range(count)))

    def test_clients_that_hold_too_much(self):
        """Frames that are never finished, more than a server holds: who has most of them goes, nobody else."""
        self.cluster = self.make(1)
        self.server = self.cluster.leader()
        part = pack([0, 1, "volume.get", [{"name": "x" * ((1 << 20) - 64)}]])[:-8]
        held = []
        try:
            with self.server.connect() as other:
                for _ in range(280):
                    held.append(Connection(self.server.api))
                    try:
                        held[-1].send(part)
                    except OSError:
                        pass  # it was the one
                self.logged("session closed", "holds most of the memory")
                self.assertEqual(other.call("cluster.status")["name"], "test")
            with open(f"/proc/{self.server.process.pid}/statm") as file:
                self.assertLess(int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE"), 400 << 20)
        finally:
            for connection in held:
                connection.close()

    def test_too_many_sessions(self):
        held = []
        try:
            for _ in range(60):
                try:
                    held.append(Connection(self.server.api))
                except OSError:
                    break
            message = held[-1].receive()
            self.assertEqual(message[:2], [2, "server.refused"])
            self.assertIn("connections", message[2][0]["message"])
            self.logged("refused a connection", "limit=40")
            # Another address has its share all the same: one of those that came before has to go.
            with Connection(self.server.api, source="127.0.0.3") as other:
                self.assertEqual(other.call("volume.get", {"name": "there"})["volume"]["name"], "there")
                gone = [connection.receive() for connection in held[:-1] if select.select([connection.socket], [], [], 0)[0]]
            self.assertTrue(all(message[1] == "server.refused" for message in gone))
            self.assertIn("of others", gone[0][2][0]["message"] + gone[-1][2][0]["message"])
        finally:
            for connection in held:
                connection.close()
        wait_until("there is room again", lambda: self.server.call("volume.list"))
        self.unchanged()


if __name__ == "__main__":
    main()
