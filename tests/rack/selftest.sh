#!/bin/sh
# Does the rig do what it says?  usage: tests/rack/selftest.sh [uml|qemu]…   closing line: N passed, N failed
set -u
DEV=$(dirname "$0")/../../dev
PASSED=0 FAILED=0
DIR=$(mktemp -d)

rack() { "$DEV" rack --name "$NAME" "$@"; }

# check WHAT COMMAND…
check() {
	what=$1
	shift
	if "$@" >"$DIR/out" 2>&1; then
		PASSED=$((PASSED + 1))
		echo "ok    $DRIVER: $what"
	else
		FAILED=$((FAILED + 1))
		echo "FAIL  $DRIVER: $what"
		sed 's/^/      /' "$DIR/out"
	fi
}

not() { ! "$@"; }
status_of() {
	want=$1
	shift
	"$@"
	got=$?
	[ $got -eq "$want" ] || {
		echo "exit status $got, not $want"
		return 1
	}
}
prints() {
	want=$1
	shift
	got=$("$@")
	[ "$got" = "$want" ] || {
		echo "printed '$got', not '$want'"
		return 1
	}
}
# within SECONDS COMMAND…
within() {
	begin=$(date +%s)
	limit=$1
	shift
	"$@" && [ $(($(date +%s) - begin)) -le "$limit" ]
}
ping_from() { rack exec --timeout 10 "$1" "busybox ping -c 1 -W 2 $2"; }

# ---- commands and files ----

separate_streams() {
	rack exec dn1 'echo one; echo two >&2' >"$DIR/o" 2>"$DIR/e" && [ "$(cat "$DIR/o")" = one ] && [ "$(cat "$DIR/e")" = two ]
}
ten_at_once() {
	pids=
	for i in 1 2 3 4 5 6 7 8 9 10; do
		rack exec --timeout 60 cn1 "sleep 0.5; exit $i" &
		pids="$pids $!"
	done
	i=0
	for p in $pids; do
		i=$((i + 1))
		wait "$p"
		[ $? -eq $i ] || return 1
	done
}
put_and_get() {
	head -c 300000 /dev/urandom >"$DIR/file"
	rack put dn1 "$DIR/file" /tmp/file && rack get dn1 /tmp/file "$DIR/back" && cmp "$DIR/file" "$DIR/back"
}
daemon_lives() {
	rack exec dn1 'while sleep 0.2; do echo still here; done & echo $! >/tmp/daemon' && sleep 1 &&
		rack exec dn1 'kill -0 $(cat /tmp/daemon)' && rack console dn1 | grep -q 'still here' &&
		rack exec dn1 'kill $(cat /tmp/daemon)'
}
commands() {
	check "exit status 0" status_of 0 rack exec dn1 true
	check "exit status 37" status_of 37 rack exec dn1 'exit 37'
	check "killed by a signal" status_of 137 rack exec dn1 'kill -9 $$'
	check "arguments stay whole" prints 'a  b|c' rack exec dn1 printf '%s|%s' 'a  b' c
	check "two streams" separate_streams
	check "a time limit" within 4 status_of 124 rack exec --timeout 1 dn1 'sleep 30'
	check "the late command is dead" prints '' rack exec dn1 'busybox pidof sleep || :'
	check "ten commands at once" ten_at_once
	check "a daemon does not hold exec" within 2 rack exec dn1 'sleep 20 &'
	check "a daemon lives on" daemon_lives
	check "put and get" put_and_get
	check "staged program" prints staged rack exec cn1 /opt/dnvme/bin/hello
	check "staged program, by name" prints staged rack exec host1 hello
	check "staged program with its libraries" rack exec cn1 '/opt/dnvme/bin/curl --version'
	check "staged programs are read-only" not rack exec cn1 'echo >/opt/dnvme/bin/new'
	check "server's exit status" status_of 9 rack exec cp1 'exit 9'
	check "server's address" rack exec cp1 'ip addr show eth0 | grep -q 10.77.0.1/'
	check "each its own host NQN" prints "$(rack exec dn1 cat /etc/nvme/hostid | sed 's/0b$/1f/')" \
		rack exec cn1 cat /etc/nvme/hostid
}

