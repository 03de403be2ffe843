# SPDX-License-Identifier: GPL-2.0-or-later
"""Links of hosts that break while the cluster sees nothing wrong."""
import witness
from scenario import await_moved, busiest, finish, hold, many, must, scenario, serve

SINGLE = {"controllers": 1, "standbys": 1}
# The host's kernel gives a silent path up after 2.5 to 7 s (keep-alive of 2 s), its word has to last for 5 s, and a move
# takes 1 to 3 s.
STALL_LIMIT_MS = 15000


def unreached(rig, volume):
    return [slot for slot in rig.status(volume)["volume"]["slots"] if slot.get("reason") == "unreached"]


@scenario("link_cut")
def link_cut(rig):
    """The link between a host and the active controller is cut under writes; both live, and the host reaches the standby. The
    slot moves there, and the host goes on without an error instead of waiting for the link. It moves once."""
    witnesses = serve(rig, many(1, **SINGLE), "--threads 4")
    volume = witnesses[0].volume
    victim, keys = busiest(rig, [volume])
    rig.cut(victim, "host1")
    await_moved(rig, keys, victim)
    must(unreached(rig, volume), f"it moved because of something else: {rig.status(volume)['volume']['slots']}")
    witness.progress(witnesses, 20)
    epoch = rig.status(volume)["volume"]["slots"][0]["epoch"]
    rig.heal(victim)
    hold(rig, witnesses, 5)
    must(rig.status(volume)["volume"]["slots"][0]["epoch"] == epoch, "it moved again")
    finish(rig, witnesses, stall_limit_ms=STALL_LIMIT_MS)


@scenario("link_cut_shared")
def link_cut_shared(rig):
    """Another host reaches the controller: the slot stays until that one loses its link, too."""
    witnesses = serve(rig, many(1, **SINGLE), "--region 0:4096 --threads 2")
    volume = witnesses[0].volume
    rig.attach([volume], "host2")
    device = rig.connect([volume], "host2")[volume]
    others = witness.start([witness.Witness(rig, volume, device, "host2", tag="-others",
                                            options="--region 4096:4096 --threads 2")])
    victim, keys = busiest(rig, [volume])
    epoch = rig.status(volume)["volume"]["slots"][0]["epoch"]
    rig.cut(victim, "host1")
    rig.wait("the leader knows why the slot stays", 30, lambda: None if "another host has one" in
             (rig.status(volume).get("waits_for") or "") else rig.status(volume).get("waits_for") or "nothing is said")
    hold(rig, others, 8)
    must(rig.status(volume)["volume"]["slots"][0]["epoch"] == epoch, "it moved under a host that reaches its holder")
    rig.cut(victim, "host1", "host2")
    await_moved(rig, keys, victim)
    witness.progress(witnesses, 20)
    witness.progress(others, 20)
    rig.heal(victim)
    finish(rig, witnesses + others, stall_limit_ms=60000)


@scenario("link_cut_striped")
def link_cut_striped(rig):
    """Two active controllers: while the host reaches one of them nothing moves; when it reaches neither, one slot does."""
    witnesses = serve(rig, many(1, controllers=2, standbys=1), "--threads 4")
    volume = witnesses[0].volume
    first, second = (slot["holder"] for slot in rig.status(volume)["volume"]["slots"])
    rig.cut(first, "host1")
    witness.progress(witnesses, 20, 40)
    hold(rig, witnesses, 10)
    must(not unreached(rig, volume), "a slot moved although the host went on through the other one")
    rig.cut(second, "host1")
    witness.progress(witnesses, 20, 60)
    moved = unreached(rig, volume)
    must(len(moved) == 1, f"one slot shall move, but: {rig.status(volume)['volume']['slots']}")
    rig.heal(first)
    rig.heal(second)
    hold(rig, witnesses, 5)
    finish(rig, witnesses, stall_limit_ms=25000)
