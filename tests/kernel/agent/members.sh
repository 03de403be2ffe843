#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Members of a mirror on a rack with a real kernel, without a control plane: thick formatting, a Disk Node that dies, a
# rebuild, a medium error, a Controller Node that dies.
# usage: members.sh PATH-OF-dnvme-agent [uml|qemu]
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
AGENT=$1 DRIVER=${2:-uml}
TMP=$(mktemp -d)
MIB=48
RAID=dnvme-raid-v1.l0.g0
TOP=/dev/mapper/dnvme-volume-v1
OPTIONS="--copies 2 --controllers 1 --legs 1 --size $((MIB << 20))"
RATE=0
BEGIN_MS=$(date +%s%3N)
STEPS=0

rack() { "$ROOT/dev" rack --name "members-$$" "$@"; }
trap 'rack down >/dev/null 2>&1 || :; rm -rf "$TMP"' EXIT

ms() { echo $(($(date +%s%3N) - BEGIN_MS)); }
say() { printf '%7d ms  %s\n' "$(ms)" "$*"; }
die() {
	say "FAILED: $*"
	rack exec cn1 'tail -n 30 /tmp/apply.log; dmsetup table; dmsetup status; dmesg | tail -n 20' || :
	exit 1
}
pass() { STEPS=$((STEPS + 1)); }
same() { [ "$2" = "$3" ] || die "$1: wanted \"$2\", got \"$3\""; pass; }

desired() { # NODE PHASE [LD=STATE…]
	desired_node=$1 desired_phase=$2
	shift 2
	# shellcheck disable=SC2086 # a list of words
	"$HERE/desired.py" "$desired_node" "$desired_phase" $OPTIONS --disk "$DISK_PATH" |
		"$HERE/members.py" --thick --rate "$RATE" "$@" >"$TMP/$desired_node.json"
	rack put "$desired_node" "$TMP/$desired_node.json" /tmp/desired.json
}
apply() { # NODE PHASE [LD=STATE…]
	desired "$@"
	apply_from=$(ms)
	rack exec --timeout 90 "$1" 'dnvme-agent apply --desired /tmp/desired.json --timeout 60 2>/tmp/apply.log' ||
		die "apply $*: $(rack exec "$1" 'tail -20 /tmp/apply.log')"
	APPLY_MS=$(($(ms) - apply_from))
}
plan() { # [LD=STATE…]: what the agent of cn1 would do
	desired cn1 online "$@"
	rack exec cn1 'dnvme-agent plan --desired /tmp/desired.json'
}
on() { rack exec --timeout 60 cn1 "$@"; }
until_on() { # SECONDS WHAT COMMAND
	on "for i in \$(seq $(($1 * 20))); do if $3; then exit 0; fi; sleep 0.05; done; exit 1" || die "$2"
	pass
}
status() { on "dmsetup status --noflush $RAID"; }
table() { on "dmsetup table $RAID"; }

# Random writes on the controller itself, in the background, with the slowest of each 200 ms in a log.
writes() { on "awk -v d=dm-\$(dmsetup info -c --noheadings -o minor dnvme-volume-v1) '\$3 == d {print \$8}' /proc/diskstats"; }
load_begin() {
	load_from=$(writes)
	on "cd /tmp; setsid fio --name=load --filename=$TOP --rw=randwrite --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=8 --time_based --runtime=120 --log_max_value=1 --write_lat_log=/tmp/load --log_avg_msec=200 \
		</dev/null >/tmp/fio.log 2>&1 & echo \$! >/tmp/fio.pid"
	for i in $(seq 100); do
		[ "$(writes)" -lt $((load_from + 300)) ] || return 0
		sleep 0.1
	done
	die "the load does not write: $(on 'cat /tmp/fio.log')"
}
load_end() { # says the longest stall
	on 'kill -INT $(cat /tmp/fio.pid); for i in $(seq 100); do kill -0 $(cat /tmp/fio.pid) 2>/dev/null || break
		sleep 0.1; done; sync'
	if on 'grep -q "err=[^ ]* *[1-9]" /tmp/fio.log'; then die "fio: $(on 'cat /tmp/fio.log')"; fi
	say "longest write under load: $(on "cut -d, -f2 /tmp/load_clat.1.log | sort -n | tail -1 | awk '{print int(\$1 / 1e6)}'") ms"
}
members_differ() { # how many bytes of the mirror's members differ, up to 100000
	on 'blockdev --flushbufs /dev/mapper/dnvme-raiddata-ld1; blockdev --flushbufs /dev/mapper/dnvme-raiddata-ld2
		cmp -l /dev/mapper/dnvme-raiddata-ld1 /dev/mapper/dnvme-raiddata-ld2 2>/dev/null | head -n 100000 | wc -l'
}
export_nqn() { echo "nqn.2026-11.io.dnvme:trial:slot:d$1.v1.s0:e1"; }

