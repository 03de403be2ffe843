# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of an attack: JSON lines, one for each event. docs/TESTING.md has the format."""

import json
import threading
import time


class History:
    """Written by many threads; each event goes to the file at once, so that a crash of the attack leaves it readable."""

    def __init__(self, path):
        self.file = open(path, "w", buffering=1)
        self.lock = threading.Lock()
        self.events = []

    def add(self, process, type, f, **more):
        with self.lock:
            event = {"index": len(self.events), "time": time.monotonic_ns(), "process": process, "type": type, "f": f}
            event.update((key, value) for key, value in more.items() if value is not None)
            self.events.append(event)
            self.file.write(json.dumps(event) + "\n")
            return event

    def close(self):
        self.file.close()


def load(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


class Operation:
    """An invocation and how it ended. `end` is None, and `type` "info", for one whose outcome nobody knows."""

    __slots__ = ("f", "key", "value", "process", "begin", "end", "type", "result", "error", "request", "again", "code")

    def __init__(self, event):
        self.f = event["f"]
        self.key = event.get("key")
        self.value = event.get("value")
        self.process = event["process"]
        self.request = event.get("request")
        self.again = event.get("again", False)
        self.begin = event["time"]
        self.end = None
        self.type = "info"
        self.result = None
        self.error = None
        self.code = None  # of a refusal that says something about the object

    def __repr__(self):
        what = self.error if self.type == "fail" else self.result
        again = " again" if self.again else ""
        return f"{self.process}: {self.f} {self.key} {self.value}{again} -> {self.type} {what} [{self.begin}, {self.end}]"


def operations(events):
    """What was invoked, in that order. A process has at most one operation at a time."""
    found, open_ = [], {}
    for event in events:
        if event["type"] == "invoke":
            open_[event["process"]] = operation = Operation(event)
            found.append(operation)
        elif event["type"] in ("ok", "fail", "info") and event["process"] in open_:
            operation = open_.pop(event["process"])
            operation.type = event["type"]
            operation.result = event.get("result")
            operation.error = event.get("error")
            operation.code = event.get("code")
            # Whatever happens may still happen later where the outcome is unknown.
            operation.end = event["time"] if event["type"] != "info" else None
    return found
