#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A host on a rack with a real kernel: what `dnvme host connect` sets, a controller that is dead while it connects or
# disconnects, and `dnvme host watch` putting right what is missing and leaving what is dead. A host that was rebooted gets
# its volumes back by the command of dnvme-host-connect.service, and one whose controllers are all dead can be shut down.
#
# usage: host.sh DRIVER BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
LAB=${LAB:-host-$DRIVER} SERVER_OPTIONS=${SERVER_OPTIONS:-}
LAB_INSTALL=witness
# The kernel waits for a keep-alive that is under way, 2 s and what its timers round (3.4 s were seen), before it lets go.
LEAVE_LIMIT_MS=5000 GONE_LIMIT_MS=8000 DISCONNECT_LIMIT_S=6
OFF_LIMIT_MS=5000 # 0.5 to 0.7 s were seen
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
		while [ ! -s /run/gone ] || [ ! -s /run/leaving ]; do
			[ -s /run/leaving ] || [ \$(grep -c 'leaving a path' /run/watch.log) = \$(grep -c 'leaving a path' /run/watch.before) ] ||
				date +%s%3N >/run/leaving
			[ -s /run/gone ] || cat /sys/class/nvme/*/address | grep -q 'traddr=$(node_address "$victim"),' || date +%s%3N >/run/gone
			sleep 0.02
		done
	LOOK
	rack put host1 "$LAB_STATE/look.sh" /run/look.sh
	cut_ms=$(on host1 'setsid sh /run/look.sh </dev/null >/dev/null 2>&1 & date +%s%3N')
	rack "$1" "$victim"
	wait_until 30 "the path to $victim is gone" on host1 'test -s /run/gone && test -s /run/leaving'
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

# What the unit runs at boot, and for how long at most.
unit_command() { sed -n 's,^ExecStart=@CMAKE_INSTALL_FULL_BINDIR@/,,p' "$ROOT/packaging/systemd/dnvme-host-connect.service.in"; }
boot_connect() { on host1 "DNVME_SERVERS=$SERVERS $(unit_command)"; }
is_off() { rack status | grep -q '^host1 .* off'; }
sum_of() { on host1 "dd if=$1 bs=64k count=16 iflag=direct 2>/dev/null | md5sum"; }
watch_start() {
	on host1 "DNVME_SERVERS=$SERVERS setsid dnvme host watch </dev/null >/run/watch.log 2>&1 & echo \$! >/run/watch.pid"
	wait_until 20 "both volumes are followed" on host1 '[ $(grep -c "following a volume" /run/watch.log) = 2 ]'
}

lab_up 2 3 1
volume_make single 1 1
volume_make double 2 0
host_connect double >/dev/null || fail "connect double"
device=$(host_connect single) || fail "connect single"
expect_paths single 2 2 || fail "settings of single"
expect_paths double 2 3 || fail "settings of double"
[ "$(on host1 'cat /sys/module/nvme_core/parameters/admin_timeout')" = 5 ] || fail "a path may hang for a minute"
for policy in numa round-robin; do
	on host1 dnvme --server "$SERVERS" host connect single --io-policy $policy >/dev/null || fail "connect with $policy"
	[ "$(policy_of "$(nqn_of single)")" = $policy ] || fail "the I/O policy is not $policy"
done
step "connected: never given up, I/O never failed, keep-alive 2 s with one active controller and 3 s with two"

watch_start
wait_until 10 "watch sends keep-alives to single" expect_paths single 2 24
wait_until 10 "watch sends keep-alives to double" expect_paths double 2 25
step "watch sends keep-alives itself: the kernel's own have 24 and 25 s"
nqn=$(nqn_of single)
standby=$(nodes_of single standby)
on host1 "for c in /sys/class/nvme/nvme*; do
	if grep -qx '$nqn' \$c/subsysnqn && grep -q 'traddr=$(node_address "$standby"),' \$c/address; then
		echo 1 >\$c/delete_controller; fi
done"
wait_until 30 "the path is back" expect_paths single 2 24
step "watch made a path again that had been deleted"
host_disconnect double >/dev/null || fail "disconnect double"
wait_until 10 "watch lets go of it" on host1 'grep -q "not connected any more" /run/watch.log'
[ -z "$(paths_of "$(nqn_of double)")" ] || fail "double was connected again behind the operator's back"
leave_dead kill
rack boot "$victim"
agent_start "$victim"
wait_until 60 "two paths again after the power cut" expect_paths single 2 24
leave_dead cut
rack heal "$victim"
wait_until 60 "two paths again after the cut" expect_paths single 2 24
on host1 'kill $(cat /run/watch.pid)'
wait_until 10 "watch stops" on host1 'grep -q stopped /run/watch.log && ! kill -0 $(cat /run/watch.pid) 2>/dev/null'
wait_until 5 "the keep-alive timeout is as it was" expect_paths single 2 2
step "watch stopped; it had left a volume alone that was disconnected"

on host1 "dd if=/dev/urandom of=$device bs=64k count=16 oflag=direct 2>/dev/null"
sum=$(sum_of "$device")
rack kill host1
rack boot host1
[ -z "$(paths_of "$(nqn_of single)")" ] || fail "a host that was rebooted has paths already"
begin=$(date +%s)
boot_connect >"$LAB_STATE/boot.out" || fail "the unit's command failed"
took=$(($(date +%s) - begin))
device=$(sed -n 's/^single //p' "$LAB_STATE/boot.out")
grep -q '^double /dev/nvme' "$LAB_STATE/boot.out" || fail "double is not there after the boot: $(cat "$LAB_STATE/boot.out")"
expect_paths single 2 2 || fail "paths of single after the boot"
expect_paths double 2 3 || fail "paths of double after the boot"
[ "$(sum_of "$device")" = "$sum" ] || fail "$device does not hold what was written before the boot"
step "rebooted: both volumes are back after $took s, with what was written"

# A filesystem with dirty pages, somebody who waits for it, paths of which none leads anywhere, and watch.
watch_start
on host1 "mkfs.ext4 -q -F $device && mount $device /mnt && echo old >/mnt/file && sync /mnt/file"
dead=$(nodes_of single active)\ $(nodes_of single standby)
for node in $dead; do rack cut "$node" --from host1; done
on host1 "dd if=/dev/zero of=/mnt/file bs=64k count=16 2>/dev/null
	setsid dd if=/dev/zero of=/mnt/late bs=64k count=16 conv=fsync </dev/null >/dev/null 2>&1 & echo \$! >/run/dd.pid"
wait_until 20 "somebody waits in the kernel" on host1 'grep -q "^State:.*D " /proc/$(cat /run/dd.pid)/status'
on host1 'kill $(cat /run/watch.pid)'
wait_until 5 "watch stops with a volume that has no path" on host1 '! kill -0 $(cat /run/watch.pid) 2>/dev/null'
begin=$(date +%s%3N)
on host1 'busybox poweroff -n -f' >/dev/null 2>&1 || :
wait_until 60 "the host is off" is_off
took=$(($(date +%s%3N) - begin))
[ $took -le $OFF_LIMIT_MS ] || fail "shutting down took $took ms while a volume had no path"
step "shut down in $took ms while a filesystem waited for controllers that were dead"
rack boot host1
begin=$(date +%s)
if on host1 "DNVME_SERVERS=$SERVERS $(unit_command | sed 's/--timeout [^ ]*/--timeout 6s/')" >"$LAB_STATE/boot.out" 2>&1; then
	fail "single counts as connected without a path: $(cat "$LAB_STATE/boot.out")"
fi
took=$(($(date +%s) - begin))
grep -q 'cannot connect volume "single": no block device appeared' "$LAB_STATE/boot.out" ||
	fail "nothing is said of single: $(cat "$LAB_STATE/boot.out")"
[ $took -le 9 ] || fail "the unit's command took $took s when it was given 6 s"
for node in $dead; do rack heal "$node"; done
device=$(boot_connect | sed -n 's/^single //p')
on host1 "mount $device /mnt && test -s /mnt/file && umount /mnt" || fail "the filesystem is not what was synced"
step "a boot that finds no controller goes on after the time it was given; the next attempt has the volume"
host_disconnect double >/dev/null || fail "disconnect double"

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
