#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Has spin check the models: the promises hold in every instance, a healed world is served again, and each planted error
# is found. `check.sh` takes 80 s of one processor, `check.sh long` checks larger instances. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
long=${1:-}
command -v spin >/dev/null || {
	echo "spin is not installed: ./dev setup"
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
bad=0
model=failover
search=-DBFS # the shortest trail

# run OPTIMISATION KIND FLAGS…: what pan says is in "out".
run() {
	optimise=$1
	kind=$2
	shift 2
	rm -f pan* ./*.trail
	spin -a "$@" "$here/$model.pml" >out 2>&1 || {
		cat out
		exit 1
	}
	# shellcheck disable=SC2086 # a list of words
	gcc "$optimise" -w -DSAFETY $kind -o pan pan.c
	./pan -m200000 -w"${HASH:-22}" >out 2>&1 || :
}

# What the search was, in one line: 123 states stored, 456 transitions, depth 78.
said() {
	sed -n -e 's/^ *\([0-9]*\) states, stored$/\1 states stored/p' -e 's/^ *\([0-9]*\) transitions .*/, \1 transitions/p' \
		-e 's/.*depth reached \([0-9]*\),.*/\1/p' out | tr '\n' ' ' |
		sed 's/^\([0-9]*\) \([0-9]* states stored\) \(, [0-9]* transitions\).*/\2\3, depth \1/'
}

# holds NAME FLAGS…: no promise is broken, whatever happens.
holds() {
	name=$1
	shift
	run "${OPTIMISE:--O0}" "${COLLAPSE:-}" "$@"
	if grep -q 'errors: 0' out && ! grep -q -e 'not completed' -e 'max search depth' -e 'out of memory' out; then
		echo "holds  $name: $(said)"
		return
	fi
	bad=1
	echo "BROKEN $name ($*): $(said)"
	tell "$@"
}

# finds NAME FLAGS…: an error that was planted breaks a promise.
finds() {
	name=$1
	run -O0 "$search" "-D$@"
	if grep -q 'errors: 1' out && grep -q 'assertion violated' out; then
		echo "finds  $name: $(said)"
		return
	fi
	bad=1
	echo "MISSED $name ($*): $(said)"
}

# What happened, step by step.
tell() {
	grep -e 'pan:' -e 'error' out || :
	[ ! -f "$model.pml.trail" ] || spin "$@" -k "$model.pml.trail" -t -T "$here/$model.pml" | sed '/^#processes/,$d'
}

# size WRITES EPOCHS GIVE_UPS REBUILDS CN_REBOOTS DN_REBOOTS LEADERS
size() {
	echo "-DWRITES=$1 -DEPOCHS=$2 -DGIVE_UPS=$3 -DREBUILDS=$4 -DCN_REBOOTS=$5 -DDN_REBOOTS=$6 -DLEADERS=$7"
}

# shellcheck disable=SC2046,SC2086 # lists of words
check_failover() {
	model=failover
	case $long in
	'')
		holds "one move" $(size 2 2 0 0 0 0 1)
		holds "one move, a node boots" $(size 2 2 0 0 1 0 0)
		holds "one move, a Disk Node boots" $(size 2 2 0 0 0 1 0)
		holds "a rebuild" $(size 3 1 2 2 0 0 0)
		holds "a healed world is served" -DPROGRESS $(size 2 2 0 0 0 0 0)
		;;
	long)
		OPTIMISE=-O2 COLLAPSE=-DCOLLAPSE HASH=26
		holds "two moves" $(size 2 3 0 0 0 0 1)
		holds "one move and a rebuild" $(size 3 2 1 1 0 0 0)
		holds "one move, both kinds of nodes boot" $(size 2 2 0 0 1 1 0)
		holds "a rebuild, and nodes boot" $(size 3 1 2 2 1 1 0)
		holds "one move, three Controller Nodes" -DCNS=3 $(size 2 2 0 0 0 0 0)
		holds "a healed world is served: one move, a node boots" -DPROGRESS $(size 2 2 0 0 1 0 0)
		holds "a healed world is served: a rebuild" -DPROGRESS $(size 3 1 1 1 0 0 0)
		;;
	*)
		echo "usage: check.sh [long]"
		exit 2
		;;
	esac
	base=$(size 2 2 0 0 0 0 0)
	finds FENCE_SKIPPED $base
	finds FENCE_WITHOUT_DRAIN $base
	finds FENCE_NOT_AWAITED $(size 2 2 1 0 0 0 0)
	finds DROPPED_UNASKED $base
	finds EXPORTED_TOO_EARLY $base
	finds GATE_NOT_AWAITED $base
	finds GATE_TOO_SHORT $base
	finds GATE_NEEDS_ITS_AGENT $base
	finds CHECK_BLIND $base
	finds BARRIER_SKIPPED $(size 2 2 0 0 0 0 1)
	finds GATES_FORGOTTEN $(size 2 2 0 0 0 0 1)
	finds REBUILT_TOO_EARLY $(size 3 1 1 1 0 0 0)
	finds IN_SYNC_TOO_EARLY $(size 3 1 1 1 0 0 0)
	finds NEVER_GIVEN_UP -DPROGRESS $base
	finds RETURN_UNCHECKED $base
	finds REBUILT_UNHEARD $(size 3 1 1 1 0 0 0)
}

# One cut in each of them.
check_striped() {
	model=striped
	search= # much sooner
	case $long in
	'')
		holds "two slots, another leader" -DMOVES=0 -DLEADERS=1
		holds "two slots, one begins anew" -DMOVES=1
		holds "two slots: a healed world is served" -DMOVES=0 -DPROGRESS
		;;
	long)
		holds "two slots and a standby" -DMOVES=0 -DSTANDBY_IS_THERE
		holds "two slots, a node boots" -DMOVES=0 -DREBOOTS=1
		holds "two slots: a healed world is served, one begins anew" -DMOVES=1 -DPROGRESS
		;;
	esac
	finds ADMITTED_ALWAYS -DLET_IN_AGAIN -DMOVES=0
	finds SILENCE_NOT_SHUT_OUT -DMOVES=0
	finds PARTED_ONE_SIDE -DMOVES=0
	finds NO_PATHS_AWAITED -DMOVES=1 -DCUTS=0
	finds FOLLOWS_LATE -DMOVES=0 -DLEADERS=1
	finds LEFT_WHILE_STALLED -DMOVES=0
	finds LET_IN_AGAIN -DMOVES=1
	finds RESTART_FORGOTTEN -DMOVES=1
	finds LEFT_UNSEEN -DMOVES=1
}

check_failover
check_striped
exit $bad
