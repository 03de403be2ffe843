#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# First light on a rack with a real kernel: create, connect, write through one controller and read through the other,
# restart an agent under I/O, detach, delete, and nothing is left in any kernel. Then a disk with a filesystem is refused.
#
# usage: first_light.sh DRIVER BIN [SHAPE…]     a shape is COPIES:CONTROLLERS:STANDBYS:LEGS
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
shift 2
[ $# -gt 0 ] || set -- 2:2:1:2
LAB=${LAB:-light-$DRIVER} SERVER_OPTIONS=${SERVER_OPTIONS:-}
. "$ROOT/tests/kernel/lab.sh"

finish() {
	status=$?
	trap - EXIT
	[ "$status" -eq 0 ] || lab_logs
	[ -n "${KEEP:-}" ] || lab_down
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Paths of the host to the volume, one controller a line: nvmeX address.
host_paths() {
	on host1 "for c in /sys/class/nvme/nvme*; do
		grep -q ':volume:' \$c/subsysnqn && echo \"\${c##*/} \$(sed 's/.*traddr=\\([^,]*\\).*/\\1/' \$c/address)\"; done"
}

# Only this controller stays connected: what fio does next goes through it.
only_through() { # ADDRESS
	host_paths | while read -r path address; do
		[ "$address" = "$1" ] || on host1 "echo 1 >/sys/class/nvme/$path/delete_controller" </dev/null
	done
}

# Device-mapper names, uuids and event numbers: the same before and after says that nothing was made again.
fingerprint() { on "$1" 'dmsetup info -c --noheadings -o name,uuid,major,minor,events | sort; ls /sys/kernel/config/nvmet/subsystems; ls /sys/class/nvme'; }

# One pass, so that no block is written twice, with a seed of its own each time: fio then knows the one header that each
# block must hold, and finds one that came back from an earlier pass. With time_based fio 3.33 takes the headers of one
# pass for wrong in the next; with verify_backlog it takes any header for right.
agent_restart_under_fio() { # NODE DEVICE
	before=$(fingerprint "$1")
	FIO_SEED=$((${FIO_SEED:-0} + 1))
	on host1 "fio --name=steady --filename=$2 --bs=16k --direct=1 --ioengine=libaio --iodepth=4 --rw=randrw --size=32M \
		--rate=2M,2M --randseed=$FIO_SEED --verify=crc32c --verify_fatal=1 --verify_state_save=0" >"$LAB_STATE/steady.log" 2>&1 &
	steady=$!
	on "$1" 'kill -9 $(cat /run/dnvme/agent.pid)'
	agent_start "$1"
	wait_until 20 "$1 is online after its agent was killed" node_is_online "$1"
	wait "$steady" || fail "fio while the agent of $1 was killed: $(tail -n 5 "$LAB_STATE/steady.log")"
	after=$(fingerprint "$1")
	[ "$before" = "$after" ] || fail "the restarted agent of $1 changed the kernel:
$before
--- after
$after"
	step "agent of $1 killed and restarted under fio: no error, no device made again"
}

run_shape() { # COPIES CONTROLLERS STANDBYS LEGS
	name=db1
	cli volume create $name --size 256MiB --copies "$1" --controllers "$2" --standbys "$3" --legs "$4" >/dev/null ||
		fail "volume create"
	step "volume $name: $1 copies, $2 active controllers, $3 standby, $4 legs each"
	cli volume attach $name "$(host_nqn)" >/dev/null || fail "volume attach"
	device=$(host_connect $name) || fail "host connect"
	step "host1 is connected: $device"
	cli volume get $name
	actives=$(cli volume get $name -o json | python3 -c '
import json, sys
print(*[path["address"] for path in json.load(sys.stdin)["paths"] if path["role"] == "active"])')
	first=${actives%% *} last=${actives##* }
	only_through "$first"
	fio_run "$device" "--rw=write --do_verify=0"
	step "fio wrote through $first"
	host_connect $name >/dev/null || fail "host connect again"
	only_through "$last"
	fio_run "$device" "--rw=read --verify_only"
	step "fio read and verified through $last"
	host_connect $name >/dev/null || fail "host connect again"
	if [ -z "${SKIP_RESTART:-}" ]; then
		agent_restart_under_fio cn1 "$device"
		agent_restart_under_fio dn1 "$device"
		SKIP_RESTART=done
	fi
	host_disconnect $name >/dev/null || fail "host disconnect"
	cli volume detach $name "$(host_nqn)" >/dev/null || fail "volume detach"
	cli volume delete $name >/dev/null || fail "volume delete"
	wait_until 30 "nothing is left in any kernel" all_are_clean
	step "volume deleted; nothing of it is left in any kernel"
}

# What the node tells of a disk: nothing when it is free.
disk_user() { # NODE PATH
	cli node get "$1" -o json | python3 -c '
import json, sys
print(*[disk.get("used_by", "") for disk in json.load(sys.stdin)["inventory"] if disk["path"] == sys.argv[1]])' "$2"
}
disk_is_used_by() { # NODE PATH TEXT
	said=$(disk_user "$1" "$2")
	[ "$said" = "$3" ] || {
		echo "$2 of $1 is used by \"$said\", not by \"$3\""
		return 1
	}
}

# The disk leaves the cluster, is used for something else, and comes back only when that is gone.
used_disk() {
	path=$(cli disk list -o json | python3 -c '
import json, sys
print(*[disk["id"] + " " + disk["path"] for disk in json.load(sys.stdin)["disks"] if disk["node"] == "dn1"])')
	id=${path%% *} path=${path#* }
	cli disk remove "$id" >/dev/null || fail "disk remove $id"
	wait_until 20 "what our volumes left on $path is nobody's" disk_is_used_by dn1 "$path" ""
	for use in "mkfs.ext4 -q -F $path|filesystem ext4" "mkswap $path|signature swap"; do
		on dn1 "${use%|*}" >/dev/null || fail "${use%|*} on dn1"
		wait_until 20 "dn1 tells" disk_is_used_by dn1 "$path" "${use#*|}"
		if refusal=$(disk_add dn1 "$path" 2>&1); then fail "dn1 gave away a disk with a ${use#*|}"; fi
		case $refusal in
		*"in use: ${use#*|}"*"wipefs -a $path"*) ;;
		*) fail "disk add was refused so: $refusal" ;;
		esac
		step "a disk with a ${use#*|} is refused"
		on dn1 "wipefs -a $path" >/dev/null || fail "wipefs on dn1"
		wait_until 20 "dn1 tells that $path is free" disk_is_used_by dn1 "$path" ""
	done
	disk_add dn1 "$path" >/dev/null || fail "disk add after wipefs"
	step "without it, it is a Disk Node again"
}

lab_up "${DN:-3}" "${CN:-3}" 1
for shape in "$@"; do
	old=$IFS
	IFS=:
	# shellcheck disable=SC2086 # four numbers
	set -- $shape
	IFS=$old
	run_shape "$@"
done
used_disk
cli cluster status
step "done"
