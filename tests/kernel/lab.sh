# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-or-later
# A cluster on a rack: servers, agents, disks. Sourced by the tests of this folder and by `./dev demo`.
#
# Set before: ROOT, BIN (folder of the programs), LAB (name of the rack), DRIVER.

SERVERS=10.77.0.1:7420,10.77.0.2:7420,10.77.0.3:7420
LAB_STATE=${TMPDIR:-/tmp}/dnvme-lab-$LAB
BEGIN_MS=$(date +%s%3N)

seconds() {
	lab_now=$(($(date +%s%3N) - BEGIN_MS))
	printf '%d.%d' $((lab_now / 1000)) $((lab_now % 1000 / 100))
}
step() { printf '%6ss  %s\n' "$(seconds)" "$*"; }
fail() {
	printf '%6ss  FAILED: %s\n' "$(seconds)" "$*" >&2
	exit 1
}

rack() { "$ROOT/dev" rack --name "$LAB" "$@"; }
on() { rack exec --timeout 120 "$@"; }

# The command line as an operator on cp1 would use it.
cli() { rack exec --timeout "${CLI_TIMEOUT:-120}" cp1 "$BIN/dnvme" --server "$SERVERS" "$@"; }

# Wait until a command succeeds; what it said last is the reason of a failure.
wait_until() { # SECONDS WHAT COMMAND…
	lab_limit=$(($(date +%s) + $1))
	lab_what=$2
	shift 2
	until lab_said=$("$@" 2>&1); do
		[ "$(date +%s)" -lt "$lab_limit" ] || fail "$lab_what: $lab_said"
		sleep 0.2
	done
}

server_start() { # NUMBER
	mkdir -p "$LAB_STATE/cp$1"
	# Nothing of this shell's output stays with the daemon: who reads it would wait for ever.
	(
		exec </dev/null >>"$LAB_STATE/cp$1.log" 2>&1
		# shellcheck disable=SC2086 # a list of words
		rack exec "cp$1" setsid "$BIN/dnvmed" --id "$1" --listen "10.77.0.$1:7420" --raft "10.77.0.$1:7421" \
			--data "$LAB_STATE/cp$1" $SERVER_OPTIONS
	) &
}

node_address() {
	case $1 in
	dn*) echo "10.77.0.$((10 + ${1#dn}))" ;;
	cn*) echo "10.77.0.$((30 + ${1#cn}))" ;;
	host*) echo "10.77.0.$((50 + ${1#host}))" ;;
	esac
}

agent_start() { # NODE
	lab_only=
	case $1 in dn*) lab_only=--storage-only ;; esac
	on "$1" "mkdir -p /run/dnvme; setsid dnvme-agent --node $1 --address $(node_address "$1") --server $SERVERS \
		--label rack=r${1#?n} $lab_only </dev/null >>/run/dnvme/agent.log 2>&1 & echo \$! >/run/dnvme/agent.pid"
}

node_is_online() { cli node get "$1" -o json | python3 -c 'import json,sys; sys.exit(json.load(sys.stdin)["health"] != "online")'; }

# The path of the first disk that the node offers.
node_disk() {
	cli node get "$1" -o json | python3 -c '
import json, sys
free = [disk["path"] for disk in json.load(sys.stdin)["inventory"] if not disk["in_use"]]
sys.exit("no free disk") if not free else print(free[0])'
}

# Nothing switches the write cache of ubd off; that of virtio-blk the agent does.
disk_add() { # NODE DEVICE
	case $DRIVER in
	uml) cli disk add "$1" "$2" --accept-volatile-cache ;;
	*) cli disk add "$1" "$2" ;;
	esac
}

lab_up() { # DN CN HOST
	LAB_DN=$1 LAB_CN=$2
	rm -rf "$LAB_STATE"
	mkdir -p "$LAB_STATE"
	rack up --driver "$DRIVER" --dn "$1" --cn "$2" --host "$3" --servers 3 --disk-size 4G --install "$BIN/dnvme-agent" \
		--install "$BIN/dnvme" ${LAB_INSTALL:+--install "$BIN/$LAB_INSTALL"}
	step "the rack is up: $1 Disk Nodes, $2 Controller Nodes, $3 host, 3 servers ($DRIVER)"
	for lab_i in 1 2 3; do server_start "$lab_i"; done
	wait_until 20 "the servers answer" cli cluster init --name lab
	step "the Raft group is formed"
	for lab_i in $(seq "$1"); do agent_start "dn$lab_i"; done
	for lab_i in $(seq "$2"); do agent_start "cn$lab_i"; done
	for lab_i in $(seq "$1"); do wait_until 30 "dn$lab_i is online" node_is_online "dn$lab_i"; done
	for lab_i in $(seq "$2"); do wait_until 30 "cn$lab_i is online" node_is_online "cn$lab_i"; done
	for lab_i in $(seq "$1"); do
		disk_add "dn$lab_i" "$(node_disk "dn$lab_i")" >/dev/null || fail "disk add dn$lab_i"
	done
	step "nodes and disks are there"
}

lab_down() {
	rack down >/dev/null 2>&1 || :
}

lab_logs() {
	for lab_i in 1 2 3; do
		echo "--- cp$lab_i"
		tail -n 15 "$LAB_STATE/cp$lab_i.log" 2>/dev/null || :
	done
	for lab_node in $(seq -f 'dn%.0f' "$LAB_DN") $(seq -f 'cn%.0f' "$LAB_CN"); do
		echo "--- $lab_node"
		rack exec --timeout 5 "$lab_node" 'tail -n 15 /run/dnvme/agent.log; dmesg | tail -n 5' 2>/dev/null || :
	done
}

# What of ours is in the kernel of a node: device-mapper, nvmet, imports. Nothing printed: nothing left.
node_leftovers() {
	on "$1" 'dmsetup ls 2>/dev/null | grep ^dnvme- || :
		ls /sys/kernel/config/nvmet/subsystems /sys/kernel/config/nvmet/hosts 2>/dev/null | grep io.dnvme || :
		cat /sys/class/nvme-subsystem/*/subsysnqn 2>/dev/null | grep io.dnvme || :'
}

all_are_clean() {
	lab_left=
	for lab_node in $(seq -f 'dn%.0f' "$LAB_DN") $(seq -f 'cn%.0f' "$LAB_CN") host1; do
		lab_one=$(node_leftovers "$lab_node")
		[ -z "$lab_one" ] || lab_left="$lab_left$lab_node: $lab_one
"
	done
	[ -z "$lab_left" ] || {
		echo "$lab_left"
		return 1
	}
}

# Write with verification headers through one path, read back through another: the others are cut off by the
# controller's ANA state being the same, so the choice is made at the host, by disconnecting the rest.
fio_run() { # DEVICE MODE
	on host1 "fio --name=verify --filename=$1 --bs=64k --direct=1 --ioengine=libaio --iodepth=8 --size=${FIO_SIZE:-48M} \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 $2 --output-format=terse --terse-version=3" >"$LAB_STATE/fio.log" 2>&1 ||
		fail "fio $2: $(tail -n 5 "$LAB_STATE/fio.log")"
}

host_nqn() { on host1 'cat /etc/nvme/hostnqn'; }
host_connect() { on host1 dnvme --server "$SERVERS" host connect "$1" --timeout 60; }
host_disconnect() { on host1 dnvme --server "$SERVERS" host disconnect "$1"; }
