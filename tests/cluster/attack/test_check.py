# SPDX-License-Identifier: GPL-2.0-or-later
"""The checkers against histories of which it is known whether they are right: a checker that accepts everything finds
nothing."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from check import rules
from report import timeline

INITIAL = {"r0": ("off", 1)}
SWITCH, NAME, HOSTS = "switch:r0", "name:n", "hosts:h"


class Writer:
    """Histories as a drawing: each operation has a beginning and an end."""

    def __init__(self):
        self.events = []
        self.processes = 0

    def op(self, begin, end, type, f, key, value=None, result=None, **more):
        self.processes += 1
        process = f"p{self.processes}"
        event = {"process": process, "f": f, "key": key, "value": value}
        self.events.append(dict(event, time=begin, type="invoke", request=more.get("request"), again=more.get("again")))
        if type != "open":
            ended = dict(event, time=end, type=type, result=result, error=more.get("error"), code=more.get("code"))
            self.events.append(ended)
        return self

    def history(self):
        return sorted(self.events, key=lambda event: event["time"])


def write(history, begin, end, position, revision, type="ok"):
    return history.op(begin, end, type, "write", SWITCH, position, revision)


def look(history, begin, end, position, revision):
    return history.op(begin, end, "ok", "read", SWITCH, None, [position, revision])


def listed(id, name="n", extents=()):
    return {"id": id, "name": name, "uuid": id, "leaving": False, "extents": [["d1", list(extents)]]}


class Checkers(unittest.TestCase):
    def broken(self, writer, *wanted):
        """The rules that the history breaks are these and no others."""
        found = rules.all_rules(writer.history(), INITIAL)
        self.assertEqual(sorted({rule for rule, _ in found}), sorted(wanted), found)

    # --- switches ---

    def test_reads_of_what_was_written(self):
        history = Writer()
        write(history, 0, 10, "on", 5)
        look(history, 5, 6, "off", 1)
        look(history, 7, 8, "on", 5)
        write(history, 20, 30, "off", 7)
        look(history, 31, 32, "off", 7)
        self.broken(history)

    def test_stale_read(self):
        history = Writer()
        write(history, 0, 10, "on", 5)
        look(history, 11, 12, "off", 1)
        self.broken(history, "linearizable")

    def test_stale_read_of_the_same_position(self):
        """The position is right, the revision tells."""
        history = Writer()
        write(history, 0, 10, "on", 5)
        write(history, 11, 12, "off", 6)
        look(history, 13, 14, "off", 1)
        self.broken(history, "linearizable")

    def test_lost_write(self):
        history = Writer()
        write(history, 0, 10, "on", 5)
        look(history, 11, 12, "on", 5)
        look(history, 13, 14, "off", 1)
        self.broken(history, "linearizable")

    def test_read_goes_back_within_a_write(self):
        history = Writer()
        write(history, 0, 100, "on", 5)
        look(history, 10, 11, "on", 5)
        look(history, 12, 13, "off", 1)
        self.broken(history, "linearizable")

    def test_unknown_write_may_happen_late_or_never(self):
        history = Writer()
        write(history, 0, 10, "on", None, "info")
        look(history, 20, 21, "off", 1)
        look(history, 30, 31, "on", 9)
        look(history, 32, 33, "on", 9)
        self.broken(history)

    def test_unknown_write_happens_once(self):
        history = Writer()
        write(history, 0, 10, "on", None, "info")
        look(history, 20, 21, "on", 9)
        write(history, 22, 23, "off", 10)
        look(history, 30, 31, "on", 11)
        self.broken(history, "linearizable")

    def test_refused_write_has_no_effect(self):
        history = Writer()
        history.op(0, 10, "fail", "write", SWITCH, "on", error="UNAVAILABLE: nobody leads")
        look(history, 20, 21, "on", 9)
        self.broken(history, "linearizable")

    def test_write_that_acted_twice(self):
        """Its answer is that of the second time."""
        history = Writer()
        write(history, 0, 100, "on", 9)
        look(history, 10, 11, "on", 5)
        write(history, 12, 13, "off", 7)
        self.broken(history, "linearizable")

    def test_cordon_leaves_a_drain(self):
        history = Writer()
        write(history, 0, 1, "drain", 5)
        write(history, 2, 3, "on", 5)
        look(history, 4, 5, "drain", 5)
        self.broken(history)

    def test_drain_that_came_back(self):
        """What a cordon did that put back what it had read before: the first find of the attack."""
        history = Writer()
        write(history, 0, 1, "drain", 41)
        write(history, 10, 20, "off", 44)
        write(history, 12, 21, "on", 45)
        look(history, 30, 31, "drain", 45)
        self.broken(history, "linearizable")

    # --- names ---

    def test_name_comes_and_goes(self):
        history = Writer()
        history.op(0, 1, "fail", "read", NAME, code="NOT_FOUND")
        history.op(2, 10, "ok", "create", NAME, None, ["v1", 3])
        history.op(3, 12, "fail", "create", NAME, code="ALREADY_EXISTS")
        history.op(13, 14, "ok", "read", NAME, None, ["v1", False])
        history.op(15, 16, "ok", "delete", NAME, None, ["v1", 4])
        history.op(17, 18, "ok", "read", NAME, None, ["v1", True])
        history.op(19, 20, "fail", "read", NAME, code="NOT_FOUND")
        history.op(21, 22, "ok", "create", NAME, None, ["v2", 7])
        self.broken(history)

    def test_two_creates_of_one_name(self):
        history = Writer()
        history.op(0, 10, "ok", "create", NAME, None, ["v1", 3])
        history.op(1, 11, "ok", "create", NAME, None, ["v2", 4])
        self.broken(history, "linearizable")

    def test_one_id_for_two_names(self):
        history = Writer()
        history.op(0, 10, "ok", "create", NAME, None, ["v1", 3])
        history.op(1, 11, "ok", "create", NAME + "2", None, ["v1", 3])
        self.broken(history, "unique")

    def test_volume_that_nobody_made(self):
        history = Writer()
        history.op(0, 10, "fail", "create", NAME, code="ALREADY_EXISTS")
        history.op(20, 21, "ok", "read", NAME, None, ["v1", False])
        self.broken(history, "linearizable")

    def test_volume_that_was_forgotten(self):
        history = Writer()
        history.op(0, 10, "ok", "create", NAME, None, ["v1", 3])
        history.op(20, 21, "ok", "list", "volumes", None, [])
        self.broken(history, "linearizable")

    def test_name_that_is_there_again(self):
        history = Writer()
        history.op(0, 1, "ok", "create", NAME, None, ["v1", 3])
        history.op(2, 3, "ok", "delete", NAME, None, ["v1", 4])
        history.op(4, 5, "ok", "read", NAME, None, ["v1", False])
        self.broken(history, "linearizable")

    def test_unknown_create(self):
        history = Writer()
        history.op(0, 10, "info", "create", NAME)
        history.op(11, 12, "ok", "read", NAME, None, ["v1", False])
        history.op(13, 14, "ok", "read", NAME, None, ["v1", False])
        self.broken(history)
        history.op(15, 16, "ok", "read", NAME, None, ["v2", False])
        self.broken(history, "linearizable")

    # --- hosts ---

    def test_hosts(self):
        history = Writer()
        history.op(0, 10, "ok", "attach", HOSTS, "a", 3)
        history.op(1, 11, "ok", "attach", HOSTS, "b", 4)
        history.op(5, 6, "ok", "read", HOSTS, None, ["b"])
        history.op(20, 21, "ok", "detach", HOSTS, "b", 5)
        history.op(22, 23, "ok", "read", HOSTS, None, ["a"])
        self.broken(history)
        history.op(24, 25, "ok", "read", HOSTS, None, ["a", "b"])
        self.broken(history, "linearizable")

    # --- request ids ---

    def test_repeated(self):
        history = Writer()
        history.op(0, 1, "info", "create", NAME, request="x")
        history.op(2, 3, "ok", "create", NAME, None, ["v1", 3], request="x", again=True)
        history.op(4, 5, "ok", "create", NAME, None, ["v1", 3], request="x", again=True)
        history.op(6, 7, "ok", "delete", NAME, None, ["v1", 4])
        history.op(8, 9, "ok", "create", NAME, None, ["v1", 3], request="x", again=True)
        self.broken(history)

    def test_repeated_acts_twice(self):
        history = Writer()
        write(history, 0, 1, "on", 5)
        history.op(2, 3, "ok", "write", SWITCH, "off", 6, request="x")
        history.op(4, 5, "ok", "write", SWITCH, "off", 7, request="x", again=True)
        self.broken(history, "once")

    def test_repeated_is_refused(self):
        history = Writer()
        history.op(0, 1, "ok", "create", NAME, None, ["v1", 3], request="x")
        history.op(2, 3, "fail", "create", NAME, request="x", again=True, error="ALREADY_EXISTS: there is one")
        self.broken(history, "once")

    # --- lists, revisions, leases ---

    def test_extent_owned_twice(self):
        history = Writer()
        history.op(0, 1, "ok", "list", "volumes", None, [listed("v1", "a", [1, 2]), listed("v2", "b", [2, 3])])
        self.broken(history, "unique")

    def test_name_twice_in_a_list(self):
        history = Writer()
        history.op(0, 1, "ok", "list", "volumes", None, [listed("v1", "a", [1]), listed("v2", "a", [2])])
        self.broken(history, "unique")

    def test_revision_goes_back(self):
        history = Writer()
        history.op(0, 10, "ok", "revision", "cluster", None, 7)
        history.op(5, 12, "ok", "revision", "cluster", None, 6)
        self.broken(history)
        history.op(13, 14, "ok", "revision", "cluster", None, 6)
        self.broken(history, "revisions")

    def test_revision_below_what_was_done(self):
        history = Writer()
        write(history, 0, 10, "on", 8)
        history.op(11, 12, "ok", "revision", "cluster", None, 7)
        self.broken(history, "revisions")

    def test_lease_of_a_deposed_leader(self):
        history = Writer()
        history.op(0, 10, "ok", "lease", "leases", 1, 3)
        history.op(1, 11, "ok", "lease", "leases", 1, 2)
        self.broken(history)
        history.op(12, 13, "ok", "lease", "leases", 2, 2)
        self.broken(history, "leases")

    # --- events ---

    def watched(self, *pages, whole=None):
        history = Writer()
        for number, page in enumerate(pages):
            history.op(10 * number, 10 * number + 5, "ok", "watch", "events", ["w", 0, 0], page)
        if whole is not None:
            history.op(1000, 1001, "ok", "events", "events", None, whole)
        return history

    def test_watch_of_everything(self):
        one, two, three = [1, 1, "a"], [1, 2, "b"], [2, 1, "c"]
        self.broken(self.watched([one], [two, three], [], whole=[one, two, three, [3, 1, "d"]]))
        # What was dropped cannot be compared.
        self.broken(self.watched([one], [two, three], whole=[three]))

    def test_watch_with_a_gap(self):
        one, two, three = [1, 1, "a"], [1, 2, "b"], [2, 1, "c"]
        self.broken(self.watched([one], [three], whole=[one, two, three]), "streams")

    def test_watch_that_repeats(self):
        one, two = [1, 1, "a"], [1, 2, "b"]
        self.broken(self.watched([one, two], [two]), "streams")

    def test_watch_of_what_did_not_happen(self):
        one, two = [1, 1, "a"], [1, 2, "b"]
        self.broken(self.watched([one, two], whole=[one]), "streams")
        self.broken(self.watched([one, [1, 2, "c"]], whole=[one, two]), "streams")

    # --- the picture ---

    def test_picture(self):
        history = Writer()
        write(history, 0, 10, "on", 5)
        write(history, 20, 30, "off", None, "info")
        history.op(5, 25, "ok", "fault", None, "cut")
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"attack-picture-{os.getpid()}.html")
        timeline.write(path, "a <test>", [("seed", 1)], ["linearizable: <no>"], history.history())
        with open(path) as file:
            text = file.read()
        os.unlink(path)
        self.assertIn("<svg", text)
        self.assertIn("cut", text)
        self.assertIn("linearizable: &lt;no&gt;", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
