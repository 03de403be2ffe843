#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# An import whose other side goes away while the connection is made, or made anew: by a power cut, or because its export is
# taken away just then. The kernel does not notice that by itself and waits for the answer; all other imports of the node
# wait with it, and so does who takes that one down. It has to be over soon.
#
# usage: connect.sh DRIVER BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
LAB=${LAB:-connect-$DRIVER}
. "$ROOT/tests/kernel/lab.sh"
LIMIT_MS=9000 # what the kernel waits for an answer, and what its timers round up
NQN=nqn.2026-11.io.dnvme:0000000000000000:slot:d1.v1.s0:e1
CLOSES=20001 SILENT=20002 REAL=20003

finish() {
	status=$?
	trap - EXIT
	[ "$status" -eq 0 ] || on cn1 'dmesg | tail -n 30' >&2 || :
	[ -n "${KEEP:-}" ] || lab_down
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

vanish() { # PORT [closes]
	on host1 "setsid gate_probe vanish $* </dev/null >/run/vanished.$1 2>&1 & echo \$! >/run/vanish.pid
		until grep -q $(printf ':%04X ' "$1") /proc/net/tcp; do sleep 0.02; done"
}
# Each prints how it ended, after how many milliseconds.
cat >"${TMPDIR:-/tmp}/connect-$$" <<S
once() { # import|drop PORT
	b=\$(date +%s%3N)
	if gate_probe \$1 $(node_address host1) \$2 $NQN 2>/run/said.\$2; then how=made; else how=failed; fi
	echo "\$how \$((\$(date +%s%3N) - b))"
}
S
in_time() { # WHAT HOW WANTED MS
	[ "$2" = "$3" ] || fail "$1: $2, after $4 ms: $(on cn1 'cat /run/said.*')"
	[ "$4" -le $LIMIT_MS ] || fail "$1: $2 after $4 ms"
	step "$1: $2 after $4 ms"
}

rm -rf "$LAB_STATE"
mkdir -p "$LAB_STATE"
rack up --driver "$DRIVER" --dn 0 --cn 1 --host 1 --servers 0 --install "$BIN/gate_probe"
rack put cn1 "${TMPDIR:-/tmp}/connect-$$" /run/once
rm -f "${TMPDIR:-/tmp}/connect-$$"
step "the rack is up ($DRIVER)"
vanish $CLOSES closes
vanish $SILENT
on host1 "cd /sys/kernel/config/nvmet && mkdir subsystems/$NQN ports/7 && echo 1 >subsystems/$NQN/attr_allow_any_host &&
	cd ports/7 && echo tcp >addr_trtype && echo ipv4 >addr_adrfam && echo $(node_address host1) >addr_traddr &&
	echo $REAL >addr_trsvcid && ln -s ../../subsystems/$NQN subsystems/" || fail "host1 exports nothing"

# shellcheck disable=SC2046 # the words of a line
set -- $(on cn1 ". /run/once; once import $CLOSES >/run/first & sleep 1; once import $REAL; wait; cat /run/first")
in_time "the peer ends the connection in its middle" "$3" failed "$4"
in_time "another import, begun 1 s later" "$1" made "$2"
[ "$(on host1 "cat /run/vanished.$CLOSES")" = vanished ] || fail "the connection did not get as far as it should"
# shellcheck disable=SC2046 # the words of a line
set -- $(on cn1 ". /run/once; once import $SILENT")
in_time "the peer falls silent in its middle" "$1" failed "$2"
[ "$(on host1 "cat /run/vanished.$SILENT")" = vanished ] || fail "the connection did not get as far as it should"
[ "$(on cn1 "cat /sys/class/nvme/nvme*/state")" = live ] || fail "not one import alone is left, and it lives"
step "the other import lives, and of those that failed nothing is left"

# The export goes, the kernel connects again by itself, and meets the same.
on host1 "cd /sys/kernel/config/nvmet/ports && rm 7/subsystems/* && rmdir 7" || fail "host1 keeps its export"
vanish $REAL
reconnects() { on host1 "grep vanished /run/vanished.$REAL"; }
wait_until 20 "the import connects again" reconnects
# shellcheck disable=SC2046 # the words of a line
set -- $(on cn1 ". /run/once; once drop $REAL")
in_time "an import is given up while it is connected again" "$1" made "$2"
[ -z "$(on cn1 "ls /sys/class/nvme")" ] || fail "an import is left"