# ---- the kernel's data path ----

export_disk() {
	rack exec dn1 '
		set -e
		printf "written before the cut" | dd of=/dev/rack/disk0 bs=4096 seek=256 conv=sync,fsync 2>/dev/null
		dmsetup create ld --table "0 65536 linear /dev/rack/disk0 2048"
		cd /sys/kernel/config/nvmet
		mkdir ports/1
		echo tcp >ports/1/addr_trtype; echo ipv4 >ports/1/addr_adrfam
		echo 10.77.0.11 >ports/1/addr_traddr; echo 4420 >ports/1/addr_trsvcid
		mkdir subsystems/ld; echo 1 >subsystems/ld/attr_allow_any_host
		mkdir subsystems/ld/namespaces/1
		echo /dev/mapper/ld >subsystems/ld/namespaces/1/device_path
		echo 1 >subsystems/ld/namespaces/1/enable
		ln -s /sys/kernel/config/nvmet/subsystems/ld ports/1/subsystems/ld'
}
import_disk() {
	rack exec --timeout 60 cn1 '
		set -e
		echo "nqn=ld,transport=tcp,traddr=10.77.0.11,trsvcid=4420,hostnqn=$(cat /etc/nvme/hostnqn),hostid=$(cat /etc/nvme/hostid),keep_alive_tmo=2,reconnect_delay=1" |
			tee /dev/nvme-fabrics >/dev/null
		for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/nvme0n1 ] && break; sleep 0.3; done
		[ -b /dev/nvme0n1 ]'
}
read_disk() { rack exec --timeout 60 cn1 'dd if=/dev/nvme0n1 bs=4096 count=1 2>/dev/null | tr -d "\0"'; }
device_mapper_targets() {
	rack exec "$1" 'dmsetup targets >/tmp/targets; for t in '"$2"'; do grep -q "^$t " /tmp/targets || { echo "no $t"; exit 1; }; done'
}
trace_events() { rack exec dn1 'ls /sys/kernel/tracing/events/block/block_rq_error/enable && mkdir /sys/kernel/tracing/instances/rack'; }
data_path() {
	check "dm linear, nvmet export" export_disk
	check "import over TCP" import_disk
	check "cn reads what dn wrote" prints "written before the cut" read_disk
	check "device-mapper targets" device_mapper_targets cn1 "linear error raid thin-pool thin mirror flakey delay log-writes crypt"
	check "trace instance with block errors" trace_events
	check "fio" rack exec --timeout 120 cn1 'fio --name=v --filename=/dev/nvme0n1 --offset=1m --size=4m --bs=64k --rw=write --direct=1 --ioengine=libaio --iodepth=4 --verify=crc32c --verify_state_save=0 --output=/dev/null'
}

# ---- the lease in the kernel ----

LEASE='table inet dnvme { set lease { type inet_service; flags timeout; }; chain in { type filter hook input priority 0; tcp dport 4420 tcp dport != @lease reject with tcp reset; }; }'
tcp_from_cn() { rack exec --timeout 10 cn1 'busybox nc -w 2 10.77.0.11 4420 </dev/null'; }
lease() {
	check "lease: rule loads" rack exec dn1 "nft '$LEASE'"
	check "lease: without it, refused" not tcp_from_cn
	check "lease: element with a timeout" rack exec dn1 "nft 'add element inet dnvme lease { 4420 timeout 3s }'"
	check "lease: with it, accepted" tcp_from_cn
	sleep 4
	check "lease: refused after it ran out" not tcp_from_cn
	check "lease: table goes" rack exec dn1 "nft delete table inet dnvme"
	check "lease: accepted without the table" tcp_from_cn
}

# ---- faults ----