rack up --driver "$DRIVER" --dn 2 --cn 1 --host 0 --servers 1 --disk-size 256M --install "$AGENT" >/dev/null
DISK_PATH=$(rack exec dn1 'readlink -f /dev/rack/disk0')
say "the rack is up"

# --- thick ---------------------------------------------------------------------------------------------------
for node in dn1 dn2; do
	rack exec $node 'dd if=/dev/urandom of=/dev/rack/disk0 bs=1M count=70 2>/dev/null'
	apply $node placed
done
apply cn1 assembling
say "formatted, every block mapped: $APPLY_MS ms"
mapped() { on 'dmsetup status --noflush dnvme-thin-v1.l0' | awk '{print $4}'; }
same "mapped sectors of the thin device" $((MIB << 11)) "$(mapped)"
apply cn1 online
same "old bytes" 0 "$(on "cmp -n $((MIB << 20)) $TOP /dev/zero >/dev/null; echo \$?")"
on "blkdiscard $TOP" 2>/dev/null && die "a discard was taken" || pass
same "mapped sectors after a discard" $((MIB << 11)) "$(mapped)"
same "volatile cache of the disk in the inventory" \
	"$(rack exec dn1 "cat /sys/block/$(basename "$DISK_PATH")/queue/write_cache")" \
	"$(rack exec dn1 'dnvme-agent observe' | awk '/^disk/ {print /volatile cache/ ? "write back" : "write through"; exit}')"

# --- a Disk Node dies under load --------------------------------------------------------------------------------
load_begin
say "load; dn2 loses its power"
rack kill dn2
until_on 20 "the import of dn2 is connecting" "grep -q connecting /sys/class/nvme/*/state"
say "its path is known to be lost"
text=$(plan ld2=stale)
case $text in *reload*) die "a frozen mirror is touched: $text" ;; esac
case $text in *"is not changed while the path to ld2 is lost"*) pass ;; *) die "no reason is given: $text" ;; esac
same "the mirror while it is frozen" AA "$(status | awk '{print $6}')"
apply cn1 online ld2=stale
say "degraded: $APPLY_MS ms, $(table)"
case $(table) in *" - -") pass ;; *) die "ld2 is in the table" ;; esac
same "slices of ld2" 0 "$(on 'dmsetup ls | grep -c ld2' || :)"
load_end
same "the plan when degraded" "" "$(plan ld2=stale)"

# --- it comes back ------------------------------------------------------------------------------------------------
rebuild() { # SINCE
	apply cn1 online "ld2=rebuilding:$1"
	say "rebuild begun: $APPLY_MS ms, $(status)"
	until_on 60 "the rebuild is complete" "dmsetup status --noflush $RAID | grep -q ' AA .* idle '"
	say "complete: $(status)"
	case $(plan "ld2=rebuilding:$1") in *"label   write"*"complete as"*) pass ;; *"label   read"*) pass ;; *) die "its label is not written" ;; esac
	apply cn1 online "ld2=rebuilding:$1"
	same "the plan when complete" "" "$(plan "ld2=rebuilding:$1" | grep -v -e '^label   read' -e 'waits for the label' || :)"
	apply cn1 online
	same "the plan when in sync" "" "$(plan)"
}
load_begin
rack boot dn2
apply dn2 placed
say "dn2 is back"
rebuild 5
load_end
same "bytes that differ after the rebuild" 0 "$(members_differ)"

