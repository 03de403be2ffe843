#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A host on a rack with a real kernel: what `dnvme host connect` sets, a controller that is dead while it connects or
# disconnects, and `dnvme host watch` putting right what is missing and leaving what is dead.
#
# usage: host.sh DRIVER BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
LAB=${LAB:-host-$DRIVER} SERVER_OPTIONS=${SERVER_OPTIONS:-}
LAB_INSTALL=witness
# The kernel waits for a keep-alive that is under way, 2 s and what its timers round (3.4 s were seen), before it lets go.
LEAVE_LIMIT_MS=5000 GONE_LIMIT_MS=8000 DISCONNECT_LIMIT_S=6
. "$ROOT/tests/kernel/lab.sh"

finish() {
	status=$?
	trap - EXIT
	[ "$status" -eq 0 ] || {
		lab_logs
		on host1 'cat /run/watch.log; dmesg | tail -n 20' || :
	}
	[ -n "${KEEP:-}" ] || lab_down
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Paths of a volume, one a line: address state ctrl_loss_tmo fast_io_fail_tmo reconnect_delay kato.
paths_of() { # NQN
	on host1 "for c in /sys/class/nvme/nvme*; do
		grep -qx '$1' \$c/subsysnqn 2>/dev/null || continue
		echo \$(sed 's/.*traddr=\\([^,]*\\).*/\\1/' \$c/address) \$(cat \$c/state \$c/ctrl_loss_tmo \
			\$c/fast_io_fail_tmo \$c/reconnect_delay \$c/kato)
	done | sort"
}

policy_of() { # NQN
	on host1 "for s in /sys/class/nvme-subsystem/*; do ! grep -qx '$1' \$s/subsysnqn || cat \$s/iopolicy; done"
}

nqn_of() { cli volume get "$1" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["nqn"])'; }
nodes_of() { # NAME ROLE
	cli volume get "$1" -o json | python3 -c '
import json, sys
print(*[path["node"] for path in json.load(sys.stdin)["paths"] if path["role"] == sys.argv[1]])' "$2"
}

# Every path of a volume is live with these settings.
expect_paths() { # NAME COUNT KEEP-ALIVE
	expect_nqn=$(nqn_of "$1")
	expect_seen=$(paths_of "$expect_nqn")
	expect_good=$(printf '%s\n' "$expect_seen" | grep -c " live off off 1 $3\$" || :)
	[ "$expect_good" = "$2" ] || {
		echo "$1 shall have $2 paths, live off off 1 $3, but has:"
		echo "$expect_seen"
		return 1
	}
}

volume_make() { # NAME CONTROLLERS STANDBYS
	cli volume create "$1" --size 64MiB --copies 2 --controllers "$2" --standbys "$3" >/dev/null || fail "create $1"
	cli volume attach "$1" "$(host_nqn)" >/dev/null || fail "attach $1"
}

writes_are() { [ "$(on host1 "witness status --journal /run/journal" | grep -o '"writes": *[0-9]*' | grep -o '[0-9]*$')" -ge "$1" ]; }
is_moved_from() { [ -n "$(nodes_of single active)" ] && [ "$(nodes_of single active)" != "$1" ]; }

# The active controller of `single` is gone from one moment to the next, under writes: watch leaves the path to it.
leave_dead() { # kill|cut
	victim=$(nodes_of single active)
	on host1 "rm -f /run/journal /run/gone /run/leaving; cp /run/watch.log /run/watch.before
		setsid witness write $device --journal /run/journal --until-signal --threads 2 </dev/null >/run/witness.out \
			2>/run/witness.err & echo \$! >/run/witness.pid"
	wait_until 20 "the witness writes" writes_are 20
	cat >"$LAB_STATE/look.sh" <<-LOOK
		while [ ! -s /run/gone ]; do
			[ -s /run/leaving ] || [ \$(grep -c 'leaving a path' /run/watch.log) = \$(grep -c 'leaving a path' /run/watch.before) ] ||
				date +%s%3N >/run/leaving
			cat /sys/class/nvme/*/address | grep -q 'traddr=$(node_address "$victim"),' || date +%s%3N >/run/gone
			sleep 0.02
		done
	LOOK
	rack put host1 "$LAB_STATE/look.sh" /run/look.sh
	cut_ms=$(on host1 'setsid sh /run/look.sh </dev/null >/dev/null 2>&1 & date +%s%3N')
	rack "$1" "$victim"
	wait_until 30 "the path to $victim is gone" on host1 'test -s /run/gone'
	# shellcheck disable=SC2046 # two numbers
	set -- "$1" $(on host1 'cat /run/leaving /run/gone')
	step "$1 $victim: its path is gone $(($3 - cut_ms)) ms after that, and $(($3 - $2)) ms after watch heard of it"
	[ $(($3 - $2)) -le $LEAVE_LIMIT_MS ] || fail "watch needed more than $LEAVE_LIMIT_MS ms"
	[ $(($3 - cut_ms)) -le $GONE_LIMIT_MS ] || fail "the path was there for more than $GONE_LIMIT_MS ms"
	wait_until 30 "another one is active" is_moved_from "$victim"
	writes=$(on host1 "witness status --journal /run/journal" | grep -o '"writes": *[0-9]*' | grep -o '[0-9]*$')
	wait_until 30 "writes go on" writes_are $((writes + 20))
	on host1 'kill $(cat /run/witness.pid)'
	wait_until 20 "the witness ends" on host1 "grep -q stall_ms /run/witness.out"
	on host1 "witness check $device --journal /run/journal" >/dev/null || fail "acknowledged writes are lost"
	step "writes went on, the longest stall was $(on host1 "grep -o '\"stall_ms\": *[0-9]*' /run/witness.out" | grep -o '[0-9]*$') ms"
}

lab_up 2 3 1
volume_make single 1 1
volume_make double 2 0
host_connect double >/dev/null || fail "connect double"
device=$(host_connect single) || fail "connect single"
expect_paths single 2 2 || fail "settings of single"
expect_paths double 2 3 || fail "settings of double"
for policy in numa round-robin; do
	on host1 dnvme --server "$SERVERS" host connect single --io-policy $policy >/dev/null || fail "connect with $policy"
	[ "$(policy_of "$(nqn_of single)")" = $policy ] || fail "the I/O policy is not $policy"
done
step "connected: never given up, I/O never failed, keep-alive 2 s with one active controller and 3 s with two"

on host1 "DNVME_SERVERS=$SERVERS setsid dnvme host watch </dev/null >/run/watch.log 2>&1 & echo \$! >/run/watch.pid"
wait_until 20 "both volumes are followed" on host1 '[ $(grep -c "following a volume" /run/watch.log) = 2 ]'
nqn=$(nqn_of single)
standby=$(nodes_of single standby)
on host1 "for c in /sys/class/nvme/nvme*; do
	if grep -qx '$nqn' \$c/subsysnqn && grep -q 'traddr=$(node_address "$standby"),' \$c/address; then
		echo 1 >\$c/delete_controller; fi
done"
wait_until 30 "the path is back" expect_paths single 2 2
step "watch made a path again that had been deleted"
host_disconnect double >/dev/null || fail "disconnect double"
wait_until 10 "watch lets go of it" on host1 'grep -q "not connected any more" /run/watch.log'
[ -z "$(paths_of "$(nqn_of double)")" ] || fail "double was connected again behind the operator's back"
leave_dead kill
rack boot "$victim"
agent_start "$victim"
wait_until 60 "two paths again after the power cut" expect_paths single 2 2
leave_dead cut
rack heal "$victim"
wait_until 60 "two paths again after the cut" expect_paths single 2 2
on host1 'kill $(cat /run/watch.pid)'
wait_until 10 "watch stops" on host1 'grep -q stopped /run/watch.log && ! kill -0 $(cat /run/watch.pid) 2>/dev/null'
step "watch stopped; it had left a volume alone that was disconnected"

host_disconnect single >/dev/null || fail "disconnect single"
standby=$(nodes_of single standby)
rack kill "$standby"
begin=$(date +%s)
device=$(host_connect single 2>"$LAB_STATE/connect.err") || fail "connect with a dead standby: $(cat "$LAB_STATE/connect.err")"
took=$(($(date +%s) - begin))
grep -q "no path through $standby" "$LAB_STATE/connect.err" || fail "no warning about $standby: $(cat "$LAB_STATE/connect.err")"
on host1 "dd if=/dev/zero of=$device bs=64k count=16 oflag=direct 2>&1" >/dev/null || fail "write to $device"
step "connected in $took s while $standby was dead; $device takes writes"

rack cut "$(nodes_of single active)"
begin=$(date +%s)
on host1 dnvme --server "$SERVERS" host disconnect single --timeout 30 || fail "disconnect from dead controllers"
took=$(($(date +%s) - begin))
[ $took -le $DISCONNECT_LIMIT_S ] || fail "disconnecting from dead controllers took $took s"
step "disconnected in $took s from controllers that are dead"
