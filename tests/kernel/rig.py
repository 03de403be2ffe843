# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster on a rack, and what can befall it. The scenarios of this folder are written with it.

Nothing here sleeps to wait for something: `wait` looks until it is so, and says what was missing when it never was.
"""
import collections
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEASE_SECONDS = 2.0  # LIMIT_LEASE_MS


Path = collections.namedtuple("Path", "controller ana state address")


class Failure(Exception):
    """The cluster did not do what it should."""


def address(node):
    kind = node.rstrip("0123456789")
    return "10.77.0.%d" % ({"cp": 0, "dn": 10, "cn": 30, "host": 50}[kind] + int(node[len(kind):]))


def names(kind, count):
    return [f"{kind}{number}" for number in range(1, count + 1)]


class Shape:
    """How many of each, and in which rack (the label, not the machine) a node stands."""

    def __init__(self, dn=4, cn=4, host=1, servers=3, racks=None, disk_size="2G", server_options=(), writethrough=False,
                 alone=False):
        self.dn, self.cn, self.host, self.servers = dn, cn, host, servers
        self.racks, self.disk_size, self.server_options = dict(racks or {}), disk_size, tuple(server_options)
        self.writethrough = writethrough  # whether Controller Nodes have that target
        self.alone = alone  # its rack is for one scenario: the group of servers is another one afterwards

    def key(self):
        return (id(self) if self.alone else 0,
                self.dn, self.cn, self.host, self.servers, tuple(sorted(self.racks.items())), self.disk_size,
                self.server_options, self.writethrough)


class Rig:
    def __init__(self, name, binaries, shape, driver="uml", kernel=None, out=sys.stdout):
        self.name, self.bin, self.shape, self.driver, self.out = name, os.path.abspath(binaries), shape, driver, out
        self.kernel = ["--kernel", kernel] if kernel else []  # of uml guests; the rack has its own default
        self.state = os.path.join(tempfile.gettempdir(), f"dnvme-rig-{name}")
        self.dns, self.cns = names("dn", shape.dn), names("cn", shape.cn)
        self.hosts, self.cps = names("host", shape.host), names("cp", shape.servers)
        self.nodes = self.dns + self.cns
        self.servers = {}  # name → process
        self.silent = set()  # servers that cannot answer: no use in asking them
        self.off, self.frozen, self.no_agent, self.is_cut = set(), set(), set(), set()
        self.stopped = set()  # of those without an agent: it stands still
        self.witnesses, self.watchers, self.figures = [], {}, []
        self.begin = time.time()
        self.module, self.seed, self.fault_count = None, 0, 0
        self.limits = True  # a figure beyond its limit fails
        self.lock = threading.Lock()

    # ---- what it says ----

    def say(self, text):
        with self.lock:
            print(f"{time.time() - self.begin:6.1f}s  {text}", file=self.out, flush=True)

    def wait(self, what, seconds, look, every=0.2):
        """Until `look` returns nothing; what it returns says what is missing. Gives the seconds that it took."""
        begin = time.monotonic()
        while True:
            missing = look()
            took = time.monotonic() - begin
            if not missing:
                return took
            if took > seconds:
                raise Failure(f"{what}: not after {seconds} s: {missing}")
            time.sleep(every)

    def goal(self, what, value, unit, goal, limit=None):
        """Prints a figure beside its goal; only the limit fails."""
        self.figures.append({"what": what, "value": value, "unit": unit, "goal": goal, "met": value <= goal})
        self.say(f"{what}: {value} {unit}, goal {goal} {unit}{'' if value <= goal else ': MISSED'}")
        if self.limits and limit is not None and value > limit:
            raise Failure(f"{what}: {value} {unit}, above the limit of {limit} {unit}")

    def each(self, work, items):
        """At the same time, as the machine's two processors wait more than they work."""
        items = list(items)
        with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
            return dict(zip(items, pool.map(work, items)))

    # ---- commands ----

    def rack(self, *words, timeout=180, check=True):
        done = subprocess.run([os.path.join(ROOT, "dev"), "rack", "--name", self.name, *words], capture_output=True,
                              text=True, timeout=timeout, stdin=subprocess.DEVNULL, errors="replace")
        if check and done.returncode != 0:
            raise Failure(f"rack {' '.join(words)[:200]}: status {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
        return done

    def sh(self, node, script, timeout=30, check=True):
        return self.rack("exec", "--timeout", str(timeout), node, script, timeout=timeout + 30, check=check).stdout

    def cli(self, *words, timeout=60, check=True):
        """The command line as an operator on the rig's own address would use it: no cut touches that."""
        servers = ",".join(f"{address(cp)}:7420" for cp in self.cps if cp not in self.silent)
        done = subprocess.run(["nsenter", f"--net=/run/netns/dnvme-{self.name}", os.path.join(self.bin, "dnvme"),
                               "--server", servers, *words], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Failure(f"dnvme {' '.join(words)}: status {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def ask(self, *words, timeout=60):
        return json.loads(self.cli(*words, "-o", "json", timeout=timeout))

    def ask_or_none(self, *words):
        """None when the control plane has no answer now."""
        try:
            return self.ask(*words, timeout=40)
        except (Failure, subprocess.TimeoutExpired):
            return None

    # ---- up and down ----

    def up(self):
        shutil.rmtree(self.state, ignore_errors=True)
        os.makedirs(self.state)
        install = [word for program in ("dnvme-agent", "dnvme", "witness")
                   for word in ("--install", os.path.join(self.bin, program))]
        if self.shape.writethrough:
            install += ["--install", self.module_file()]
        self.rack("up", "--driver", self.driver, *self.kernel, "--dn", str(self.shape.dn), "--cn", str(self.shape.cn),
                  "--host", str(self.shape.host), "--servers", str(self.shape.servers), "--disk-size", self.shape.disk_size,
                  *install, timeout=1500)
        self.say(f"the rack is up: {self.shape.dn} dn, {self.shape.cn} cn, {self.shape.host} host, {self.driver}")
        for cp in self.cps:
            self.server_start(cp, quiet=True)
        self.wait("the cluster is formed", 20,
                  lambda: None if self.try_cli("cluster", "init", "--name", "rig") else "cluster init fails")
        self.each(lambda node: self.agent_start(node, quiet=True), self.nodes)
        self.wait("all nodes are online", 40, self.missing_nodes)
        for dn in self.dns:
            self.disk_add(dn)
        self.say("nodes and disks are there")

    def disk_add(self, dn):
        self.wait(f"{dn} has a disk", 20, lambda: None if self.free_disk(dn) else "no disk in its inventory")
        # Nothing switches the write cache of ubd off; that of virtio-blk the agent does.
        accept = ["--accept-volatile-cache"] if self.driver == "uml" else []
        self.cli("disk", "add", dn, self.free_disk(dn), *accept)

    def module_file(self):
        """The write-through target, for the guests' kernel."""
        if self.module is None:
            if self.driver != "uml":
                raise Failure("the write-through target is built for uml guests only: give --module")
            folder = os.path.join(self.state, "module")
            self.rack("module", *self.kernel, os.path.join(ROOT, "kmod"), folder, timeout=900)
            self.module = os.path.join(folder, "dm-writethrough.ko")
        return self.module

    def try_cli(self, *words):
        try:
            self.cli(*words)
            return True
        except (Failure, subprocess.TimeoutExpired):
            return False

    def down(self):
        self.rack("down", check=False)
        for process in self.servers.values():
            process.kill()
            process.wait()
        self.servers.clear()
        shutil.rmtree(self.state, ignore_errors=True)

    def free_disk(self, node):
        disks = [disk["path"] for disk in (self.ask("node", "get", node).get("inventory") or [])
                 if not disk.get("in_use")]
        return disks[0] if disks else None

    def health(self):
        status = self.ask_or_none("node", "list")
        if status is None:
            return {}
        return {node["node"]["name"]: node["health"] for node in status["nodes"]}

    def missing_nodes(self, wanted=None):
        health = self.health()
        wanted = [node for node in self.nodes if node not in self.off] if wanted is None else wanted
        return ", ".join(f"{node} is {health.get(node, 'unknown')}" for node in wanted if health.get(node) != "online")

    # ---- the control plane ----

    def server_command(self, cp, *options, number=None):
        return ["nsenter", f"--net=/run/netns/dnvme-{self.name}-{cp}", os.path.join(self.bin, "dnvmed"),
                *(() if number is None else ("--id", number)), "--listen", f"{address(cp)}:7420",
                "--raft", f"{address(cp)}:7421", "--data", self.server_data(cp), *self.shape.server_options, *options]

    def server_data(self, cp):
        return os.path.join(self.state, cp)

    def server_start(self, cp, quiet=False, numbered=True):
        os.makedirs(self.server_data(cp), exist_ok=True)
        with open(os.path.join(self.state, f"{cp}.log"), "ab") as log:
            self.servers[cp] = subprocess.Popen(
                self.server_command(cp, number=cp[2:] if numbered else None), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.silent.discard(cp)
        if not quiet:
            self.say(f"{cp} is started")

    def server_kill(self, cp):
        self.servers[cp].kill()
        self.servers[cp].wait()
        self.silent.add(cp)
        self.say(f"{cp} is killed")

    def server_once(self, cp, *options, numbered=True):
        """A server that does something to its data and ends; what it says."""
        command = self.server_command(cp, *options, number=cp[2:] if numbered else None)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise Failure(f"dnvmed {' '.join(options)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout + done.stderr

    def server_lose(self, cp):
        """With all that it has: it does not come back."""
        self.server_kill(cp)
        del self.servers[cp]
        shutil.rmtree(self.server_data(cp))

    def leader(self):
        status = self.ask_or_none("cluster", "status")
        return f"cp{status['leader']}" if status and status.get("leader") else None

    def await_leader(self, seconds=20, other_than=None):
        found = []

        def look():
            leader = self.leader()
            if leader is None or leader == other_than:
                return f"the leader is {leader}"
            found[:] = [leader]
            return None
        self.wait("a leader", seconds, look)
        return found[0]

    # ---- faults ----

    def agent_start(self, node, quiet=False, before=""):
        only = "--storage-only" if node.startswith("dn") else ""
        rack = self.shape.racks.get(node, f"r{node[2:]}")
        if self.shape.writethrough and node.startswith("cn"):
            self.sh(node, "grep -q ^dm_writethrough /proc/modules || "
                    f"insmod /opt/dnvme/bin/{os.path.basename(self.module)}")
        servers = ",".join(f"{address(cp)}:7420" for cp in self.cps)
        self.sh(node, f"{before} mkdir -p /run/dnvme; setsid dnvme-agent --node {node} --address {address(node)} --server {servers} "
                f"--label rack={rack} {only} </dev/null >>/run/dnvme/agent.log 2>&1 & echo $! >/run/dnvme/agent.pid")
        self.no_agent.discard(node)
        self.stopped.discard(node)
        if not quiet:
            self.say(f"the agent of {node} is started")

    def agent_restart(self, node):
        """In one command: the time without an agent is the agent's own, and not that of two ways to the guest."""
        self.agent_start(node, quiet=True, before="kill -9 $(cat /run/dnvme/agent.pid);")
        self.say(f"the agent of {node} is killed and started again")

    def agent_kill(self, node):
        self.sh(node, "kill -9 $(cat /run/dnvme/agent.pid)")
        self.no_agent.add(node)
        self.say(f"the agent of {node} is killed")

    def agent_stop(self, node):
        """It stands still: its session goes on, so that it is wanted as before."""
        self.sh(node, "kill -STOP $(cat /run/dnvme/agent.pid)")
        self.no_agent.add(node)
        self.stopped.add(node)
        self.say(f"the agent of {node} stands still")

    def agent_continue(self, node):
        self.sh(node, "kill -CONT $(cat /run/dnvme/agent.pid)")
        self.no_agent.discard(node)
        self.stopped.discard(node)
        self.say(f"the agent of {node} goes on")

    def kill(self, *nodes):
        for node in nodes:
            self.rack("kill", node)
            self.off.add(node)
            self.no_agent.add(node)
            self.stopped.discard(node)
            self.frozen.discard(node)
        self.say(f"power cut: {' '.join(nodes)}")

    def boot(self, *nodes):
        self.rack("boot", *nodes)
        self.off.difference_update(nodes)
        for node in nodes:
            if not node.startswith("host"):
                self.agent_start(node, quiet=True)
        self.say(f"booted: {' '.join(nodes)}")

    def freeze(self, node):
        self.rack("freeze", node)
        self.frozen.add(node)
        if node in self.cps:
            self.silent.add(node)
        self.say(f"frozen: {node}")

    def thaw(self, node):
        self.rack("thaw", node)
        self.frozen.discard(node)
        self.silent.discard(node)
        self.say(f"goes on: {node}")

    def cut(self, node, *others):
        """From the others; from all when there are none."""
        self.rack("cut", node, *(word for other in others for word in ("--from", other)))
        if not others and node in self.cps:
            self.silent.add(node)
        self.is_cut.add(node)
        self.say(f"cut: {node} from {' '.join(others) or 'all'}")

    def heal(self, node):
        self.rack("heal", node)
        self.is_cut.discard(node)
        self.silent.discard(node)
        self.say(f"healed: {node}")

    def repair(self):
        """Undoes every fault."""
        for node in list(self.is_cut):
            self.heal(node)
        for node in list(self.frozen):
            self.thaw(node)
        for cp, process in self.servers.items():
            if process.poll() is not None:
                self.server_start(cp)
        if self.off:
            self.boot(*sorted(self.off))
        for node in list(self.no_agent):
            if node in self.stopped:
                self.agent_continue(node)
            elif not node.startswith("host"):
                self.agent_start(node)
        self.wait("all nodes are online again", 60, self.missing_nodes)

    # ---- volumes ----

    def create(self, name, size="32MiB", copies=2, controllers=1, standbys=1, legs=1, provision="thick",
               **more):
        words = [word for key, value in more.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        self.cli("volume", "create", name, "--size", size, "--copies", str(copies), "--controllers", str(controllers),
                 "--standbys", str(standbys), "--legs", str(legs), "--provision", provision, *words, timeout=120)
        return name

    def status(self, volume):
        return self.ask("volume", "get", volume)

    def volumes(self):
        return [volume["name"] for volume in self.ask("volume", "list").get("volumes") or []]

    def holder(self, volume, slot=0):
        return self.status(volume)["volume"]["slots"][slot]["holder"]

    def disk_nodes(self):
        return {disk["id"]: disk["node"] for disk in self.ask("disk", "list")["disks"]}

    def members(self, volume):
        """(leg, group, LD, state, node) of each."""
        status = self.status(volume)
        where = {disk["id"]: disk["node"] for disk in status["disks"]}
        return [(leg, group, ld, ld["state"], where.get(ld["disk"]))
                for leg, one in enumerate(status["volume"]["legs"]) for group, group_record in enumerate(one["groups"])
                for ld in group_record["members"]]

    def unhealthy(self, volumes=None, standbys=True, leaving=True, members=True):
        """What is not as it should be: everything online, serving, in sync, and nothing left to be cleaned."""
        found = []
        for name in volumes if volumes is not None else self.volumes():
            status = self.ask_or_none("volume", "get", name)
            if status is None:
                return "the control plane does not answer"
            volume = status["volume"]
            if volume["phase"] != "online":
                found.append(f"{name} is {volume['phase']}")
            found += [f"{name} slot {number} is {slot['phase']}: {status.get('waits_for') or ''}"
                      for number, slot in enumerate(volume["slots"]) if slot["phase"] != "serving"]
            found += [f"{name} {ld['id']} is {ld['state']} ({ld.get('stale_reason', '')})"
                      for leg in volume["legs"] for group in leg["groups"] for ld in group["members"]
                      if members and ld["state"] != "in-sync"]
            roles = [controller["role"] for controller in volume["controllers"]]
            if leaving and roles.count("retired"):
                found.append(f"{name} has a retired controller")
            if standbys and roles.count("standby") < volume.get("standbys", 0):
                found.append(f"{name} has {roles.count('standby')} of {volume['standbys']} standbys")
            if leaving and volume.get("leaving"):
                found.append(f"{name} has LDs that leave")
            if leaving and members and status.get("problems"):
                found.append(f"{name}: {json.dumps(status['problems'])[:300]}")
        return "; ".join(found)

    def await_healthy(self, seconds, volumes=None, **but):
        took = self.wait("every volume is healthy", seconds, lambda: self.unhealthy(volumes, **but), every=0.5)
        self.say(f"every volume is healthy again, {took:.1f} s later")
        return took

    # ---- hosts ----

    def host_nqn(self, host="host1"):
        return self.sh(host, "cat /etc/nvme/hostnqn").strip()

    def attach(self, volumes, host="host1"):
        nqn = self.host_nqn(host)
        for volume in volumes:
            self.cli("volume", "attach", volume, nqn)

    def connect(self, volumes, host="host1", watch=True):
        """The devices, by volume. `host watch` follows controllers that come and go; it is there first, as after a boot."""
        servers = ",".join(f"{address(cp)}:7420" for cp in self.cps)
        if watch and host not in self.watchers:
            self.watchers[host] = self.sh(host, f"mkdir -p /run/dnvme; setsid dnvme --server {servers} host watch "
                                          "</dev/null >/run/dnvme/watch.log 2>&1 & echo $!\n"
                                          "for i in $(seq 200); do grep -q watching /run/dnvme/watch.log && break; "
                                          "sleep 0.05; done").strip()
        elif not watch and host in self.watchers:
            self.sh(host, f"kill {self.watchers.pop(host)}", check=False)
        lines = self.sh(host, "".join(f"dnvme --server {servers} host connect {volume} --timeout 60 || exit 1\n"
                                      for volume in volumes), timeout=60 + 10 * len(volumes)).split()
        devices = dict(zip(volumes, lines[-len(volumes):]))
        if len(devices) != len(volumes) or not all(device.startswith("/dev/") for device in devices.values()):
            raise Failure(f"host connect on {host} said {lines}")
        return devices

    def disconnect(self, host):
        servers = ",".join(f"{address(cp)}:7420" for cp in self.cps)
        if host in self.watchers:
            self.sh(host, f"kill {self.watchers.pop(host)}", check=False)
        for volume in self.volumes():
            self.sh(host, f"dnvme --server {servers} host disconnect {volume} --timeout 60", timeout=90, check=False)

    def paths(self, device, host="host1"):
        """ANA state and address of each path of a device."""
        subsystem, namespace = re.fullmatch(r"/dev/nvme(\d+)n(\d+)", device).groups()
        text = self.sh(host, f"for p in /sys/block/nvme{subsystem}c*n{namespace}; do "
                       "echo $(basename $(readlink -f $p/device)) $(cat $p/ana_state $p/device/state $p/device/address); "
                       "done", check=False)
        return [Path(*re.match(r"(nvme\d+) (\S+) (\S+) .*traddr=([^, ]+)", line).groups()) for line in text.splitlines()]

    def only_path(self, device, node, host):
        """Every other path is deleted."""
        for path in self.paths(device, host):
            if path.address != address(node):
                self.sh(host, f"echo 1 >/sys/class/nvme/{path.controller}/delete_controller")

    # ---- clocks ----

    def clocks_apart(self, one, two):
        """Between which two values, in ns, the clock of one guest minus that of another is: the guests ask each other, as a
        command's way to them takes longer than what is to be found. User-mode guests fall behind while they boot, each by its
        own tens of milliseconds."""
        port = 7999
        pid = self.sh(one, f"mkdir -p /run/dnvme; cd /run/dnvme; rm -f clock.log; setsid witness clock --port {port} </dev/null "
                      ">clock.log 2>&1 & echo $!; until [ -s clock.log ]; do sleep 0.02; done").strip()
        try:
            said = json.loads(self.sh(two, f"witness clock {address(one)} --port {port}"))
        finally:
            self.sh(one, f"kill {pid}", check=False)
        return said["low_ns"], said["high_ns"]

    # ---- what is left, and what hangs ----

    def leftovers(self, node):
        """What of ours is in the kernel of a node: device-mapper, nvmet, imports."""
        return self.sh(node, """dmsetup ls 2>/dev/null | grep ^dnvme- || :
            ls /sys/kernel/config/nvmet/subsystems /sys/kernel/config/nvmet/hosts 2>/dev/null | grep io.dnvme || :
            cat /sys/class/nvme-subsystem/*/subsysnqn 2>/dev/null | grep io.dnvme || :""").split("\n")

    def not_clean(self):
        left = self.each(self.leftovers, [node for node in self.nodes + self.hosts if node not in self.off])
        return "; ".join(f"{node}: {' '.join(lines)[:300]}" for node, lines in left.items() if any(lines))

    def hung(self, node):
        """Tasks that wait in the kernel without end, and what the kernel said about such ones since it booted. A task that ran
        meanwhile waits for something else now: workers of the kernel wait for an answer many times a second."""
        text = self.sh(node, """waiting() {
                for p in $(ps -eo pid=,stat= | awk '$2 ~ /^D/ { print $1 }'); do
                    [ ! -e /proc/$p/status ] || echo $p $(awk '/ctxt_switches/ { print $2 }' /proc/$p/status); done; }
            waiting >/tmp/hung.1
            [ ! -s /tmp/hung.1 ] || { sleep 3; waiting >/tmp/hung.2
            grep -xFf /tmp/hung.1 /tmp/hung.2 | while read p switches; do
                echo $(cat /proc/$p/comm) $(cat /proc/$p/wchan) $(sed 's/^[^ ]* //' /proc/$p/stack); done; }
            dmesg | grep 'blocked for more than' | tail -n 3""", check=False)
        return [line for line in text.splitlines() if line.strip()]

    def must_not_hang(self):
        """A path to a dead peer goes within a keep-alive that is under way, at most 3 s and what timers round: nobody writes a
        reset or a deletion that would wait for the kernel's admin timeout. What takes longer hangs."""
        def look():
            hung = self.each(self.hung, [node for node in self.nodes + self.hosts if node not in self.off])
            return {node: lines for node, lines in hung.items() if lines} or None
        try:
            self.wait("nothing hangs", 10, look, every=3)
        except Failure:
            for node, lines in (look() or {}).items():
                self.say(f"{node}: {'; '.join(lines)}\n" + self.sh(node, """for c in /sys/class/nvme/nvme*; do
                    echo $(basename $c) $(cat $c/state $c/address $c/subsysnqn); done; dmesg | tail -n 30""", check=False))
            raise

    def collect(self, folder):
        """Logs of everything, for whoever looks into a failure."""
        os.makedirs(folder, exist_ok=True)
        for cp in self.cps:
            source = os.path.join(self.state, f"{cp}.log")
            if os.path.exists(source):
                shutil.copy(source, folder)
        for name in os.listdir(self.state):
            if name.endswith(".journal"):  # a scenario judged by it
                shutil.copy(os.path.join(self.state, name), folder)
        for name, words in (("jobs", ("job", "list")), ("nodes", ("node", "list")), ("volumes", ("volume", "list"))):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                out.write(json.dumps(self.ask_or_none(*words), indent=1))
        for volume in (self.ask_or_none("volume", "list") or {}).get("volumes") or []:
            with open(os.path.join(folder, f"volume-{volume['name']}"), "w", encoding="utf-8") as out:
                out.write(json.dumps(self.ask_or_none("volume", "get", volume["name"]), indent=1))

        def one(node):
            # Before anything that may wait for what hangs: where each blocked task of the kernel is.
            text = self.sh(node, """tail -n 2000 /run/dnvme/*.log; dmesg | tail -n 200
                dmesg --clear; echo w >/proc/sysrq-trigger; dmesg
                dmsetup table; dmsetup status --noflush
                for c in /sys/class/nvme/nvme*; do echo $c $(cat $c/state $c/address $c/subsysnqn); done
                nft list ruleset 2>/dev/null; cat /run/witness/*.err 2>/dev/null
                ls -l /sys/kernel/config/nvmet/ports/*/subsystems/ 2>/dev/null""", timeout=15, check=False)
            with open(os.path.join(folder, node), "w", encoding="utf-8") as out:
                out.write(text)
        self.each(one, [node for node in self.nodes + self.hosts if node not in self.off | self.frozen])

    # ---- between scenarios ----

    def reset(self):
        """Everything repaired, every volume gone, nothing left in any kernel."""
        self.repair()
        for witness in self.witnesses:
            witness.abandon()
        self.witnesses.clear()
        for host in self.hosts:
            self.disconnect(host)
        for volume in self.volumes():
            for nqn in self.status(volume)["volume"].get("hosts") or []:
                self.cli("volume", "detach", volume, nqn)
            self.cli("volume", "delete", volume, timeout=120)
        took = self.wait("nothing is left in any kernel", 60, self.not_clean, every=0.5)
        self.say(f"volumes deleted, nothing is left in any kernel ({took:.1f} s)")
