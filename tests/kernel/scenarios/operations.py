# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs that somebody asks for while hosts write: volumes that grow."""
import witness
from rig import Failure, Shape
from scenario import SHAPE, await_moved, busiest, finish, many, must, scenario, serve

MIB = 1 << 20
BLOCKS = MIB // 4096
OLD, NEW = 32, 96
PHASES = ("exporting", "formatting", "joining", "resizing", "over")
CAPABLE = Shape(dn=SHAPE.dn, cn=SHAPE.cn, host=SHAPE.host, racks=SHAPE.racks, writethrough=True)
STRIPED = {"size": f"{OLD}MiB", "controllers": 2, "standbys": 1}


def begin(rig, shape, options="--threads 2 --rate 200"):
    """A volume whose first MiB a witness writes."""
    return serve(rig, many(1, **shape), f"--region 0:{OLD * BLOCKS} {options}")


def beyond(rig, first, start, end):
    """A witness behind that: nobody wrote there before."""
    more = witness.Witness(rig, first.volume, first.device, first.host,
                           options=f"--region {start * BLOCKS}:{(end - start) * BLOCKS} --threads 2 --rate 200",
                           tag=f"-{start}")
    witness.start([more])
    return more


def host_sees(rig, first, mib):
    def look():
        size = int(rig.sh(first.host, f"blockdev --getsize64 {first.device}"))
        return None if size == mib * MIB else f"it has {size} bytes"
    rig.wait(f"the host sees {mib} MiB", 10, look)


def job(rig, name):
    return rig.ask_or_none("job", "get", name)


def await_job(rig, name, state, seconds=60):
    def look():
        found = job(rig, name)
        if found is None:
            return "no answer"
        now = found["operation"]["state"]
        if now != state and now in ("done", "cancelled", "failed"):
            raise Failure(f"job {name} is {now}: {found['operation'].get('error')}")
        return None if now == state else f"{found['phase']}: {found.get('waits_for')}"
    rig.wait(f"job {name} is {state}", seconds, look)


def extend(rig, volume, mib, *words):
    return rig.ask("volume", "extend", volume, "--size", f"{mib}MiB", "--no-wait", *words)["id"]


def free(rig):
    return {disk["id"]: disk.get("extents_free", 0) for disk in rig.ask("disk", "list")["disks"]}


def grow(rig, shape):
    witnesses = begin(rig, shape)
    volume = witnesses[0].volume
    rig.cli("volume", "extend", volume, "--size", f"{NEW}MiB", "--timeout", "100s", timeout=120)
    rig.say(f"{volume} has {NEW} MiB")
    host_sees(rig, witnesses[0], NEW)
    witnesses.append(beyond(rig, witnesses[0], OLD, NEW))
    witness.progress(witnesses, 50)
    victim, keys = busiest(rig, [volume])
    rig.kill(victim)
    await_moved(rig, keys, victim)
    host_sees(rig, witnesses[0], NEW)
    witness.progress(witnesses, 50)
    rig.boot(victim)
    finish(rig, witnesses)


@scenario("extend")
def extend_thick(rig):
    """A thick volume with two controllers grows under writes: its host sees it, writes to what is new, and loses nothing of that
    when a controller dies afterwards."""
    grow(rig, STRIPED)


@scenario("extend_strict", CAPABLE)
def extend_strict(rig):
    """The same with one controller, three copies, and thin blocks whose writes are forced."""
    grow(rig, dict(STRIPED, controllers=1, provision="thin", durability="strict", copies=3))


@scenario("extend_failover")
def extend_failover(rig):
    """Its holder loses power in each phase: another one goes on, and the job is done."""
    witnesses = begin(rig, {"size": f"{OLD}MiB", "controllers": 2, "standbys": 1})
    volume, mib = witnesses[0].volume, OLD
    for phase in PHASES[:4]:
        victim, keys = busiest(rig, [volume])
        name = extend(rig, volume, mib + 32)

        def look():
            found = job(rig, name)
            if found is None:
                return "no answer"
            now = found["operation"]["phase"]
            return None if PHASES.index(now) >= PHASES.index(phase) else now
        rig.wait(f"job {name} is {phase}", 60, look, every=0.01)
        rig.kill(victim)
        await_moved(rig, keys, victim)
        await_job(rig, name, "done")
        host_sees(rig, witnesses[0], mib + 32)
        witnesses.append(beyond(rig, witnesses[0], mib, mib + 32))
        mib += 32
        witness.progress(witnesses, 20)
        rig.boot(victim)
        rig.await_healthy(60, [volume])
    finish(rig, witnesses)


@scenario("extend_cancelled")
def extend_cancelled(rig):
    """Cancelled while a Disk Node is away, and failed by its deadline: nothing of it is left over anywhere."""
    witnesses = begin(rig, STRIPED)
    volume, before = witnesses[0].volume, free(rig)
    for words, state in (((), "cancelled"), (("--deadline", "2s"), "failed")):
        # The disk with the most room takes part: its agent goes before it made anything.
        node = rig.disk_nodes()[max(before, key=before.get)]
        rig.agent_kill(node)
        name = extend(rig, volume, NEW, *words)
        if state == "cancelled":
            rig.cli("job", "cancel", name, "--no-wait")
        rig.agent_start(node)
        await_job(rig, name, state)
        must(free(rig) == before, f"extents are missing: {before} and {free(rig)}")
        for other in rig.nodes:
            left = [line for line in rig.leftovers(other) if ".g1" in line]
            must(not left, f"{other} has {left}")
        witness.progress(witnesses, 20)
    finish(rig, witnesses)
