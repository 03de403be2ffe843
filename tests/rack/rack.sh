# shellcheck shell=sh
# The rack: virtual machines as nodes, network namespaces as servers, and what can befall them.
#
# State of a rack, in $DNVME_RACK_DIR/NAME: shape (sourced), disks/, stage/ (the guests' /opt/dnvme), cuts, and for each
# guest a folder with pid and console.log.

. "$RACK_SRC/common.sh"
. "$RACK_SRC/network.sh"
. "$RACK_SRC/stage.sh"
. "$RACK_SRC/uml-kernel.sh"
. "$RACK_SRC/stock-kernel.sh"

CMD_PORT=7000

rack_usage() {
	cat <<'E'
usage: ./dev rack [--name RACK] VERB …

  up [--driver uml|qemu] [--kernel 6.1|6.12] [--dn N] [--cn N] [--host N] [--servers N] [--disks N] [--disk-size SIZE]
     [--install PATH]…              three dn, three cn, one host, three servers, one disk of 2G for each dn;
                                    --kernel is what uml guests run: $DNVME_RACK_KERNEL, or 6.1, where it is not given;
                                    --install puts a program, or all of a folder, into the guests' /opt/dnvme/bin
  down                              end it, leave nothing
  status                            the nodes, their addresses and states
  exec [--timeout S] NODE COMMAND…  one argument: for the shell; more: run as they are.  124: too late, 125: node is lost
  put NODE FILE PATH                copy a file into a guest
  get NODE PATH FILE                and out of it
  kill NODE    boot NODE            power cut; start again with the same disks
  freeze NODE  thaw NODE            stop its time; let it go on
  cut NODE [--from OTHER|--to OTHER]…
                                    drop all its packets; those from and to OTHER; only those to OTHER; all at once
  heal NODE                         undo every cut that names NODE
  console NODE                      what its kernel said, and daemons that were started with exec
  list                              the racks of this machine
  module [--kernel 6.1|6.12] SOURCE OUT
                                    build an out-of-tree kernel module for the uml guests
  kernel [6.1|6.12]                 build the kernel of the uml guests, if it is not there; print its folder
E
}

# ---- names and state ----

rack_select() {
	case $1 in
	'' | *[!a-z0-9-]*) die "a rack's name is made of a-z, 0-9 and -: $1" ;;
	esac
	[ ${#1} -le 24 ] || die "the name $1 is longer than 24 characters"
	RACK_NAME=$1
	RACK=${DNVME_RACK_DIR:-/var/tmp/dnvme-rack}/$1
}

rack_load() {
	[ -f "$RACK/shape" ] || die "there is no rack $RACK_NAME: ./dev rack up"
	# shellcheck source=/dev/null
	. "$RACK/shape"
	# shellcheck source=/dev/null
	. "$RACK_SRC/driver-$DRIVER.sh"
}

numbered() { seq -f "$1%.0f" 1 "$2"; }
guests() {
	numbered dn "$DN"
	numbered cn "$CN"
	numbered host "$HOST"
}
nodes() {
	guests
	numbered cp "$SERVERS"
}
node_disks() {
	[ "$(node_kind "$1")" != dn ] || seq -f "$1-%.0f" 0 $((DISKS - 1))
}
need_node() { nodes | grep -qxF "${1:-}" || die "the rack $RACK_NAME has no node ${1:-''}: it has $(nodes | tr '\n' ' ')"; }
need_guest() {
	need_node "$1"
	! node_is_server "$1" || die "$1 is a namespace of this machine, not a guest: $2"
}

# ---- up and down ----

rack_up() {
	DRIVER=uml kernel= DN=3 CN=3 HOST=1 SERVERS=3 DISKS=1 DISK_SIZE=2G
	install=
	while [ $# -gt 0 ]; do
		[ $# -ge 2 ] || die "$1 needs a value"
		case $1 in
		--driver) DRIVER=$2 ;;
		--kernel) kernel=$2 ;;
		--dn) DN=$2 ;;
		--cn) CN=$2 ;;
		--host) HOST=$2 ;;
		--servers) SERVERS=$2 ;;
		--disks) DISKS=$2 ;;
		--disk-size) DISK_SIZE=$2 ;;
		--install) install="$install$(realpath -e "$2")
