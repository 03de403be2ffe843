# SPDX-License-Identifier: GPL-2.0-or-later
"""What scenarios are, and what most of them begin and end with."""
import collections
import subprocess
import time

import witness
from rig import Failure, Shape

SCENARIOS = collections.OrderedDict()
STALL_GOAL_MS, STALL_LIMIT_MS = 3000, 6000

# Two racks with two Disk Nodes each: copies that are spread over racks survive the loss of one.
SHAPE = Shape(dn=4, cn=4, host=2, racks={"dn1": "r1", "dn2": "r1", "dn3": "r2", "dn4": "r2"})


def scenario(name, shape=SHAPE):
    """Registers a scenario under TOPIC.NAME; its docstring says what must be so."""
    def register(function):
        topic = function.__module__.split(".")[-1]
        SCENARIOS[f"{topic}.{name}"] = (function, shape)
        return function
    return register


def serve(rig, volumes, options="--read-percent 30 --threads 2", host="host1", watch=True, **start):
    """Creates volumes, {name: shape}, attaches and connects the host, and starts a witness on each."""
    rig.each(lambda name: rig.create(name, **volumes[name]), volumes)
    rig.attach(volumes, host)
    devices = rig.connect(volumes, host, watch)
    witnesses = [witness.Witness(rig, name, devices[name], host, options=options, **start) for name in volumes]
    witness.start(witnesses)
    witness.progress(witnesses, 20)
    rig.say(f"{len(witnesses)} volumes serve {host}")
    return witnesses


def many(count, prefix="vol", **shape):
    return {f"{prefix}{number}": shape for number in range(1, count + 1)}


def slots(rig, volumes):
    """{(volume, slot): record}. One request for all: a process for each would take time from what is measured."""
    return {(volume["name"], number): slot for volume in rig.ask("volume", "list").get("volumes") or []
            if volume["name"] in volumes for number, slot in enumerate(volume["slots"])}


def busiest(rig, volumes):
    """The Controller Node that holds most slots, and which these are."""
    held = collections.defaultdict(list)
    for key, slot in slots(rig, volumes).items():
        held[slot["holder"]].append(key)
    return max(held.items(), key=lambda item: len(item[1]))


def disk_nodes(rig, volume):
    """The nodes with its members, without repetition, in order."""
    return list(dict.fromkeys(node for *_, node in rig.members(volume)))


def await_moved(rig, keys, old, seconds=30):
    """Until the slots serve elsewhere."""
    names = {name for name, _ in keys}

    def look():
        try:
            now = slots(rig, names)
        except (Failure, subprocess.TimeoutExpired) as failure:  # the control plane may be without a leader just now
            return str(failure)
        return ", ".join(f"{name} slot {number} is {now[name, number]['phase']} at {now[name, number]['holder']}"
                         for name, number in keys
                         if now[name, number]["holder"] == old or now[name, number]["phase"] != "serving")
    took = rig.wait(f"the slots of {old} serve elsewhere", seconds, look)
    rig.say(f"{len(keys)} slots of {old} serve elsewhere")
    return took


def await_phase(rig, key, phases, epoch, seconds=30):
    """Until a slot is in one of the phases, or past them, in an epoch above `epoch`. The phase that was seen."""
    seen = []
    name, number = key

    def look():
        status = rig.ask_or_none("volume", "get", name)
        if status is None:
            return "no answer"
        slot = status["volume"]["slots"][number]
        if slot["epoch"] > epoch and (slot["phase"] in phases or slot["phase"] == "serving"):
            seen[:] = [slot["phase"]]
            return None
        return f"{slot['phase']} in epoch {slot['epoch']}"
    rig.wait(f"{name} slot {number} is {'/'.join(phases)}", seconds, look, every=0.02)
    return seen[0]


def hold(rig, witnesses, seconds):
    """A fault lasts: for so long every witness has to go on writing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        witness.progress(witnesses, 5, 20)


def last(rig, seconds):
    """A fault lasts, and nobody needs to go on meanwhile."""
    time.sleep(seconds)


def finish(rig, witnesses, stall_limit_ms=STALL_LIMIT_MS, healthy=60):
    """Everything is well again, nothing was lost, no copy differs, nothing hangs."""
    volumes = sorted({one.volume for one in witnesses})
    rig.await_healthy(healthy, volumes)
    figures = witness.judge(witnesses)
    witness.members_must_agree(rig, volumes)
    rig.must_not_hang()
    rig.goal("longest stall of a request", figures["stall_ms"], "ms", STALL_GOAL_MS, stall_limit_ms)
    return figures


def must(condition, text):
    if not condition:
        raise Failure(text)
