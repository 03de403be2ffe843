# SPDX-License-Identifier: GPL-2.0-or-later
"""Controller Nodes that die, freeze, lose their agent, or are drained."""
import time

import witness
from rig import Failure
from scenario import STALL_LIMIT_MS, await_moved, busiest, finish, hold, last, many, must, scenario, serve

STRIPED = {"controllers": 3, "standbys": 1}
SINGLE = {"controllers": 1, "standbys": 1}


def power_cut(rig, count, shape, options, watch=True, stall_limit_ms=STALL_LIMIT_MS):
    witnesses = serve(rig, many(count, **shape), options, watch=watch)
    volumes = [one.volume for one in witnesses]
    victim, keys = busiest(rig, volumes)
    witness.progress(witnesses, 20)
    rig.kill(victim)
    await_moved(rig, keys, victim)
    witness.progress(witnesses, 20)
    rig.boot(victim)
    finish(rig, witnesses, stall_limit_ms=stall_limit_ms)
    return victim


@scenario("power_cut_1")
def power_cut_1(rig):
    """One volume, one active controller, one standby."""
    power_cut(rig, 1, SINGLE, "--threads 4 --blocks 4")


FIO = ("fio --name=checked --bs=16k --direct=1 --ioengine=libaio --iodepth=4 --rw=randwrite --size=24M --rate=2M "
       "--verify=crc32c --verify_fatal=1 --verify_state_save=0 --status-interval=1 --output-format=json")


@scenario("power_cut_fio")
def power_cut_fio(rig):
    """fio writes each block once, with a checksum, and reads all of them at the end; in the middle the holder loses power."""
    rig.create("checked", **SINGLE)
    rig.attach(["checked"])
    device = rig.connect(["checked"])["checked"]
    rig.sh("host1", f"rm -f /run/fio.*; (setsid {FIO} --filename={device} >/run/fio.log 2>&1; echo $? >/run/fio.status) "
                    "</dev/null >/dev/null 2>&1 &")

    def written(kilobytes):
        def look():
            must(not rig.sh("host1", "cat /run/fio.status 2>/dev/null", check=False).strip(),
                 f"fio ended early: {rig.sh('host1', 'tail -n 20 /run/fio.log')}")
            count = rig.sh("host1", "sed -n 's/.*\"io_kbytes\" : \\([0-9]*\\).*/\\1/p' /run/fio.log | sort -n | tail -n 1").strip()
            return None if int(count or 0) >= kilobytes else f"{count} of {kilobytes} KiB"
        rig.wait("fio writes", 40, look, every=0.2)
    written(2 << 10)
    victim, keys = busiest(rig, ["checked"])
    rig.kill(victim)
    await_moved(rig, keys, victim)
    written(8 << 10)
    rig.boot(victim)
    rig.wait("fio is done", 90, lambda: rig.sh("host1", "test -s /run/fio.status || echo no").strip() or None, every=0.5)
    status = rig.sh("host1", "cat /run/fio.status; rm -f /run/fio.status").strip()
    said = rig.sh("host1", "grep '^fio:\\|^verify' /run/fio.log | head -n 5", check=False)
    must(status == "0", f"fio ended with {status}: {said}")
    rig.await_healthy(60, ["checked"])
    rig.must_not_hang()


@scenario("power_cut_without_watch")
def power_cut_without_watch(rig):
    """The same, but the host finds out by itself: after its keep-alive timeout."""
    power_cut(rig, 1, SINGLE, "--threads 4 --blocks 4", watch=False, stall_limit_ms=10000)


@scenario("power_cut_8")
def power_cut_8(rig):
    """Eight volumes."""
    power_cut(rig, 8, SINGLE, "--threads 1 --rate 10")


@scenario("power_cut_30")
def power_cut_30(rig):
    """Thirty volumes."""
    power_cut(rig, 30, dict(SINGLE, size="16MiB"), "--threads 1 --rate 2")


def keep_alives(rig, node, kind):
    """Keep-alive timeouts of a node's live imports: from Disk Nodes ("slot"), or of legs of other slots ("leg")."""
    return rig.sh(node, "for c in /sys/class/nvme/nvme*; do "
                        f"! grep -q ':{kind}:' $c/subsysnqn 2>/dev/null || ! grep -qx live $c/state || cat $c/kato; done").split()


def await_keep_alives(rig, node, seconds):
    """Its agent's process sends them itself while the agent lives; those to holders of legs are always the kernel's."""
    def look():
        seen = keep_alives(rig, node, "slot")
        return None if seen and set(seen) == {str(seconds)} else f"it is {seen}"
    rig.wait(f"imports of {node} from Disk Nodes have a keep-alive of {seconds} s", 5, look, every=0.1)


@scenario("power_cut_striped_1")
def power_cut_striped_1(rig):
    """One volume, three active controllers in a full mesh, one standby. Those that live do not wait for their kernels to notice."""
    victim = power_cut(rig, 1, STRIPED, "--threads 4 --blocks 4")
    ended = [node for node in rig.cns if node != victim and
             rig.sh(node, "grep -c 'a peer is silent: its connections are ended' /run/dnvme/agent.log || :").strip() != "0"]
    legs = [seconds for node in rig.cns for seconds in keep_alives(rig, node, "leg")]
    must(legs and set(legs) == {"2"}, f"keep-alives of imports of legs: {legs}")
    must(len(ended) >= 2, f"only {ended} ended the connections to {victim}")


@scenario("power_cut_striped_8")
def power_cut_striped_8(rig):
    """Eight of them."""
    power_cut(rig, 8, STRIPED, "--threads 1 --rate 5")


