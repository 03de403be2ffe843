# SPDX-License-Identifier: GPL-2.0-or-later
"""Those who watch events: each asks one server after the other for what is behind the last event that it saw."""

import random
import threading

import harness

WAIT_MS = 1000


def numbered(page):
    return [[event["revision"], event["index"], event["kind"]] for event in page.get("events", [])]


def all_events(connection):
    """What is kept, whole."""
    found, place = [], {}
    while True:
        page = connection.call("event.list", place)
        found += numbered(page)
        if not page.get("more"):
            return found
        place = {"after_revision": page["revision"], "after_index": page.get("index", 0)}


class Watcher(threading.Thread):
    def __init__(self, number, servers, source, seed, history, ending):
        super().__init__(daemon=True)
        self.name = f"watcher-{number}"
        self.servers = servers
        self.source = source
        self.random = random.Random(seed)
        self.history = history
        self.ending = ending
        self.lives = 0
        self.failure = None
        self.place = {"after_revision": 0, "after_index": 0}

    def run(self):
        try:
            while not self.ending.is_set():
                try:
                    with harness.Connection(self.random.choice(self.servers), 0.5, self.source) as connection:
                        # Another server takes over, in the middle of a revision at times.
                        for _ in range(self.random.randint(1, 20)):
                            self.ask(connection)
                except (harness.RpcError, OSError):
                    self.ending.wait(0.05)
        except Exception as error:  # told by the run
            self.failure = error

    def ask(self, connection):
        process = f"{self.name}.{self.lives}"
        value = [self.name, self.place["after_revision"], self.place["after_index"]]
        params = dict(self.place, wait_ms=WAIT_MS, limit=self.random.choice((0, 1, 7)))
        self.history.add(process, "invoke", "watch", key="events", value=value)
        try:
            page = connection.call("event.list", params, 5.0)
        except (harness.RpcError, OSError) as error:
            self.lives += 1
            self.history.add(process, "info", "watch", key="events", value=value, error=repr(error))
            raise
        self.place = {"after_revision": page["revision"], "after_index": page.get("index", 0)}
        self.history.add(process, "ok", "watch", key="events", value=value, result=numbered(page))
