#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Desired states of a whole volume, written by hand instead of by a leader.

usage: desired.py NODE PHASE [--copies N] [--controllers N] [--legs N] [--standbys N] [--size BYTES] [--host NQN]
                  [--disk PATH] [--holder SLOT:NODE] [--epoch SLOT:N] [--parked SLOT:N:NODE] [--shut NODE]
                  [--address SLOT:NODE] [--stale LD] [--standby NODE]

A slot that moved has another --holder and a higher --epoch; --parked is its export of epoch N to NODE, --shut a
consumer that is shut out by the other holders, --address the node from which a slot's legs are imported (its holder),
--standby a holder that may not serve yet.

PHASE is placed, assembling, exporting, online, unexporting, dismantling, releasing or gone, as in lib/model/enums.def.
Nodes are dn1…, cn1…; volume v1 of cluster "trial" lies on one disk of each dnN.
"""
import argparse
import json
import uuid

NAMESPACE = uuid.UUID("5b1f6c0e-8d42-4e7a-9c31-646e766d6501")  # lib/base/uuid.c
CLUSTER = "trial"
MIB = 1 << 20
STRIPE = 64 << 10
LEG_PORT = 20001  # of the volume's legs, at every node


def derived(name):
    return str(uuid.uuid5(NAMESPACE, name))


def node_nqn(node):
    return f"nqn.2026-11.io.dnvme:{CLUSTER}:node:{node}"


def address(node):
    kind, number = node[:2], int(node[2:])
    return f"10.77.0.{({'dn': 10, 'cn': 30}[kind]) + number}"


class Volume:
    def __init__(self, options):
        self.o = options
        self.legs = options.controllers * options.legs
        self.leg_bytes = -(-options.size // self.legs)
        self.leg_bytes = -(-self.leg_bytes // STRIPE) * STRIPE
        self.size = self.leg_bytes * self.legs
        # label, raid metadata, thin metadata and the data, rounded up to 4 MiB
        self.ld_bytes = -(-(self.leg_bytes + 11 * MIB) // (4 * MIB)) * 4 * MIB
        self.disks = max(options.copies, 2)
        self.lds = []  # (ld, leg, member, disk, start)
        used = {}
        for leg in range(self.legs):
            for member in range(options.copies):
                disk = (leg + member) % self.disks + 1
                start = used.get(disk, MIB)
                used[disk] = start + self.ld_bytes
                self.lds.append((len(self.lds) + 1, leg, member, disk, start))

    def slot(self, leg):
        return leg // self.o.legs

    def holder(self, slot):
        return self.o.holder.get(slot, f"cn{slot + 1}")

    def slot_of(self, node):
        return next((slot for slot in range(self.o.controllers) if self.holder(slot) == node), None)

    def epoch(self, slot):
        return self.o.epoch.get(slot, 1)

    def export_nqn(self, disk, slot, epoch):
        return f"nqn.2026-11.io.dnvme:{CLUSTER}:slot:d{disk}.v1.s{slot}:e{epoch}"

    def ld_uuid(self, ld, epoch):
        return derived(f"{CLUSTER}/ld{ld}/e{epoch}")

    def export(self, disk, slot, formatted):
        epoch = self.epoch(slot)
        lds = [
            {"id": f"ld{ld}", "nsid": number + 1, "uuid": self.ld_uuid(ld, epoch), "formatted": formatted,
             "ranges": [{"start_bytes": start, "length_bytes": self.ld_bytes}]}
            for number, (ld, leg, member, on, start) in enumerate(
                l for l in self.lds if l[3] == disk and self.slot(l[1]) == slot)
        ]
        if not lds:
            return None
        parked = [{"nqn": self.export_nqn(disk, slot, old), "host_nqn": node_nqn(node), "epoch": old,
                   "lds": [{"nsid": ld["nsid"], "uuid": self.ld_uuid(int(ld["id"][2:]), old),
                            "size_bytes": self.ld_bytes} for ld in lds]}
                  for of, old, node in self.o.parked if of == slot]
        return {"id": f"d{disk}.v1.s{slot}", "disk": f"d{disk}", "volume": "v1", "slot": slot, "epoch": epoch,
                "nqn": self.export_nqn(disk, slot, epoch), "host_nqn": node_nqn(self.holder(slot)), "lds": lds,
                "parked": parked, "revision": 1}

    def leg(self, leg, me, form):
        slot = self.slot(leg)
        mine = self.holder(slot) == me
        epoch = self.epoch(slot)
        result = {"index": leg, "slot": slot, "epoch": epoch, "size_bytes": self.leg_bytes, "nsid": leg + 1,
                  "uuid": derived(f"{CLUSTER}/v1/l{leg}/{me}"), "local": mine}
        if mine:
            result["format"] = form
            result["groups"] = [{"members": [
                {"ld": f"ld{ld}", "state": "stale" if f"ld{ld}" in self.o.stale else "in-sync",
                 "nqn": self.export_nqn(disk, slot, epoch),
                 "address": address(f"dn{disk}"), "port": 4421, "uuid": self.ld_uuid(ld, epoch),
                 "size_bytes": self.ld_bytes}
                for ld, of, member, disk, start in self.lds if of == leg]}]
        else:
            result["nqn"] = f"nqn.2026-11.io.dnvme:{CLUSTER}:leg:v1.s{slot}.{me}"
            result["address"] = address(self.o.address.get(slot, self.holder(slot)))
            result["port"] = LEG_PORT
        return result

    def volume(self, me, phase):
        slot = self.slot_of(me)
        standby = slot is None
        result = {"id": "v1", "nqn": f"nqn.2026-11.io.dnvme:{CLUSTER}:volume:v1",
                  "uuid": derived(f"{CLUSTER}/v1"), "size_bytes": self.size, "stripe_bytes": STRIPE,
                  "role": "standby" if standby or me in self.o.standby else "active", "slot": slot or 0,
                  "hosts": self.o.host, "revision": 1,
                  "legs_wanted": not standby and phase in ("assembling", "exporting", "online", "unexporting"),
                  "top_wanted": phase in ("exporting", "online")}
        if self.o.controllers > 1:
            result["leg_port"] = LEG_PORT
        if not standby:
            result["legs"] = [self.leg(leg, me, phase == "assembling") for leg in range(self.legs)]
            others = [self.holder(other) for other in range(self.o.controllers) if other != slot]
            result["consumers"] = [
                {"id": f"v1.s{slot}.{other}", "node": other, "address": address(other), "host_nqn": node_nqn(other),
                 "nqn": f"nqn.2026-11.io.dnvme:{CLUSTER}:leg:v1.s{slot}.{other}", "parked": other in self.o.shut,
                 "admitted": other not in self.o.shut}
                for other in others + [node for node in self.o.shut if node not in others]]
        return result


class BySlot(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        slot, value = values.split(":")
        known = dict(getattr(namespace, self.dest))
        known[int(slot)] = int(value) if value.isdigit() else value
        setattr(namespace, self.dest, known)


def parked(text):
    slot, epoch, node = text.split(":")
    return int(slot), int(epoch), node


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("node")
    parser.add_argument("phase", choices=["placed", "assembling", "exporting", "online", "unexporting",
                                          "dismantling", "releasing", "gone"])
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--controllers", type=int, default=2)
    parser.add_argument("--legs", type=int, default=2)
    parser.add_argument("--standbys", type=int, default=0)
    parser.add_argument("--size", type=int, default=256 * MIB)
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--disk", default="/dev/ubda")
    for by_slot in ("--epoch", "--holder", "--address"):
        parser.add_argument(by_slot, action=BySlot, default={})
    for many in ("--shut", "--stale", "--standby"):
        parser.add_argument(many, action="append", default=[])
    parser.add_argument("--parked", action="append", type=parked, default=[])
    options = parser.parse_args()
    volume = Volume(options)
    node = options.node
    kind, number = node[:2], int(node[2:])
    desired = {"cluster": CLUSTER, "node": node, "term": 1, "reset": True, "complete": True,
               "address": address(node), "port": 4420, "colour": number - 1 + (8 if kind == "dn" else 0),
               "host_nqn": node_nqn(node)}
    if kind == "dn" and number <= volume.disks and options.phase != "gone":
        desired["disks"] = [{"id": f"d{number}", "path": options.disk, "address": address(node), "port": 4421,
                             "revision": 1}]
        formatted = options.phase not in ("placed", "assembling")
        exports = [volume.export(number, slot, formatted) for slot in range(options.controllers)]
        if options.phase not in ("releasing", "gone"):
            desired["exports"] = [e for e in exports if e]
    if kind == "cn" and number <= options.controllers + options.standbys and options.phase not in ("placed",
                                                                                                   "releasing",
                                                                                                   "gone"):
        desired["volumes"] = [volume.volume(node, options.phase)]
    print(json.dumps(desired, indent=1))


main()