@scenario("power_blink_striped")
def power_blink_striped(rig):
    """A controller loses power and is back at once, and no standby can take its place: it begins anew where it was. What the
    other ones have waiting for its legs goes on waiting until they are there again."""
    witnesses = serve(rig, many(1, controllers=3, standbys=0), "--threads 2 --rate 100")
    victim, _ = busiest(rig, [one.volume for one in witnesses])
    rig.kill(victim)
    rig.boot(victim)
    witness.progress(witnesses, 20, 60)
    finish(rig, witnesses, stall_limit_ms=60000)


@scenario("power_blink_striped_2")
def power_blink_striped_2(rig):
    """The same with two volumes at the same controllers, one of which has to wait for a disk that is away: the other one is not
    held up by that, and whoever it lets in is not told that the legs of the first one are gone."""
    spare = rig.cns[-1]
    rig.cli("node", "cordon", spare)
    try:
        shape = {"controllers": len(rig.cns) - 1, "standbys": 0}
        witnesses = serve(rig, {"vol": shape, "late": dict(shape, copies=1)}, "--threads 2 --rate 100")
        victim = rig.holder("late")
        disk = next(node for leg, *_, node in rig.members("late") if leg == 0)
        rig.kill(victim)
        rig.freeze(disk)
        rig.boot(victim)
        witness.progress(witnesses[:1], 20, 60)
        hold(rig, witnesses[:1], 4)
        rig.thaw(disk)
        witness.progress(witnesses, 20, 60)
        finish(rig, witnesses, stall_limit_ms=60000)
    finally:
        rig.cli("node", "uncordon", spare)


@scenario("frozen")
def frozen(rig):
    """A controller stops for 20 s under writes and then goes on: what it still wanted to write reaches nothing."""
    witnesses = serve(rig, many(2, **SINGLE), "--threads 4")
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    rig.freeze(victim)
    begin = time.monotonic()
    await_moved(rig, keys, victim)
    hold(rig, witnesses, 20 - (time.monotonic() - begin))
    rig.thaw(victim)
    hold(rig, witnesses, 5)
    finish(rig, witnesses)


@scenario("agent_dead")
def agent_dead(rig):
    """The kernel of a controller lives, its agent does not: the lease runs out by itself."""
    witnesses = serve(rig, many(2, **SINGLE))
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    await_keep_alives(rig, victim, 24)
    rig.agent_kill(victim)
    await_keep_alives(rig, victim, 2)
    await_moved(rig, keys, victim)
    hold(rig, witnesses, 3)
    rig.agent_start(victim)
    finish(rig, witnesses)


@scenario("agent_restarted")
def agent_restarted(rig):
    """An agent that is back within its lease disturbs nothing: the same holder, the same epoch, no stall."""
    witnesses = serve(rig, many(2, **SINGLE))
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    before = {name: rig.status(name)["volume"]["slots"] for name, _ in keys}
    rig.agent_restart(victim)
    hold(rig, witnesses, 4)
    after = {name: rig.status(name)["volume"]["slots"] for name, _ in keys}
    if before != after:
        raise Failure(f"the slots changed: {before} {after}")
    finish(rig, witnesses, stall_limit_ms=1000)


@scenario("drain")
def drain(rig):
    """A drain moves every slot away without an error, in one short pause."""
    witnesses = serve(rig, many(2, **SINGLE))
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    try:
        rig.cli("node", "drain", victim, timeout=120)
        await_moved(rig, keys, victim)
        hold(rig, witnesses, 2)
        rig.await_healthy(60)
        figures = witness.judge(witnesses)
    finally:
        rig.cli("node", "uncordon", victim)
    witness.members_must_agree(rig, [one.volume for one in witnesses])
    rig.goal("longest pause of a drain", figures["stall_ms"], "ms", 300)
    rig.must_not_hang()


@scenario("two_in_a_row")
def two_in_a_row(rig):
    """The new holder dies as soon as it serves, and the first one is not back yet."""
    witnesses = serve(rig, many(1, **SINGLE))
    for _ in range(2):
        victim, keys = busiest(rig, [one.volume for one in witnesses])
        rig.kill(victim)
        await_moved(rig, keys, victim)
        rig.await_healthy(30, leaving=False)
        witness.progress(witnesses, 20)
    rig.boot(*sorted(rig.off))
    finish(rig, witnesses)


@scenario("holder_and_successor")
def holder_and_successor(rig):
    """The successor dies in the middle of the move."""
    from scenario import await_phase
    witnesses = serve(rig, many(1, controllers=1, standbys=2))
    victim, keys = busiest(rig, [one.volume for one in witnesses])
    epoch = rig.status(keys[0][0])["volume"]["slots"][0]["epoch"]
    rig.kill(victim)
    await_phase(rig, keys[0], ("fencing", "assembling", "exporting"), epoch)
    second = rig.holder(keys[0][0])
    rig.kill(second)
    await_moved(rig, keys, second)
    witness.progress(witnesses, 20)
    rig.boot(victim, second)
    finish(rig, witnesses, stall_limit_ms=15000)


@scenario("whole_power_cut")
def whole_power_cut(rig):
    """All Controller Nodes lose power at once and come back: everything that was acknowledged is there."""
    witnesses = serve(rig, many(2, **SINGLE))
    rig.kill(*rig.cns)
    last(rig, 1)
    rig.boot(*rig.cns)
    witness.progress(witnesses, 20, 90)
    finish(rig, witnesses, stall_limit_ms=60000)
