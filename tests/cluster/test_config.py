# SPDX-License-Identifier: GPL-2.0-or-later
"""Command line and configuration file of dnvmed: each mistake is named with file, line and key."""

import os
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import BIN, ClusterTest, Connection, main, wait_until

GOOD = {"id": "1", "listen": "127.0.0.1:7400", "raft": "127.0.0.1:7401", "data": "/tmp/none"}


class Config(unittest.TestCase):
    def run_program(self, *arguments):
        return subprocess.run(
            [os.path.join(BIN, "dnvmed"), *arguments], capture_output=True, text=True, timeout=20, check=False
        )

    def check(self, lines, *arguments):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(lines)
            file.flush()
            return file.name, self.run_program("--check-config", f"--config={file.name}", *arguments)

    def good_lines(self, **changes):
        return "".join(f"{key} = {value}\n" for key, value in dict(GOOD, **changes).items())

    def test_good(self):
        _, result = self.check("# a comment\n" + self.good_lines())
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_files(self):
        cases = [
            (self.good_lines() + "\n\ncolour = red\n", 7, ["unknown key", "colour"]),
            (self.good_lines() + "id = 2\n", 5, ["id", "twice"]),
            (self.good_lines() + "[more]\nx = 1\n", 6, ["section", "more"]),
            (self.good_lines() + "nonsense\n", 5, ["key = value"]),
            (self.good_lines(id="zero"), 1, ["id", "zero", "1 to 4294967295"]),
            (self.good_lines(id="0"), 1, ["id", "0"]),
            (self.good_lines(id="-1"), 1, ["id", "-1"]),
            (self.good_lines(listen="127.0.0.1"), 2, ["listen", "port"]),
            (self.good_lines(listen="localhost:1"), 2, ["listen", "localhost"]),
            (self.good_lines(listen="127.0.0.1:70000"), 2, ["listen", "70000", "65535"]),
            (self.good_lines(listen="0.0.0.0:1"), 2, ["listen", "0.0.0.0"]),
            (self.good_lines(raft="127.0.0.1:"), 3, ["raft"]),
            (self.good_lines(data=""), 4, ["data", "empty"]),
            (self.good_lines(**{"log-level": "loud"}), 5, ["log-level", "loud", "debug"]),
            (self.good_lines(**{"heartbeat-ms": "1"}), 5, ["heartbeat-ms", "5"]),
        ]
        for lines, number, words in cases:
            with self.subTest(words=words):
                name, result = self.check(lines)
                self.assertEqual(result.returncode, 2)
                for word in [f"{name}:{number}:"] + words:
                    self.assertIn(word, result.stderr)

    def test_whole(self):
        _, result = self.check(self.good_lines(raft=GOOD["listen"]))
        self.assertEqual(result.returncode, 2)
        self.assertIn("must differ", result.stderr)
        _, result = self.check(self.good_lines(**{"heartbeat-ms": "500"}))
        self.assertEqual(result.returncode, 2)
        self.assertIn("election-timeout-ms", result.stderr)
        _, result = self.check("id = 1\n")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--listen is missing", result.stderr)

    def test_command_line(self):
        # It wins over the file.
        _, result = self.check(self.good_lines(), "--id=7")
        self.assertEqual(result.returncode, 0)
        _, result = self.check(self.good_lines(), "--id=x")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--id", result.stderr)
        for arguments, word in (
            (["--colour=red"], "colour"),
            (["stray"], "stray"),
            (["--config=/nonexistent/file"], "/nonexistent/file"),
        ):
            result = self.run_program(*arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(word, result.stderr)
        result = self.run_program("--version")
        self.assertEqual(result.returncode, 0)
        self.assertIn("dnvmed", result.stdout)
        result = self.run_program("--help")
        self.assertEqual(result.returncode, 0)
        for word in ("--listen", "--check-config", "Exit status"):
            self.assertIn(word, result.stdout)


class Start(ClusterTest):
    def test_failures(self):
        cluster = self.make(1, init=False)
        server = cluster.servers[0]

        def start(*arguments):
            return subprocess.run(
                server.arguments() + list(arguments), capture_output=True, text=True, timeout=20, check=False
            )

        result = start()
        self.assertEqual(result.returncode, 1)
        self.assertIn("in use", result.stderr)
        other = os.path.join(cluster.directory, "other")
        result = start(f"--data={other}")
        self.assertEqual(result.returncode, 1)
        self.assertIn(server.api, result.stderr)
        result = start("--data=/nonexistent/deep/dir")
        self.assertEqual(result.returncode, 1)
        self.assertIn("/nonexistent/deep/dir", result.stderr)
        # The path of the Unix socket is somebody's, or another server's; a dead server's is taken over.
        there = os.path.join(cluster.directory, "file")
        with open(there, "w") as file:
            file.write("somebody's")
        alone = [f"--data={other}", f"--listen={server.host}:7410", f"--raft={server.host}:7411"]
        result = start(*alone, f"--unix={there}")
        self.assertEqual(result.returncode, 1)
        self.assertIn("exists and is not a socket", result.stderr)
        with open(there) as file:
            self.assertEqual(file.read(), "somebody's")
        os.unlink(there)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(there)
            listener.listen()
            result = start(*alone, f"--unix={there}")
            self.assertEqual(result.returncode, 1)
            self.assertIn("another process listens", result.stderr)
        stale = subprocess.Popen(server.arguments() + alone + [f"--unix={there}"], stderr=subprocess.DEVNULL)
        wait_until("it listens on the socket that nobody has", lambda: Connection(there).call("server.info"))
        stale.send_signal(signal.SIGTERM)
        self.assertEqual(stale.wait(15), 0)
        # A member started under another address would be a stranger to its peers.
        server.call("cluster.init", {"name": "c"})
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(15), 0)
        server.process = None
        result = start(f"--listen={server.host}:7499")
        self.assertEqual(result.returncode, 1)
        self.assertIn("7499", result.stderr)
        damaged = os.path.join(server.directory, "cluster")
        with open(damaged, "wb") as file:
            file.write(b"\xc1\xc1")
        result = start()
        self.assertEqual(result.returncode, 1)
        self.assertIn("damaged", result.stderr)


if __name__ == "__main__":
    main()