" ;;
		*) die "rack up: unknown option $1" ;;
		esac
		shift 2
	done
	for n in "$DN" "$CN" "$HOST" "$SERVERS" "$DISKS"; do
		case $n in
		'' | *[!0-9]*) die "not a number: $n" ;;
		esac
	done
	[ "$DN" -le 20 ] && [ "$CN" -le 20 ] && [ "$HOST" -le 20 ] && [ "$SERVERS" -le 10 ] && [ "$DISKS" -le 8 ] ||
		die "at most 20 nodes of a kind, 10 servers, 8 disks"
	case $DRIVER in
	uml | qemu) ;;
	*) die "unknown driver $DRIVER: uml or qemu" ;;
	esac
	[ -z "$kernel" ] || [ "$DRIVER" = uml ] || die "--kernel is for uml: the qemu guests run this Debian's own kernel"
	uml_kernel_select "${kernel:-$KERNEL}"
	need_root "rack up"
	rack_setup
	# shellcheck source=/dev/null
	. "$RACK_SRC/driver-$DRIVER.sh"
	mkdir -p "$RACK"
	# Whatever ends this half-way leaves nothing.
	trap 'rack_up_failed' EXIT
	trap 'exit 130' INT TERM
	[ ! -f "$RACK/shape" ] || {
		trap - EXIT
		die "the rack $RACK_NAME is up already: ./dev rack down"
	}
	{
		for name in DRIVER KERNEL DN CN HOST SERVERS DISKS DISK_SIZE; do
			eval "echo \"$name=\$$name\""
		done
	} >"$RACK/shape"
	begin=$(date +%s%N)
	: >"$RACK/cuts"
	mkdir -p "$RACK/disks"
	for node in $(guests); do
		mkdir -p "$RACK/$node"
		for disk in $(node_disks "$node"); do truncate -s "$DISK_SIZE" "$RACK/disks/$disk"; done
	done
	stage_make "$install"
	driver_prepare
	# shellcheck disable=SC2046 # a list of words
	network_up $(nodes)
	boot_all "$(guests)"
	trap - EXIT INT TERM
	say "$RACK_NAME: $(guests | wc -l) guests answered after $((($(date +%s%N) - begin) / 1000000)) ms"
}

rack_up_failed() {
	status=$?
	trap - EXIT
	rack_down
	exit "$status"
}

# Starts all of them, then waits for each.
boot_all() {
	for node in $1; do driver_start "$node"; done
	failed=
	for node in $1; do
		guest_run "$node" -w -t "$DRIVER_BOOT_LIMIT" -- true 2>/dev/null || {
			say "$node did not come up; the end of its console:"
			tail -n 20 "$RACK/$node/console.log" >&2
			failed="$failed $node"
		}
	done
	[ -z "$failed" ] || die "dead, or silent for $DRIVER_BOOT_LIMIT s:$failed"
}

rack_down() {
	[ -d "$RACK" ] || return 0
	need_root "rack down"
	if [ -f "$RACK/shape" ]; then
		rack_load
		for node in $(guests); do driver_kill "$node" || :; done
		for node in $(guests); do guest_await_end "$node"; done
	fi
	network_down
	rm -rf "${RACK:?}"
}

guest_await_end() {
	tries=0
	while process_alive "$RACK/$1/pid"; do
		tries=$((tries + 1))
		[ $tries -lt 500 ] || die "$1 (process $pid) does not end"
		sleep 0.02
	done
}

rack_status() {
	rack_load
	running=$DRIVER
	[ "$DRIVER" != uml ] || running="uml, Linux $KERNEL"
	echo "rack $RACK_NAME, driver $running, in $RACK"
	for node in $(nodes); do
		state=up
		if node_is_server "$node"; then
			state=namespace
		elif ! process_alive "$RACK/$node/pid"; then
			state=off
		elif grep -q '^State:.*stopped' "/proc/$pid/status"; then
			state=frozen
		fi
		cuts=$(awk -v n="$node" '$1 == n || $2 == n { printf " %s→%s", $1, $2 }' "$RACK/cuts")
		printf '%-7s %-12s %s%s\n' "$node" "$(node_address "$node")" "$state" "${cuts:+, cut:$cuts}"
	done
}