# --- an error of the medium ------------------------------------------------------------------------------------------
load_begin
rack exec dn2 'size=$(blockdev --getsz /dev/mapper/dnvme-ld-ld2); dmsetup table dnvme-ld-ld2 >/tmp/table
	dmsetup suspend dnvme-ld-ld2; dmsetup load dnvme-ld-ld2 --table "0 $size error"; dmsetup resume dnvme-ld-ld2'
until_on 10 "the mirror dropped ld2" "dmsetup status --noflush $RAID | grep -q ' AD '"
say "ld2 failed"
same "the plan before the leader knows" "" "$(plan)"
rack exec dn2 'dmsetup suspend dnvme-ld-ld2; dmsetup load dnvme-ld-ld2 /tmp/table; dmsetup resume dnvme-ld-ld2'
apply cn1 online ld2=stale
say "degraded: $APPLY_MS ms"
rebuild 6
load_end
same "bytes that differ after the rebuild" 0 "$(members_differ)"

# Stale and rebuilding again before the agent heard of the first: what the label says of rebuild 6 does not count.
RATE=$((8 << 20))
rebuild_from=$(ms)
apply cn1 online ld2=rebuilding:7
same "what the agent did" "- - rebuild 1" "$(on "sed -n 's/.*dm      reload     $RAID.*\(- -\|rebuild 1\).*/\1/p' /tmp/apply.log" |
	tr '\n' ' ' | sed 's/ $//')"
until_on 60 "the rebuild is complete" "dmsetup status --noflush $RAID | grep -q ' AA .* idle '"
say "rebuilt at no more than 8 MiB a second: $(($(ms) - rebuild_from)) ms, $(table)"
[ $(($(ms) - rebuild_from)) -gt $((MIB * 1000 / 8 / 2)) ] || die "that was faster than allowed"
pass
RATE=0
apply cn1 online ld2=rebuilding:7
apply cn1 online

# --- the Controller Node dies under load ------------------------------------------------------------------------------
TABLE=$(table)
cut_under_load() {
	load_begin
	rack cut cn1 --to dn2 # so that the members differ for certain
	sleep 0.5
	rack kill cn1
	rack heal cn1
	rack boot cn1
}
cut_under_load
say "cn1 lost its power"
apply cn1 online
say "assembled: $APPLY_MS ms, $(status)"
until_on 30 "the resync is complete" "dmsetup status --noflush $RAID | grep -q ' AA .* idle '"
say "resynced: $(status)"
same "resyncs asked for" 1 "$(on 'grep -c "resync by dnvme-raidmeta-ld1,dnvme-raidmeta-ld2" /tmp/apply.log')"
same "bytes that differ after the resync" 0 "$(members_differ)"

# The canary: what the kernel makes of the same by itself.
cut_under_load
id=$(python3 -c 'import uuid; print(uuid.uuid4())')
for i in 1 2; do
	on "nvme connect -t tcp -a 10.77.0.1$i -s 4421 -n $(export_nqn $i) -q nqn.2026-11.io.dnvme:trial:node:cn1 \
		-I $id -i 1 >/dev/null"
done
until_on 10 "the namespaces" "[ -b /dev/nvme0n1 -a -b /dev/nvme1n1 ]"
set -- $TABLE
on "for n in 0 1; do i=\$((n + 1))
	dmsetup create dnvme-raidmeta-ld\$i --table \"0 8192 linear /dev/nvme\${n}n1 2048\"
	dmsetup create dnvme-raiddata-ld\$i --table \"0 $2 linear /dev/nvme\${n}n1 10240\"; done
	cd /dev/mapper; dmsetup create $RAID --table \"0 $2 raid raid1 3 0 region_size 1024 2 /dev/mapper/dnvme-raidmeta-ld1 \
	/dev/mapper/dnvme-raiddata-ld1 /dev/mapper/dnvme-raidmeta-ld2 /dev/mapper/dnvme-raiddata-ld2\""
sleep 2 # for a resync that does not come
canary=$(members_differ)
say "canary: assembled without the agent $canary bytes differ, $(status)"
[ "$canary" -gt 0 ] || die "the canary found nothing: the test above proves nothing"
pass
say "$STEPS checks passed"
