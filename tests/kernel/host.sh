#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A host on a rack with a real kernel: what `dnvme host connect` sets, a controller that is dead while it connects, and
# `dnvme host watch` putting right what is missing.
#
# usage: host.sh DRIVER BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
LAB=${LAB:-host-$DRIVER} SERVER_OPTIONS=${SERVER_OPTIONS:-}
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

lab_up 2 3 1
volume_make single 1 1
volume_make double 2 0
for name in single double; do host_connect $name >/dev/null || fail "connect $name"; done
expect_paths single 2 2 || fail "settings of single"
expect_paths double 2 5 || fail "settings of double"
for policy in numa round-robin; do
	on host1 dnvme --server "$SERVERS" host connect single --io-policy $policy >/dev/null || fail "connect with $policy"
	[ "$(policy_of "$(nqn_of single)")" = $policy ] || fail "the I/O policy is not $policy"
done
step "connected: never given up, I/O never failed, keep-alive 2 s with one active controller and 5 s with two"

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
on host1 'kill $(cat /run/watch.pid)'
wait_until 10 "watch stops" on host1 'grep -q stopped /run/watch.log && ! kill -0 $(cat /run/watch.pid) 2>/dev/null'
step "watch left a volume alone that was disconnected, and stopped"

host_disconnect single >/dev/null || fail "disconnect single"
rack kill "$standby"
begin=$(date +%s)
device=$(host_connect single 2>"$LAB_STATE/connect.err") || fail "connect with a dead standby: $(cat "$LAB_STATE/connect.err")"
took=$(($(date +%s) - begin))
grep -q "no path through $standby" "$LAB_STATE/connect.err" || fail "no warning about $standby: $(cat "$LAB_STATE/connect.err")"
on host1 "dd if=/dev/zero of=$device bs=64k count=16 oflag=direct 2>&1" >/dev/null || fail "write to $device"
step "connected in $took s while $standby was dead; $device takes writes"
