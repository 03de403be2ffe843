#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of the rig that judge, without a rack."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import witness  # noqa: E402
from rig import Failure, Rig, Shape, address  # noqa: E402
from scenarios.fences import clocks_apart, stale_reads  # noqa: E402
from scenarios.storm import Storm  # noqa: E402


def done(block, sequence, when, count=1):
    return (witness.DONE, count, 0, block, sequence, when)


def read(block, sequence, when, error=0):
    return (witness.READ, 1, error, block, sequence, when)


class StaleReads(unittest.TestCase):
    def test_older_than_acknowledged_before_the_read(self):
        writes = [done(5, 10, 100), done(5, 11, 200)]
        self.assertEqual(stale_reads(writes, [read(5, 10, 300)], 0), ([(5, 10, 11, 200, 300)], 1))

    def test_what_may_be_read(self):
        writes = [done(5, 10, 100), done(5, 11, 200), done(7, 20, 100, count=2)]
        fine = [read(5, 10, 150), read(5, 11, 300), read(5, 12, 300), read(6, 0, 300), read(5, 10, 205),
                read(8, 21, 300), read(5, 0, 300, error=5)]
        self.assertEqual(stale_reads(writes, fine, -10)[0], [])

    def test_second_block_of_a_write(self):
        self.assertEqual(len(stale_reads([done(7, 20, 100, count=2)], [read(8, 0, 300)], 0)[0]), 1)

    def test_clocks_that_are_apart(self):
        """The writer's clock is 1000 behind: what it says was acknowledged at 200 was so at 1200."""
        writes = [done(5, 10, 100), done(5, 11, 200)]
        self.assertEqual(stale_reads(writes, [read(5, 10, 1150)], -1000)[0], [])
        self.assertEqual(len(stale_reads(writes, [read(5, 10, 1250)], -1000)[0]), 1)

    def test_clocks_that_are_ahead(self):
        """1000 ahead: it was so at -800, and a read that shows less at -700 is stale, earlier as its time looks."""
        writes = [done(5, 10, 100), done(5, 11, 200)]
        self.assertEqual(stale_reads(writes, [read(5, 10, -850)], 1000)[0], [])
        self.assertEqual(len(stale_reads(writes, [read(5, 10, -700)], 1000)[0]), 1)


class Clocks(unittest.TestCase):
    def apart(self, now, before=None):
        rig = Rig("none", "/nonexistent", Shape())
        rig.clocks_apart = lambda *_: now
        rig.say = lambda *_: None
        return clocks_apart(rig, "host1", "host2", before)

    def test_both_times_count(self):
        self.assertEqual(self.apart((-30, -10)), (-30, -10))
        self.assertEqual(self.apart((-30, -10), (-40, -20)), (-40, -10))

    def test_too_wide_to_compare(self):
        with self.assertRaisesRegex(Failure, "cannot be compared"):
            self.apart((0, 6000000))
        with self.assertRaisesRegex(Failure, "cannot be compared"):
            self.apart((0, 1), (9000000, 9000001))


class Waiting(unittest.TestCase):
    def setUp(self):
        self.rig = Rig("none", "/nonexistent", Shape(), out=open(os.devnull, "w", encoding="utf-8"))

    def tearDown(self):
        self.rig.out.close()

    def test_says_what_is_missing(self):
        with self.assertRaisesRegex(Failure, "the thing: not after 0.05 s: it is blue"):
            self.rig.wait("the thing", 0.05, lambda: "it is blue", every=0.01)

    def test_ends_when_nothing_is_missing(self):
        answers = ["no", "not yet", ""]
        self.rig.wait("it", 5, lambda: answers.pop(0), every=0.001)
        self.assertEqual(answers, [])

    def test_goal_and_limit(self):
        self.rig.goal("stall", 4, "s", 3, 6)
        self.assertFalse(self.rig.figures[0]["met"])
        with self.assertRaises(Failure):
            self.rig.goal("stall", 7, "s", 3, 6)

    def test_same_seed_same_faults(self):
        def draw(seed):
            storm = Storm(self.rig, seed)
            return [storm.fault()[0] for _ in range(40)]
        self.assertEqual(draw(7), draw(7))
        self.assertNotEqual(draw(7), draw(8))

    def test_addresses(self):
        self.assertEqual([address(node) for node in ("cp3", "dn1", "cn4", "host2")],
                         ["10.77.0.3", "10.77.0.11", "10.77.0.34", "10.77.0.52"])


class Health(unittest.TestCase):
    """`unhealthy` sees each thing that is not as it should be."""

    def judge(self, but=(), **change):
        volume = {"name": "vol", "phase": "online", "standbys": 1, "slots": [{"holder": "cn1", "phase": "serving"}],
                  "controllers": [{"role": "active"}, {"role": "standby"}],
                  "legs": [{"groups": [{"members": [{"id": "ld1", "state": "in-sync"}]}]}]}
        volume.update(change)
        rig = Rig("none", "/nonexistent", Shape())
        rig.ask_or_none = lambda *words: {"volume": volume}
        return rig.unhealthy(["vol"], **dict(but))

    def test_each(self):
        self.assertEqual(self.judge(), "")
        self.assertIn("fencing", self.judge(slots=[{"holder": "cn1", "phase": "fencing"}]))
        self.assertIn("stale", self.judge(legs=[{"groups": [{"members": [{"id": "ld1", "state": "stale"}]}]}]))
        self.assertIn("0 of 1 standbys", self.judge(controllers=[{"role": "active"}]))
        retired = [{"role": "active"}, {"role": "standby"}, {"role": "retired"}]
        self.assertIn("retired", self.judge(controllers=retired))
        self.assertEqual(self.judge(but={"leaving": False}, controllers=retired), "")
        self.assertIn("leave", self.judge(leaving=[{}]))


if __name__ == "__main__":
    unittest.main(verbosity=0)
