# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios: data only. What is not said is as in DEFAULTS."""

# How often a client does what, relative to the others: methods of traffic/workload.py.
EVERYTHING = {
    "turn": 25,
    "look": 20,
    "create": 12,
    "delete": 6,
    "get": 14,
    "list": 3,
    "attach": 5,
    "detach": 4,
    "hosts": 8,
    "status": 6,
    "again": 8,
}
SWITCHES = {"turn": 50, "look": 50}
READS = {"look": 80, "status": 20}

DEFAULTS = {
    "servers": 3,
    "spares": 0,  # servers that faults may add to the group
    "agents": 3,
    "raw": 4,  # clients on MessagePack-RPC
    "library": 3,  # clients on libdnvme
    "follow": False,  # whether those on MessagePack-RPC look for the leader
    "readers": 0,  # clients on MessagePack-RPC that only read
    "tenants": True,  # one for each server: nodes that ask for leases
    "watchers": 2,  # of events
    "mix": EVERYTHING,
    "request_ids": 0.5,  # of changes: how many carry one that the client chose
    "pace_s": 0.02,  # what a client waits between two operations
    "timeout_s": 2.0,  # of each operation
    "options": [],  # of the servers
    "small_disk_mib": 0,  # a filesystem of that size under each server's data
    "faults": (),
    "at_once": 1,  # faults at the same time
    "calm_s": (0.3, 1.5),  # between two faults
    "hold_s": (0.5, 2.5),  # how long one stands
    "seconds": 60,
}

SNAPSHOTS = ["--snapshot-threshold=64", "--snapshot-trailing=16"]

SCENARIOS = {
    "calm": {"faults": ()},
    "kill": {"faults": ("kill", "kill-leader", "kill-minority", "kill-all", "restart"), "options": SNAPSHOTS},
    "pause": {"faults": ("pause", "pause-leader")},
    "cut": {"faults": ("cut-halves", "isolate-leader", "deaf-leader", "mute-leader", "one-way", "bridge", "cut-clients")},
    "disk": {
        "faults": ("disk-full", "disk-full-restart", "slow-disk", "bad-disk"),
        "small_disk_mib": 112,
        "options": SNAPSHOTS,
        "hold_s": (1.0, 4.0),
    },
    "clock": {"faults": ("clocks", "slow-clocks", "isolate-slow-leader", "pause-leader"), "at_once": 2},
    "agent": {"faults": ("kill-agent", "pause-agent", "cut-clients", "kill-leader"), "at_once": 2},
    "five": {
        "servers": 5,
        "faults": ("kill-minority", "cut-halves", "bridge", "isolate-leader", "pause", "one-way"),
        "at_once": 2,
        "options": SNAPSHOTS,
    },
    "storm": {
        "servers": 5,
        "faults": (
            "kill",
            "kill-leader",
            "kill-minority",
            "kill-all",
            "restart",
            "pause",
            "pause-leader",
            "cut-halves",
            "isolate-leader",
            "deaf-leader",
            "mute-leader",
            "one-way",
            "bridge",
            "cut-clients",
            "slow-disk",
            "bad-disk",
            "clocks",
            "slow-clocks",
            "kill-agent",
            "pause-agent",
        ),
        "at_once": 2,
        "options": SNAPSHOTS,
    },
    "membership": {
        "spares": 2,
        "faults": ("add-server", "remove-server", "transfer", "add-server", "kill-leader", "kill", "isolate-leader"),
        "options": SNAPSHOTS,
        "calm_s": (0.1, 0.6),
        "hold_s": (0.1, 1.0),
    },
    # A leader that does not know yet that it is none any more, and clients that ask it and others.
    "deposed": {
        "faults": ("isolate-slow-leader",),
        "mix": SWITCHES,
        "agents": 0,
        "library": 1,
        "raw": 4,
        "readers": 6,
        "pace_s": 0.01,
        "timeout_s": 1.0,
        "calm_s": (0.3, 0.8),
        "hold_s": (2.0, 2.5),
    },
    # What a leader sends reaches the others, and their answers do not come back: it cannot know what became of it.
    "unheard": {
        "faults": ("deaf-leader",),
        "mix": {"turn": 80, "look": 20},
        "request_ids": 0.0,
        "agents": 0,
        "library": 0,
        "raw": 8,
        "follow": True,
        "readers": 4,
        "pace_s": 0.01,
        "timeout_s": 6.0,
        "calm_s": (0.2, 0.5),
        "hold_s": (1.2, 1.6),
    },
}


def scenario(name, **changes):
    return dict(DEFAULTS, **SCENARIOS[name], name=name, **changes)
