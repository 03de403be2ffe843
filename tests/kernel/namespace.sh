#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A namespace that is to be disabled while a request to it is frozen: the kernel would keep everybody from its target until
# that request ends. So whoever asks is refused within a second, nothing else of the node waits, and it works when the
# request is done.
#
# usage: namespace.sh DRIVER BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
LAB=${LAB:-namespace-$DRIVER}
. "$ROOT/tests/kernel/lab.sh"
LIMIT_MS=2500 # a second, and what a busy machine takes
NQN=nqn.2026-11.io.dnvme:0000000000000000:slot:d1.v1.s0:e1
OTHER=nqn.2026-11.io.dnvme:0000000000000000:slot:d1.v2.s0:e1
PORT=20001

finish() {
	status=$?
	trap - EXIT
	[ "$status" -eq 0 ] || on dn1 'echo w >/proc/sysrq-trigger; dmesg | tail -n 60' >&2 || :
	[ -n "${KEEP:-}" ] || lab_down
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

rm -rf "$LAB_STATE"
mkdir -p "$LAB_STATE"
rack up --driver "$DRIVER" --dn 1 --cn 0 --host 1 --servers 0 --install "$BIN/gate_probe" --install "$BIN/namespace_probe"
step "the rack is up ($DRIVER)"
on dn1 "dmsetup create dnvme-below --table '0 65536 linear /dev/ubda 0' &&
	dmsetup create dnvme-above --table '0 65536 linear /dev/mapper/dnvme-below 0' &&
	cd /sys/kernel/config/nvmet && mkdir subsystems/$NQN subsystems/$NQN/namespaces/1 ports/7 &&
	echo 1 >subsystems/$NQN/attr_allow_any_host && cd subsystems/$NQN/namespaces/1 &&
	echo /dev/mapper/dnvme-above >device_path && echo 1 >enable && cd ../../../../ports/7 &&
	echo tcp >addr_trtype && echo ipv4 >addr_adrfam && echo $(node_address dn1) >addr_traddr && echo $PORT >addr_trsvcid &&
	ln -s ../../subsystems/$NQN subsystems/" || fail "dn1 exports nothing"
on host1 "gate_probe import $(node_address dn1) $PORT $NQN" || fail "host1 does not connect"
disk_there() { on host1 'ls /dev/nvme?n1'; }
wait_until 10 "host1 has the disk" disk_there

on dn1 'dmsetup suspend --nolockfs --noflush dnvme-below'
on host1 "setsid dd if=/dev/zero of=$(disk_there) bs=4096 count=1 oflag=direct </dev/null >/run/dd 2>&1 & :"
under_way() { on dn1 "grep -q 1 /sys/dev/block/\$(dmsetup info -c --noheadings --separator : -o major,minor dnvme-above)/inflight"; }
wait_until 10 "a write is under way" under_way
step "a write is frozen"

on dn1 "rm /sys/kernel/config/nvmet/ports/7/subsystems/$NQN"
on dn1 "setsid namespace_probe $NQN 1 </dev/null >/run/said 2>&1 & :"
# All of configfs goes on meanwhile, and new links are made.
rack exec --timeout 10 dn1 "cd /sys/kernel/config/nvmet && mkdir subsystems/$OTHER && cd ports/7 &&
	ln -s ../../subsystems/$OTHER subsystems/ && ls subsystems" | grep -q "$OTHER" || fail "another export cannot be made"
step "another export was made"
said() { on dn1 'grep . /run/said'; }
wait_until 10 "an answer" said
# shellcheck disable=SC2046 # the words of a line
set -- $(said)
[ "$1" = refused ] || fail "the namespace with a frozen request: $*"
[ "$2" -le $LIMIT_MS ] || fail "refused after $2 ms only"
step "the namespace is left alone after $2 ms: $(said | cut -d' ' -f3-)"

on dn1 'dmsetup resume dnvme-below'
# shellcheck disable=SC2046 # the words of a line
set -- $(on dn1 "namespace_probe $NQN 1")
[ "$1" = removed ] || fail "the namespace when nothing is under way: $*"
on dn1 "test ! -e /sys/kernel/config/nvmet/subsystems/$NQN/namespaces/1" || fail "the namespace is still there"
step "it is gone when the request is done, after $2 ms"
on host1 "gate_probe drop $(node_address dn1) $PORT $NQN" || fail "host1 does not drop the import"
echo "passed"
