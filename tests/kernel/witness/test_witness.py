#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness on a plain file, with planted losses: it must see each of them, and nothing where there is none."""
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

WITNESS = sys.argv.pop(1)
BLOCK = 4096
RECORD = struct.Struct("<HHiQQQ")
DONE, END = 3, 6


class Witness(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.device = os.path.join(self.folder.name, "device")
        self.journal = os.path.join(self.folder.name, "journal")
        with open(self.device, "wb") as device:
            device.truncate(4 << 20)

    def tearDown(self):
        self.folder.cleanup()

    def run_witness(self, *words):
        done = subprocess.run([WITNESS, *words], capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    def write(self, *words):
        return self.run_witness("write", self.device, "--journal", self.journal, *words)

    def check(self, *words):
        return self.run_witness("check", self.device, "--journal", self.journal, *words)

    def done(self):
        """Block and sequence of each acknowledged write, in order."""
        with open(self.journal, "rb") as journal:
            data = journal.read()
        return [(block + i, sequence + i) for kind, count, _, block, sequence, _ in RECORD.iter_unpack(data)
                if kind == DONE for i in range(count)]

    def block(self, number, data=None):
        with open(self.device, "r+b") as device:
            device.seek(number * BLOCK)
            if data is None:
                return device.read(BLOCK)
            return device.write(data)

    def test_nothing_lost(self):
        status, said, _ = self.write("--seconds", "1", "--blank", "--blocks", "4")
        self.assertEqual(status, 0, said)
        self.assertGreater(said["writes"], 100)
        self.assertGreater(said["reads"], 100)
        self.assertEqual(self.check("--blank")[0], 0)
        status, said, _ = self.run_witness("status", "--journal", self.journal)
        self.assertTrue(said["complete"])
        self.assertEqual(said["issued"], said["writes"])

    def test_fresh_writes_each_block_once(self):
        status, said, _ = self.write("--fresh", "--read-percent", "0", "--seconds", "30", "--threads", "1")
        self.assertEqual(status, 0, said)
        blocks = [block for block, _ in self.done()]
        self.assertEqual(len(blocks), len(set(blocks)))
        self.assertEqual(len(blocks), (4 << 20) // BLOCK)
        self.assertLess(said["seconds"], 20, "it ends when there is nothing fresh left")
        first = sorted(blocks[:60])
        self.assertEqual(len({block // 16 for block in first}), 60, "the first ones are all in different 64 KiB")

    def test_dropped_block(self):
        self.write("--seconds", "1")
        victim = self.done()[-1][0]
        self.block(victim, bytes(BLOCK))
        status, said, text = self.check()
        self.assertEqual((status, said["lost"], said["foreign"]), (1, 1, 0), text)

    def test_rolled_back_block(self):
        self.write("--seconds", "1", "--region", "0:64")
        old = {number: self.block(number) for number in range(64)}
        self.write("--seconds", "1", "--region", "0:64")
        self.assertEqual(self.check()[0], 0)
        self.block(7, old[7])
        status, said, text = self.check()
        self.assertEqual((status, said["lost"], said["foreign"]), (1, 1, 0), text)
        self.assertIn("block 7: rolled back", text)

    def test_misplaced_torn_and_garbage(self):
        self.write("--seconds", "1", "--region", "0:64")
        good = self.block(3)
        self.block(3, self.block(4))
        self.assertEqual(self.check()[1]["foreign"], 1)
        self.block(3, good[:2048] + self.block(5)[2048:])
        self.assertEqual(self.check()[1]["foreign"], 1)
        self.block(3, os.urandom(BLOCK))
        self.assertEqual(self.check()[1]["foreign"], 1)
        self.block(3, good)
        self.assertEqual(self.check()[0], 0)

    def test_foreign_data_in_a_new_device(self):
        self.write("--seconds", "1", "--region", "0:64", "--blank")
        self.block(500, b"somebody else's")
        self.assertEqual(self.check()[0], 0)
        self.assertEqual(self.check("--blank")[1]["foreign"], 1)
        status, said, _ = self.write("--seconds", "1", "--read-percent", "100", "--region", "496:8", "--blank")
        self.assertEqual(status, 1)
        self.assertGreater(said["foreign"], 0)

    def test_killed_witness_goes_on(self):
        process = subprocess.Popen([WITNESS, "write", self.device, "--journal", self.journal, "--until-signal"],
                                   stdout=subprocess.DEVNULL)
        while not os.path.exists(self.journal) or os.path.getsize(self.journal) < 5000 * RECORD.size:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.kill()
        process.wait()
        with open(self.journal, "ab") as journal:
            journal.write(b"half a record")
        self.assertEqual(self.check()[0], 0)
        status, said, _ = self.write("--seconds", "1")
        self.assertEqual(status, 0, said)
        self.assertEqual(self.check()[0], 0)
        sequences = [sequence for _, sequence in self.done()]
        self.assertEqual(len(sequences), len(set(sequences)))

    def test_stale_read_online(self):
        """Somebody puts old blocks back while the witness runs: its own reads see it."""
        self.write("--seconds", "1", "--region", "0:64")
        old = {number: self.block(number) for number in range(64)}
        stop = threading.Event()

        def spoil():
            while not stop.is_set():
                for number, data in old.items():
                    self.block(number, data)
                    time.sleep(0.001)
        thread = threading.Thread(target=spoil)
        thread.start()
        status, said, text = self.write("--seconds", "2", "--region", "0:64", "--read-percent", "80", "--rate", "2000")
        stop.set()
        thread.join()
        self.assertEqual(status, 1)
        self.assertGreater(said["stale"], 0)
        self.assertIn("stale read", text)

    def test_signal_ends_it(self):
        process = subprocess.Popen([WITNESS, "write", self.device, "--journal", self.journal, "--until-signal",
                                    "--rate", "200"], stdout=subprocess.PIPE, text=True)
        while not os.path.exists(self.journal) or os.path.getsize(self.journal) < 10 * RECORD.size:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = json.loads(process.communicate(timeout=20)[0])
        self.assertEqual((process.returncode, said["stuck"]), (0, 0))
        with open(self.journal, "rb") as journal:
            self.assertEqual(RECORD.unpack(journal.read()[-RECORD.size:])[0], END)

    def test_errors_are_counted(self):
        """Writes beyond the first 2 MiB fail; what they were to replace is still there, and that is no loss."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
        done = subprocess.run([WITNESS, "write", self.device, "--journal", self.journal, "--seconds", "1", "--rate",
                               "1000"], capture_output=True, text=True, timeout=60, preexec_fn=limit)
        said = json.loads(done.stdout)
        self.assertEqual(done.returncode, 1)
        self.assertGreater(said["errors"], 0)
        self.assertEqual(said["error"], "File too large")
        self.assertEqual(self.check()[0], 0)

    def test_no_device_and_no_journal(self):
        self.assertEqual(self.run_witness("write", "/dev/full", "--journal", self.journal)[0], 2)
        none = os.path.join(self.folder.name, "none")
        self.assertEqual(self.run_witness("check", self.device, "--journal", none)[0], 2)

    def test_watch_notes_what_it_reads(self):
        self.write("--seconds", "1", "--region", "0:64")
        other = os.path.join(self.folder.name, "other")
        status, said, _ = self.run_witness("watch", self.device, "--journal", other, "--seconds", "1", "--region", "0:64")
        self.assertEqual(status, 0, said)
        with open(other, "rb") as journal:
            reads = {block: sequence for kind, _, _, block, sequence, _ in RECORD.iter_unpack(journal.read())
                     if kind == 5}
        last = dict(self.done())
        self.assertEqual({block: last[block] for block in reads if block in last},
                         {block: sequence for block, sequence in reads.items() if sequence})

    def test_digest_tells_copies_apart(self):
        def digest(*runs):
            done = subprocess.run([WITNESS, "digest", self.device, "--offset", "65536", *runs], capture_output=True,
                                  text=True, check=True)
            return [line.split() for line in done.stdout.splitlines()]
        self.assertEqual(digest(), [])
        self.write("--seconds", "1", "--region", "16:16", "--threads", "1")
        before = digest()
        self.assertEqual([line[0] for line in before], ["0"])
        block = bytearray(self.block(20))
        block[-1] ^= 1
        self.block(20, block)
        self.assertNotEqual(before, digest())

    def test_digest_counts_a_run(self):
        def blocks(*runs):
            done = subprocess.run([WITNESS, "digest", self.device, *runs], capture_output=True, text=True, check=True)
            return sum(int(line.split()[2]) for line in done.stdout.splitlines())
        self.write("--seconds", "1", "--region", "16:16", "--threads", "1")
        run = json.loads(subprocess.run([WITNESS, "status", "--journal", self.journal], capture_output=True, text=True,
                                        check=True).stdout)["run"]
        self.assertGreater(blocks(), 0)
        self.assertEqual(blocks("--run", "1", "--run", run), blocks())
        self.assertEqual(blocks("--run", "1"), 0)

    def test_clocks_of_one_machine_are_not_apart(self):
        with subprocess.Popen([WITNESS, "clock"], stdout=subprocess.PIPE, text=True) as answering:
            try:
                port = answering.stdout.readline().strip()
                status, said, _ = self.run_witness("clock", "127.0.0.1", "--port", port)
            finally:
                answering.kill()
        self.assertEqual(status, 0, said)
        self.assertLessEqual(said["low_ns"], 0)
        self.assertGreaterEqual(said["high_ns"], 0)
        self.assertGreaterEqual(said["answers"], 100)
        self.assertLess(said["high_ns"] - said["low_ns"], 5000000)

    def test_nobody_says_what_time_it_is(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            status, said, _ = self.run_witness("clock", "127.0.0.1", "--port", str(silent.getsockname()[1]),
                                               "--questions", "2")
        self.assertEqual((status, said["answers"]), (1, 0))

    def test_a_clock_that_is_ahead(self):
        """Answers of a clock that is 3 s ahead, the first of them late: it is another question's by then."""
        ahead = 3000000000
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as clock:
            clock.bind(("127.0.0.1", 0))

            def answer():
                late, peer = clock.recvfrom(16)
                for _ in range(3):
                    data, peer = clock.recvfrom(16)
                    clock.sendto(late[:8] + struct.pack("<Q", 1), peer)
                    clock.sendto(data[:8] + struct.pack("<Q", time.time_ns() + ahead), peer)
            thread = threading.Thread(target=answer)
            thread.start()
            status, said, _ = self.run_witness("clock", "127.0.0.1", "--port", str(clock.getsockname()[1]),
                                               "--questions", "4")
            thread.join()
        self.assertEqual((status, said["answers"]), (0, 3))
        self.assertLess(said["low_ns"], ahead)
        self.assertGreater(said["high_ns"], ahead)


if __name__ == "__main__":
    unittest.main(verbosity=0)
