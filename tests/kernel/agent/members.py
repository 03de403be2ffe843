#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a leader says about members of groups, put into a desired state.

usage: members.py [--thick] [--rate BYTES] [LD=STATE[:SINCE_MS[:unlabelled]]]… <desired.json
"""
import argparse
import json
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--thick", action="store_true")
parser.add_argument("--rate", type=int, default=0)
parser.add_argument("members", nargs="*")
options = parser.parse_args()
states = dict(text.split("=") for text in options.members)
desired = json.load(sys.stdin)
for volume in desired.get("volumes", []):
    for leg in volume.get("legs", []):
        leg["thick"] = options.thick
        leg["rebuild_rate_bytes"] = options.rate
        for group in leg.get("groups", []):
            for member in group["members"]:
                words = states.get(member["ld"], "in-sync").split(":")
                member["state"] = words[0]
                member["since_ms"] = int(words[1]) if len(words) > 1 else 0
                member["unlabelled"] = "unlabelled" in words
# A Disk Node does not export what is stale.
for export in desired.get("exports", []):
    export["lds"] = [ld for ld in export["lds"] if not states.get(ld["id"], "").startswith("stale")]
desired["exports"] = [export for export in desired.get("exports", []) if export["lds"]]
json.dump(desired, sys.stdout, indent=1)
