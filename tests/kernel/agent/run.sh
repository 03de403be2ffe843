#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# dnvme-agent alone on a rack, without a control plane: desired states by desired.py, made by `dnvme-agent apply`.
# usage: run.sh PATH-OF-dnvme-agent [uml|qemu]
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
AGENT=$1 DRIVER=${2:-uml}
NQN=nqn.2026-11.io.dnvme:trial:volume:v1
TMP=$(mktemp -d)
DISK=/dev/rack/disk0
STEPS=0

rack() { "$ROOT/dev" rack --name "agent-$$" "$@"; }
trap 'rack down >/dev/null 2>&1 || :; rm -rf "$TMP"' EXIT

say() { printf '%6s s  %s\n' "$SECONDS" "$*"; }
die() { say "FAILED: $*"; exit 1; }
same() { [ "$2" = "$3" ] || die "$1: wanted \"$2\", got \"$3\""; STEPS=$((STEPS + 1)); }

desired() { # NODE PHASE: into the guest
	"$HERE/desired.py" "$1" "$2" $OPTIONS --host "$HOST" --disk "$DISK_PATH" >"$TMP/$1.json"
	rack put "$1" "$TMP/$1.json" /tmp/desired.json
}
apply() { # "NODES" PHASE
	for node in $1; do
		desired "$node" "$2"
		rack exec --timeout 90 "$node" 'dnvme-agent apply --desired /tmp/desired.json --timeout 60 2>/tmp/apply.log' ||
			{ rack exec "$node" 'tail -20 /tmp/apply.log'; die "apply $2 on $node"; }
		same "plan of $node in $2 holds nothing but label reads" "" "$(rack exec "$node" \
			'dnvme-agent plan --desired /tmp/desired.json' | grep -v -e '^label   read' -e 'waits for the labels' || :)"
	done
}
empty() { # "NODES"
	for node in $1; do
		same "what is left on $node" "" "$(rack exec "$node" 'dnvme-agent observe | grep -v ^disk; dmsetup ls |
			grep dnvme; ls -A /dev/mapper | grep dnvme; for d in ports subsystems hosts; do
			ls -A /sys/kernel/config/nvmet/$d; done; ls -A /sys/class/nvme-subsystem 2>/dev/null' || :)"
	done
}
devices() { rack exec "$1" 'dmsetup info -c --noheadings -o name,uuid,major,minor,events | sort'; }
connect() {
	for address in "$@"; do
		rack exec host1 "nvme connect -t tcp -a 10.77.0.$address -s 4420 -n $NQN -q $HOST -i 1 -k 2 -c 1"
	done
	rack exec host1 'for i in $(seq 100); do [ -b /dev/nvme0n1 ] && exit; sleep 0.1; done; exit 1' || die "no device"
}
disconnect() { rack exec host1 "nvme disconnect -n $NQN" >/dev/null; }
fio() { # ARGUMENTS
	rack exec --timeout 120 host1 "cd /tmp && fio --name=v --filename=/dev/nvme0n1 --rw=randwrite --bs=16k --size=32M \
		--direct=1 --ioengine=libaio --iodepth=8 --verify=crc32c --verify_state_save=0 --randseed=7 $* >/tmp/fio.log" ||
		{ rack exec host1 'tail -20 /tmp/fio.log'; die "fio $*"; }
	STEPS=$((STEPS + 1))
}

volume() { # COPIES CONTROLLERS LEGS STANDBYS
	OPTIONS="--copies $1 --controllers $2 --legs $3 --standbys $4"
	disks="dn1 dn2" controllers=
	[ "$1" -lt 3 ] || disks="dn1 dn2 dn3"
	for i in $(seq $(($2 + $4))); do controllers="$controllers cn$i"; done
	say "$OPTIONS"
	for node in $disks; do # old bytes that nobody may see
		rack exec "$node" "dd if=/dev/urandom of=$DISK bs=1M count=400 2>/dev/null"
	done
	apply "$disks" placed
	apply "$controllers" assembling
	apply "$controllers" exporting
	connect 31 32 2>/dev/null || connect 31
	rack exec host1 'cmp -n 268435456 /dev/nvme0n1 /dev/zero' || die "old bytes on a new volume"
	disconnect
	connect 31
	fio --do_verify=0
	disconnect
	if [ "$2" -gt 1 ]; then connect 32; else connect 31; fi
	fio --verify_only
	disconnect
}
remove() {
	apply "$controllers" unexporting
	apply "$controllers" dismantling
	empty "$controllers"
	apply "$disks" gone
	empty "$disks"
}

rack up --driver "$DRIVER" --dn 3 --cn 3 --host 1 --servers 1 --install "$AGENT" >/dev/null
HOST=$(rack exec host1 'cat /etc/nvme/hostnqn')
DISK_PATH=$(rack exec dn1 "readlink -f $DISK")

volume 2 2 2 1
say "the agent again and again under I/O: no device changes"
connect 31 32
before=$(devices cn1; devices cn2; devices dn1)
fio --rw=write --offset=64M --loops=8 --do_verify=1 &
writer=$!
for i in 1 2 3; do apply "cn1 cn2 dn1" online; done
wait "$writer" || die "I/O while agents ran"
same "devices" "$before" "$(devices cn1; devices cn2; devices dn1)"
same "the last agent did" "" "$(rack exec cn1 'cat /tmp/apply.log')"
disconnect

say "a host that is no longer admitted loses its connection"
connect 31
admitted=$HOST HOST=nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-0000000000ff
apply cn1 online
sleep 1
same "state of its controller" connecting "$(rack exec host1 'cat /sys/class/nvme/nvme0/state')"
HOST=$admitted
disconnect
apply cn1 online

say "power cut of a controller: assembled again, not formatted"
rack kill cn1
rack boot cn1
apply cn1 unexporting
apply cn1 online
same "cleared regions" "" "$(rack exec cn1 'grep clearing /tmp/apply.log' || :)"
connect 31
fio --verify_only
disconnect
remove

volume 3 1 4 1
connect 31 32
same "ANA states" "inaccessible optimized " \
	"$(rack exec host1 'cat /sys/block/nvme0c*n1/ana_state' | sort | tr '\n' ' ')"
disconnect
remove
volume 1 2 1 0
remove
say "$STEPS checks passed"
