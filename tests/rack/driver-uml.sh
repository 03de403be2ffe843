# shellcheck shell=sh
# Guests as user-mode Linux: processes of this machine, with its files as their root.
#
# A driver defines: driver_prepare, driver_memory KIND, driver_start NODE, driver_kill NODE, driver_freeze NODE,
# driver_thaw NODE, DRIVER_BOOT_LIMIT.

DRIVER_BOOT_LIMIT=60

driver_memory() {
	case $1 in
	dn) echo 192 ;;
	cn) echo 256 ;;
	host) echo 192 ;;
	esac
}

# Guest memory is a file in /dev/shm that grows with use; a guest that finds it full dies of SIGBUS.
driver_prepare() {
	kernel=$(uml_kernel)
	ln -sfn "$kernel" "$RACK/kernel"
	cp "$RACK_SRC/init-uml.sh" "$RACK/init"
	chmod +x "$RACK/init"
	need=0
	for node in $(guests); do need=$((need + $(driver_memory "$(node_kind "$node")"))); done
	have=$(($(stat -f -c '%a * %S' /dev/shm) / 1048576))
	[ "$have" -ge "$need" ] || die "the guests need $need MB in /dev/shm, which has $have MB left"
}

driver_start() {
	disks=
	for disk in $(node_disks "$1"); do
		disks="$disks ubd${disk##*-}=$RACK/disks/$disk"
	done
	mkdir -p "$RACK/run"
	# shellcheck disable=SC2086 # $disks is a list of words
	TMPDIR=/dev/shm setsid nsenter --net="/run/netns/$(network_ns)" "$RACK/kernel/linux" \
		mem="$(driver_memory "$(node_kind "$1")")M" umid="$1" uml_dir="$RACK/run" \
		root=/dev/root rootfstype=hostfs rootflags=/ ro init="$RACK/init" quiet panic=-1 con=null con0=null,fd:1 $disks \
		"vec0:transport=tap,ifname=$1,depth=128,gro=1,mac=$(node_mac "$1")" \
		"rack.name=$1" "rack.address=$(node_address "$1")" "rack.id=$(node_octet "$1")" "rack.stage=$RACK/stage" \
		</dev/null >>"$RACK/$1/console.log" 2>&1 &
	process_record "$RACK/$1/pid" $!
}

# The whole group: without its main process, the stubs of the guest's own processes would spin.
driver_kill() {
	process_alive "$RACK/$1/pid" || return 1
	kill -s KILL -- -"$pid"
	rm -rf "${RACK:?}/run/$1"
}

# The main process only: a guest panics if its stubs stop under it.
driver_freeze() { process_alive "$RACK/$1/pid" && kill -STOP "$pid"; }
driver_thaw() { process_alive "$RACK/$1/pid" && kill -CONT "$pid"; }