rack_list() {
	for shape in "${DNVME_RACK_DIR:-/var/tmp/dnvme-rack}"/*/shape; do
		[ ! -f "$shape" ] || basename "$(dirname "$shape")"
	done
}

# ---- commands in nodes ----

# guest_run NODE OPTION… -- COMMAND…
guest_run() {
	node=$1
	shift
	process_alive "$RACK/$node/pid" || {
		say "$node is off"
		return 125
	}
	address=$(node_address "$node")
	options=
	while [ "$1" != -- ]; do
		options="$options $1"
		shift
	done
	shift
	# shellcheck disable=SC2086 # $options is a list of words
	"$RACK/stage/rack/cmd" run -n "/run/netns/$(network_ns)" -p "$pid" $options "$address" "$CMD_PORT" "$@"
}

rack_exec() {
	limit=
	if [ "${1:-}" = --timeout ]; then
		limit=${2:?--timeout needs seconds}
		shift 2
	fi
	need_node "${1:-}"
	target=$1
	shift
	[ $# -gt 0 ] || die "rack exec $target: no command"
	[ $# -gt 1 ] || set -- sh -c "$1"
	if node_is_server "$target"; then
		exec ${limit:+timeout "$limit"} nsenter --net="/run/netns/$(network_server_ns "$target")" "$@"
	fi
	guest_run "$target" ${limit:+-t "$limit"} -- "$@"
}

rack_put() {
	[ $# -eq 3 ] || die "usage: rack put NODE FILE PATH"
	need_guest "$1" "copy the file with cp"
	[ -r "$2" ] || die "cannot read $2"
	mode=$(stat -c %a "$2")
	# shellcheck disable=SC2016 # for the guest's shell
	guest_run "$1" -i "$(realpath "$2")" -- sh -c 'cat >"$1.part" && chmod "$2" "$1.part" && mv "$1.part" "$1"' put "$3" "$mode"
}

rack_get() {
	[ $# -eq 3 ] || die "usage: rack get NODE PATH FILE"
	need_guest "$1" "copy the file with cp"
	guest_run "$1" -- cat "$2" >"$3"
}

# ---- what can befall them ----

rack_kill() {
	need_node "${1:-}"
	if node_is_server "$1"; then
		network_signal KILL "$(network_server_ns "$1")"
		return
	fi
	driver_kill "$1" || die "$1 is off"
	guest_await_end "$1"
	rm -f "$RACK/$1/pid"
}

rack_boot() {
	for node in "$@"; do
		need_guest "$node" "start its programs"
		! process_alive "$RACK/$node/pid" || die "$node is up already"
	done
	[ $# -gt 0 ] || die "boot which node?"
	boot_all "$*"
}

rack_freeze() {
	need_node "${1:-}"
	if node_is_server "$1"; then network_signal STOP "$(network_server_ns "$1")"; else driver_freeze "$1"; fi
}

rack_thaw() {
	need_node "${1:-}"
	if node_is_server "$1"; then network_signal CONT "$(network_server_ns "$1")"; else driver_thaw "$1"; fi
}

rack_cut() {
	need_node "${1:-}"
	cut_node=$1
	shift
	[ $# -gt 0 ] || {
		network_cut "$cut_node all"
		return
	}
	pairs=
	while [ $# -gt 0 ]; do
		[ $# -ge 2 ] || die "rack cut NODE [--from OTHER|--to OTHER]…"
		need_node "$2"
		case $1 in
		--from) pairs="$pairs$cut_node $2
$2 $cut_node
" ;;
		--to) pairs="$pairs$cut_node $2
" ;;
		*) die "rack cut NODE [--from OTHER|--to OTHER]…" ;;
		esac
		shift 2
	done
	network_cut "${pairs%
}"
}

rack_heal() {
	need_node "${1:-}"
	network_heal "$1"
}

rack_console() {
	need_guest "${1:-}" "it has no console"
	cat "$RACK/$1/console.log"
}

# The user-mode kernel, built if it is not in the cache yet: for who wants to have that over before a rack is raised.
rack_kernel() {
	[ $# -eq 0 ] || uml_kernel_select "$1"
	rack_setup
	uml_kernel
}

rack() {
	rack_select "${DNVME_RACK:-demo}"
	while [ "${1:-}" = --name ]; do
		rack_select "${2:-}"
		shift 2
	done
	verb=${1:-help}
	[ $# -eq 0 ] || shift
	# The name may stand after the verb, too.
	if [ "${1:-}" = --name ]; then
		rack_select "${2:-}"
		shift 2
	fi
	case $verb in
	up | down | list) "rack_$verb" "$@" ;;
	module) uml_module "$@" ;;
	kernel) rack_kernel "$@" ;;
	status | exec | put | get | kill | boot | freeze | thaw | cut | heal | console)
		rack_load
		"rack_$verb" "$@"
		;;
	help | --help | -h) rack_usage ;;
	*)
		rack_usage >&2
		exit 2
		;;
	esac
}
