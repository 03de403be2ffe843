#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Leases with servers and a volume: the loss of the control plane's majority stops no I/O; the first fence in that time
# does; a holder whose agent is dead stops within a lease; one whose agent is restarted does not.
#
# usage: lease.sh DRIVER BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
LAB=${LAB:-lease-$DRIVER} SERVER_OPTIONS=${SERVER_OPTIONS:-}
LAB_INSTALL=gate_probe
. "$ROOT/tests/kernel/lab.sh"
LEASE_MS=2000 # LIMIT_LEASE_MS
CHECK_MS=250  # LIMIT_LEASE_CHECK_MS
LATE_MS=800   # of this script, which looks through a busy guest

finish() {
	status=$?
	trap - EXIT
	[ "$status" -eq 0 ] || lab_logs
	[ -n "${KEEP:-}" ] || lab_down
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

gate_is_open() { on "$1" "for set in lease lease_other; do nft list set inet dnvme \$set; done | grep expires"; }
gate_is_shut() { ! gate_is_open "$1"; }
agent_says() { on "$1" "grep -F '$2' /run/dnvme/agent.log"; }

# As a service manager would: end it, and start it again when it is gone. Prints the milliseconds without an agent.
agent_restart() { # SIGNAL NODE
	on "$2" "begin=\$(date +%s%3N); leases=\$(grep -c 'it has a lease' /run/dnvme/agent.log); pid=\$(cat /run/dnvme/agent.pid); command=\$(tr '\\0' ' ' </proc/\$pid/cmdline); kill -$1 \$pid
		while grep -q '^State:[^Z]*\$' /proc/\$pid/status 2>/dev/null; do sleep 0.02; done
		setsid \$command </dev/null >>/run/dnvme/agent.log 2>&1 & echo \$! >/run/dnvme/agent.pid
		while [ \$(grep -c 'it has a lease' /run/dnvme/agent.log) -le \$leases ]; do sleep 0.05; done
		echo \$((\$(date +%s%3N) - begin))"
}

# How long the gate of NODE stays open after COMMAND.
shut_after() { # NODE COMMAND
	on "$1" "$2; gate_probe watch 4420 | cut -d' ' -f1"
}

# Looked at for so long, the gate of NODE was never found shut.
stays_open() { # NODE MS
	lab_least=$(on "$1" "gate_probe watch 4420 $2 | cut -d' ' -f2")
	[ "$lab_least" -gt 0 ]
}

majority_kill() {
	rack kill cp2 >/dev/null
	rack kill cp3 >/dev/null
}
majority_start() {
	server_start 2
	server_start 3
}

lab_up 3 2 1
for node in cn1 cn2; do wait_until 5 "the gate of $node is open" gate_is_open $node; done
on dn1 "nft list ruleset" | grep -q dnvme && fail "a node that is storage only has a gate"
cli volume create db1 --size 128MiB --copies 2 --controllers 1 --standbys 0 --legs 1 >/dev/null || fail "volume create"
cli volume attach db1 "$(host_nqn)" >/dev/null || fail "volume attach"
device=$(host_connect db1) || fail "host connect"
holder_find() {
	holder=$(cli volume get db1 -o json | python3 -c '
import json, sys
print(*[controller["node"] for controller in json.load(sys.stdin)["volume"]["controllers"]])')
	other=cn$((3 - ${holder#cn}))
}
holder_find
step "db1 is connected: $device, held by $holder"

on host1 "fio --name=steady --filename=$device --bs=16k --direct=1 --ioengine=libaio --iodepth=4 --rw=randrw --size=32M \
	--time_based --runtime=15 --verify=crc32c --verify_backlog=64 --verify_fatal=1 --verify_state_save=0 \
	--output-format=terse --terse-version=3" >"$LAB_STATE/steady.log" 2>&1 &
steady=$!
majority_kill
step "two of three servers are killed, fio runs"
wait_until 10 "$holder serves without a lease" agent_says "$holder" "serves without a lease"
wait_until 10 "$other, which holds nothing, lets its gate run out" gate_is_shut "$other"
stays_open "$holder" 4000 || fail "the gate of $holder shut without a leader"
step "the gate of $holder stayed open, that of $other ran out"
kill -0 "$steady" 2>/dev/null || fail "fio ended before the servers came back"
majority_start
wait_until 20 "$other has a lease again" gate_is_open "$other"
wait "$steady" || fail "fio while the majority was lost: $(tail -n 5 "$LAB_STATE/steady.log")"
step "the servers are back; fio: no error"

# A planned restart and one without notice: looked at all the time, never found shut.
for signal in TERM KILL; do
	stays_open "$holder" 5000 &
	watcher=$!
	away=$(agent_restart $signal "$holder")
	wait_until 20 "$holder is online after its agent got SIG$signal" node_is_online "$holder"
	if wait "$watcher"; then
		step "the agent of $holder got SIG$signal and was back after $away ms: the gate stayed open"
	else
		# Its time counts from the last heartbeat that was answered.
		[ "$away" -ge $((LEASE_MS - 2 * CHECK_MS)) ] || fail "the gate shut, though the agent was back after $away ms"
		step "the agent of $holder was away for $away ms, longer than its lease: this machine is too slow to show more"
	fi
done

# A fence while nobody leads: the export of a member is taken away. An agent that was away for too long lost its slot.
holder_find
dn=$(cli volume get db1 -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["disks"][0]["node"])')
majority_kill
wait_until 10 "$other lets its gate run out" gate_is_shut "$other"
gate_is_open "$holder" >/dev/null || fail "the gate of $holder shut without a leader"
# The network swallows what that Disk Node and the holder say to each other. Keep-alives would show it a second later.
rack cut "$holder" --from "$dn" >/dev/null
after=$(shut_after "$holder" true)
[ "$after" -le $((LEASE_MS + CHECK_MS + LATE_MS)) ] || fail "the gate shut $after ms after the path to $dn was cut"
step "the path to $dn is cut in silence: the gate of $holder is shut after $after ms"
rack heal "$holder" >/dev/null
wait_until 20 "the member is back, and the gate opens" gate_is_open "$holder"
on "$dn" 'kill -9 $(cat /run/dnvme/agent.pid)'
link=$(on "$dn" 'echo /sys/kernel/config/nvmet/ports/*/subsystems/*:slot:*')
on "$dn" "rm '$link'"
after=$(shut_after "$holder" true)
[ "$after" -le $((LEASE_MS + CHECK_MS + LATE_MS)) ] || fail "the gate shut $after ms after the fence"
step "a member of $dn is fenced: the gate of $holder is shut after $after ms"
on "$dn" "ln -s '/sys/kernel/config/nvmet/subsystems/${link##*/}' '$link'"
wait_until 10 "the member is back, and the gate opens" gate_is_open "$holder"
majority_start
agent_start "$dn"
wait_until 20 "$other has a lease again" gate_is_open "$other"
wait_until 20 "$dn is online" node_is_online "$dn"
step "the member is there again, the gate is open, the servers are back"

after=$(shut_after "$holder" 'kill -9 $(cat /run/dnvme/agent.pid)')
[ "$after" -le $((LEASE_MS + LATE_MS)) ] || fail "the gate was open for $after ms without an agent"
[ "$after" -ge $((LEASE_MS / 2)) ] || fail "the gate was open for only $after ms without an agent"
step "the agent of $holder is killed: its gate is shut after $after ms"
agent_start "$holder"
wait_until 20 "$holder has a lease again" gate_is_open "$holder"
host_disconnect db1 >/dev/null || fail "host disconnect"
cli volume detach db1 "$(host_nqn)" >/dev/null || fail "volume detach"
cli volume delete db1 >/dev/null || fail "volume delete"
wait_until 30 "nothing is left in any kernel" all_are_clean
step "done"