faults() {
	check "ping server to guest" ping_from cp1 10.77.0.11
	check "ping guest to server" ping_from dn1 10.77.0.1
	check "cut" rack cut dn1
	check "cut: no ping in" not ping_from cn1 10.77.0.11
	check "cut: no ping out" not ping_from dn1 10.77.0.1
	check "cut: others see each other" ping_from cn1 10.77.0.51
	check "cut: exec still works" rack exec --timeout 5 dn1 true
	check "heal" rack heal dn1
	check "heal: ping" ping_from cn1 10.77.0.11
	check "cut from one" rack cut dn1 --from cn1
	check "cut from one: no ping" not ping_from cn1 10.77.0.11
	check "cut from one: ping to another" ping_from dn1 10.77.0.51
	check "heal by the other's name" rack heal cn1
	check "heal: ping again" ping_from cn1 10.77.0.11
	check "cut one way" rack cut dn1 --to host1
	check "cut one way: status shows it" sh -c "'$DEV' rack --name $NAME status | grep -q 'dn1→host1'"
	check "cut one way: no answer" not ping_from host1 10.77.0.11
	check "heal one way" rack heal dn1
	check "cut server" rack cut cp1
	check "cut server: no ping" not ping_from cp1 10.77.0.11
	check "heal server" rack heal cp1
	check "heal server: ping" ping_from cp1 10.77.0.11
	check "freeze" rack freeze cn1
	check "freeze: no answer" not rack exec --timeout 2 cn1 true
	check "thaw" rack thaw cn1
	check "thaw: answer" rack exec --timeout 20 cn1 true
	check "freeze and thaw a server" servers_freeze
	check "kill" rack kill dn1
	check "kill: a second time is refused" not rack kill dn1
	check "kill: off" status_of 125 rack exec --timeout 3 dn1 true
	check "boot" rack boot dn1
	check "boot: the disk kept its content" prints "written before the cut" \
		rack exec dn1 'dd if=/dev/rack/disk0 bs=4096 skip=256 count=1 2>/dev/null | tr -d "\0"'
	check "boot: reachable at once" ping_from cp1 10.77.0.11
	check "kill ends a waiting exec" within 5 kill_under_exec
}
servers_freeze() {
	rack exec cp1 sleep 100 &
	server=$!
	sleep 0.3
	rack freeze cp1 && grep -q '^State:.*stopped' "/proc/$(pgrep -P $server -x sleep || echo $server)/status" &&
		rack thaw cp1 && rack kill cp1 && status_of 137 wait $server
}
kill_under_exec() {
	rack exec dn1 'sleep 60' &
	waiting=$!
	sleep 0.5
	rack kill dn1 && status_of 125 wait $waiting
}

# ---- nothing stays ----

nothing_stays() {
	! ip netns list | grep "^dnvme-$NAME" && ! grep "dnvme-$NAME" /proc/mounts && ! [ -e "$STATE" ] &&
		! pgrep -af "$STATE"
}

second_up() { not rack up --driver "$DRIVER" --dn 1 --cn 0 --host 0 --servers 0 && rack exec --timeout 20 cn1 true; }
interrupted_up() {
	timeout -s TERM 0.7 "$DEV" rack --name "$NAME" up --driver "$DRIVER" --dn 2 --cn 0 --host 0
	sleep 0.5
	nothing_stays
}

for DRIVER in "${@:-uml}"; do
	NAME=selftest-$DRIVER-$$
	STATE=${DNVME_RACK_DIR:-/var/tmp/dnvme-rack}/$NAME
	printf '#!/bin/sh\necho staged\n' >"$DIR/hello"
	chmod +x "$DIR/hello"
	trap 'rack down; rm -rf "$DIR"' EXIT
	trap 'exit 130' INT TERM
	check "up" rack up --driver "$DRIVER" --dn 1 --cn 1 --host 1 --servers 1 --disk-size 256M --install "$DIR/hello" --install "$(command -v curl)"
	commands
	data_path
	lease
	faults
	check "a second up is refused, and harms nothing" second_up
	check "down" rack down
	check "down leaves nothing" nothing_stays
	check "down twice" rack down
	check "an interrupted up leaves nothing" interrupted_up
done
echo "$PASSED passed, $FAILED failed"
[ $FAILED -eq 0 ]
