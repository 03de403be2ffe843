#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The gate in a real kernel: an established connection lives while the gate is refreshed, and is reset soon after the
# last refresh, whatever became of the process; a new one is refused; no refresh opens it again. What goes out to legs goes by
# the same gate, and it is not opened while some are imported. Ports of legs are behind the
# same gate, and each admits by itself: a peer that is not admitted keeps the connection that it has, and gets no other. One that
# was silent for too long loses what it has, and is let in again when its old connections must be gone. One that is let in
# once in a generation is.
#
# usage: gate.sh DRIVER BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
DRIVER=$1 BIN=$2
LAB=${LAB:-gate-$DRIVER}
. "$ROOT/tests/kernel/lab.sh"
PORT=4420
LATE_MS=300 # how much later than its time an element may have run out for a client

finish() {
	status=$?
	trap - EXIT
	[ -n "${KEEP:-}" ] || lab_down
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

node() { on cn1 "gate_probe $*"; }
client() { on host1 "gate_probe echo 10.77.0.31 $PORT ${1:-}"; }
client_is() { # WHAT TIMES: connects and is answered, or is refused
	said=$(client "${2:-3}")
	[ "$said" = "$1" ] || fail "the client said \"$said\", not \"$1\""
}

# What a client saw of a gate that was last refreshed at LAST with TIMEOUT.
client_ended() { # FILE LAST TIMEOUT
	# shellcheck disable=SC2046 # the words of a line
	set -- "$@" $(cat "$1")
	[ "${4:-}" = ended ] && [ "$5" = ECONNRESET ] || fail "the client said \"$(cat "$1")\""
	after=$(($6 - $2))
	[ "$after" -ge $(($3 - 60)) ] && [ "$after" -le $(($3 + LATE_MS)) ] ||
		fail "the connection ended $after ms after a refresh of $3 ms"
	[ "$7" -ge 20 ] || fail "only $7 echoes"
	step "established connection: $7 echoes, ECONNRESET $after ms after the last refresh of $3 ms"
}

rm -rf "$LAB_STATE"
mkdir -p "$LAB_STATE"
rack up --driver "$DRIVER" --dn 0 --cn 1 --host 1 --servers 0 --install "$BIN/gate_probe" --install "$BIN/dnvme-agent"
step "the rack is up ($DRIVER)"
on cn1 "setsid gate_probe serve $PORT </dev/null >/dev/null 2>&1 &"
client_echoes() { client 1 | grep echoed; }
wait_until 10 "the server listens" client_echoes
node guard $PORT
[ "$(node read $PORT)" = 0 ] || fail "a gate that was just made is open"
client_is "refused ECONNREFUSED"
step "guarded: a new connection is refused"

# The holder refreshes for five seconds, then kills itself.
node hold $PORT 1000 250 20 >"$LAB_STATE/hold" 2>/dev/null &
holder=$!
wait_until 5 "the gate opens" client_echoes
client >"$LAB_STATE/client"
wait "$holder" || :
client_ended "$LAB_STATE/client" "$(sed -n 's/^last //p' "$LAB_STATE/hold")" 1000
client_is "refused ECONNREFUSED"
refuses() { # WORDS COMMAND…: and the gate stays shut
	words=$1 && shift
	said=$(node "$@" 2>&1) && fail "$* is done"
	case $said in *"$words"*) ;; *) fail "$*: $said, not \"$words\"" ;; esac
	[ "$(node read $PORT)" = 0 ] || fail "the gate is open after $*"
}
refuses "has run out" refresh $PORT 60000
client_is "refused ECONNREFUSED"
node open $PORT 60000
client_is "echoed 3"
node refresh $PORT 60000
client_is "echoed 3"
node shut $PORT
client_is "refused ECONNREFUSED"
refuses "has run out" refresh $PORT 60000
node shut $PORT
step "what ran out or was shut is not refreshed, and can be opened"

# What goes out to the legs of another slot, which are imported from host1.
OUT=20005
NQN=nqn.2026-11.io.dnvme:0000000000000000:leg:v1.s1.cn1
on host1 "setsid gate_probe serve 20006 </dev/null >/dev/null 2>&1 &
	cd /sys/kernel/config/nvmet && mkdir subsystems/$NQN ports/7 && echo 1 >subsystems/$NQN/attr_allow_any_host &&
	cd ports/7 && echo tcp >addr_trtype && echo ipv4 >addr_adrfam && echo $(node_address host1) >addr_traddr &&
	echo $OUT >addr_trsvcid && ln -s ../../subsystems/$NQN subsystems/" || fail "host1 exports nothing"
import() { on cn1 "gate_probe $1 $(node_address host1) $OUT $NQN"; }
state_is() { on cn1 "cat /sys/class/nvme/nvme*/state" | grep -x "$1"; }
import import >/dev/null 2>&1 && fail "legs are imported by a shut gate"
node open $PORT 60000
import import
state_is live || fail "no import by an open gate"
on cn1 "nft add element inet dnvme remote4 '{ $(node_address host1) . 20006 }'"
out() { on cn1 "gate_probe echo $(node_address host1) 20006 ${1:-}"; }
[ "$(out 3)" = "echoed 3" ] || fail "nothing goes out by an open gate"
# In one command, as one takes a while to get there.
on cn1 "gate_probe open $PORT 3000 && gate_probe echo $(node_address host1) 20006" >"$LAB_STATE/client"
grep -q "ended ECONNRESET" "$LAB_STATE/client" || fail "out by a gate that runs out: $(cat "$LAB_STATE/client")"
[ "$(out 3)" = "refused ECONNREFUSED" ] || fail "a connection is made by a shut gate"
wait_until 10 "the import breaks" state_is connecting
refuses "since before the gate was shut" open $PORT 60000
on cn1 "nft flush ruleset; gate_probe guard $PORT"
refuses "since before the gate was shut" open $PORT 60000
on cn1 "nft list set inet dnvme remote4" | grep -q $OUT || fail "the import is forgotten"
# It may have come back while there were no rules.
wait_until 10 "the import breaks" state_is connecting
on cn1 "for i in \$(seq 25); do cat /sys/class/nvme/nvme*/state; sleep 0.1; done" | grep -x live &&
	fail "the import came back by a shut gate"
import drop
on cn1 "nft list set inet dnvme remote4" | grep -q $OUT && fail "an import that is gone is known"
node open $PORT 60000
[ "$(out 3)" = "echoed 3" ] || fail "nothing goes out by a gate that was opened again"
node shut $PORT
step "nothing goes out by a shut gate, and it stays shut while legs are imported"

# Agents come and go, and none of them has a leader: what is left of the time runs on.
left_ms=60000
last=$(on cn1 "gate_probe open $PORT $left_ms && cut -d' ' -f1 /proc/uptime >/run/last; gate_probe read $PORT")
[ "$last" -le "$left_ms" ] && [ "$last" -gt $((left_ms / 2)) ] || fail "$last ms are left of $left_ms"
on cn1 "cd /run; for i in 1 2; do
	dnvme-agent --node cn1 --address 10.77.0.31 --server 10.77.0.1:7420 --port $PORT </dev/null >>agent.log 2>&1 &
	pid=\$!; looks=0
	until [ \$(grep -c 'agent started' agent.log) -ge \$i ]; do
		looks=\$((looks + 1)); [ \$looks -lt 100 ] || exit 1; sleep 0.05; done
	kill -9 \$pid; wait \$pid 2>/dev/null; done; gate_probe guard $PORT; gate_probe read $PORT;
	cut -d' ' -f1 /proc/uptime; cat /run/last" >"$LAB_STATE/agents" || fail "no agent ran: $(on cn1 'cat /run/agent.log')"
python3 - "$left_ms" "$LAB_STATE/agents" <<'P' || fail "agents disturbed the time that was left"
import sys
left, after, before = open(sys.argv[2]).read().split()[-3:]
spent = (float(after) - float(before)) * 1000
print(f"        of {sys.argv[1]} ms, {left} ms are left after {spent:.0f} ms with two agents killed")
sys.exit(int(left) == 0 or abs(int(sys.argv[1]) - spent - int(left)) > 500)
P
step "agents that were started and killed left the time as it was"

# Somebody reloads the firewall of the machine.
on cn1 "nft flush ruleset"
node open $PORT 60000
client_is "echoed 3"
node shut $PORT
client_is "refused ECONNREFUSED"
step "to open it guards the port again after the rules were flushed"

# Ports of the legs of two volumes. A peer that is heard all the time is refused only where it is not admitted.
PEER=$(node_address host1)
LEG=20001 OTHER=20002
peer() { # VERB PORT ARGUMENTS…
	verb=$1 port=$2 && shift 2
	on host1 "gate_probe $verb 10.77.0.31 $port $*"
}
leg_is() { # PORT WHAT
	said=$(peer echo $1 3)
	[ "$said" = "$2" ] || fail "at port $1 the client said \"$said\", not \"$2\""
}
leg_echoes() { peer echo $1 1 | grep echoed; }
leg_refused() { peer echo $1 1 | grep refused; }
talks() { # PORT INTERVAL TIMES: in the background
	peer talk $1 $2 $3 >"$LAB_STATE/client" &
	talker=$!
}
talked() { # WHAT
	wait "$talker" || :
	grep -q "$1" "$LAB_STATE/client" || fail "a peer that speaks: $(cat "$LAB_STATE/client"), not $1"
}
node open $PORT 600000
said=$(peer talk $PORT 2500 2)
[ "$said" = "echoed 2" ] || fail "a host that was silent: $said"
step "a host may be silent"
for port in $LEG $OTHER; do
	on cn1 "setsid gate_probe serve $port </dev/null >/dev/null 2>&1 &"
	wait_until 10 "the server listens" leg_echoes $port
	node join $PORT $port
	leg_is $port "refused ECONNREFUSED"
done
step "a port that joined the gate lets in nobody"
node admit $PORT 600000 "$PEER" $LEG
leg_is $LEG "echoed 3"
leg_is $OTHER "refused ECONNREFUSED"
client_is "echoed 3"
step "who is admitted there is not at another one, and is any host at the port of the node"
talks $LEG 10 1000
wait_until 10 "the peer is let in" leg_echoes $LEG
node admit $PORT 600000 "$PEER" $OTHER
leg_is $LEG "refused ECONNREFUSED"
leg_is $OTHER "echoed 3"
talked "echoed 1000"
step "who is not admitted any more keeps what it has and gets no other"
talks $OTHER 10 2000
wait_until 10 "the peer is let in" leg_echoes $OTHER
node shut $PORT
talked "ECONNRESET"
leg_is $OTHER "refused ECONNREFUSED"
step "a shut gate ends connections there, too"
on cn1 "nft flush ruleset"
node admit $PORT 600000 "$PEER" $LEG
leg_is $LEG "refused ECONNREFUSED"
node open $PORT 600000
talks $LEG 100 60
wait_until 10 "the peer is let in" leg_echoes $LEG
node admit $PORT 1500 "$PEER" $LEG
wait_until 5 "the admission runs out" leg_refused $LEG
talked "echoed 60"
node leave $LEG
node shut $PORT
leg_is $LEG "echoed 3"
node open $PORT 600000
node join $PORT $OTHER
step "the rules come back after a flush; an admission ends by itself; a port that left is open"

# Who is heard, and how often. No process but the servers is on the node from here on.
was_cut() { # FILE: the connection that stood was reset, and the next one came as soon as it may
	# shellcheck disable=SC2046 # the words of a line
	set -- "$1" $(cat "$1")
	[ "${3:-}" = ECONNRESET ] || fail "a peer that was silent: $(cat "$1")"
	shift 2
	[ "$6" -ge 4900 ] && [ "$6" -le 5600 ] && [ "$8" -gt 10 ] || fail "a peer that was shut out: $*"
	step "a peer that was silent: reset after $3 ms, let in after $6 ms and $8 refusals"
}
node admit $PORT 600000 "$PEER" $LEG
talks $LEG 500 14
for _ in 1 2 3; do node guard $PORT; done
talked "echoed 14"
step "a peer that speaks every 500 ms stays"
peer silence $LEG 1800 >"$LAB_STATE/silent" || fail "no connection"
was_cut "$LAB_STATE/silent"
peer silence $LEG 2500 >"$LAB_STATE/silent" &
silence=$!
for _ in 1 2 3; do node guard $PORT; done
wait "$silence" || fail "no connection"
was_cut "$LAB_STATE/silent"
step "the same while agents start"
node admit $PORT 600000 "$PEER" $OTHER
talks $OTHER 500 16
wait_until 10 "the peer is let in" leg_echoes $OTHER
node admit $PORT 600000 "$PEER" $LEG
peer silence $LEG 3000 >"$LAB_STATE/silent" || fail "no connection"
grep -q answered "$LAB_STATE/silent" || fail "a peer that speaks at another port: $(cat "$LAB_STATE/silent")"
talked "echoed 16"
step "who speaks at the port of another volume is there"
beats() { # INTERVAL TIMES: datagrams, as agents send them
	on host1 "bash -c 'for i in \$(seq $2); do printf . >/dev/udp/10.77.0.31/$OTHER; sleep $1; done'"
}
beats 0.25 40 &
beating=$!
peer silence $LEG 4000 >"$LAB_STATE/silent" || fail "no connection"
grep -q answered "$LAB_STATE/silent" || fail "a peer that beats: $(cat "$LAB_STATE/silent")"
wait "$beating" || fail "no beats"
step "whose agent beats is there"
on host1 "setsid gate_probe silence 10.77.0.31 $LEG 6000 knock </dev/null >/run/silent 2>&1 &"
wait_until 20 "the peer is let in" on host1 "grep -q in /run/silent"
node admit $PORT 0 "$PEER" $LEG
on cn1 "sleep 2" # until it is not heard any more
beats 0.25 20
wait_until 20 "the peer speaks" on host1 "grep after /run/silent"
echo "$lab_said" | grep -q ECONNRESET || fail "a peer that was silent, and then beats: $lab_said"
node admit $PORT 600000 "$PEER" $LEG
step "a beat brings nobody back"
on host1 "setsid gate_probe silence 10.77.0.31 $LEG 6000 knock </dev/null >/run/silent 2>&1 &"
wait_until 20 "the peer is let in" on host1 "grep -q in /run/silent"
node admit $PORT 0 "$PEER" $LEG
wait_until 20 "the peer speaks" on host1 "grep after /run/silent" # however it was answered
echo "$lab_said" | grep -q ECONNRESET || fail "a peer that knocks only: $lab_said"
step "whoever knocks without being admitted is not heard"

# Once in a generation, however long it is admitted.
join_is() { # WHAT GENERATION: what an agent is told that admits the peer
	said=$(node admit $PORT 600000 "$PEER" $LEG $2)
	[ "$said" = "$1" ] || fail "in generation $2 the peer is \"$said\", not \"$1\""
}
node admit $PORT 600000 "$PEER" $LEG
wait_until 10 "the peer is let in" leg_echoes $LEG
beats 0.25 100 & # all the time
beating=$!
join_is out 7
said=$(peer consume $LEG 400 4)
[ "$said" = "connected 4" ] || fail "an import whose connections come one after the other: $said"
join_is joined 7
on cn1 "sleep 1"
for _ in 1 2 3; do leg_is $LEG "refused ECONNREFUSED"; done
on cn1 "nft get element inet dnvme heard4 '{ $PEER }'" || fail "the peer is not heard"
join_is joined 7
leg_is $LEG "refused ECONNREFUSED"
step "whose connections ended is refused, though admitted, also by the next agent"
join_is out 8
peer silence $LEG 5000 >"$LAB_STATE/silent" &
silence=$!
has_joined() { node admit $PORT 600000 "$PEER" $LEG 8 | grep joined; }
wait_until 10 "the peer is let in" has_joined
on cn1 "sleep 1"
leg_is $LEG "refused ECONNREFUSED"
wait "$silence" || fail "no connection"
grep -q answered "$LAB_STATE/silent" || fail "a connection of a peer that is refused: $(cat "$LAB_STATE/silent")"
step "in the next generation it is let in once; a connection goes on"
join_is out 9
said=$(peer consume $LEG 900 3)
[ "$said" = "connected 1" ] || fail "an import that takes too long: $said"
node admit $PORT 600000 "$PEER" $LEG
leg_is $LEG "echoed 3"
on cn1 "sleep 1"
leg_is $LEG "echoed 3"
wait "$beating" || fail "no beats"
step "what comes too late is refused; without a generation nobody is"

# Somebody takes the rules away while an agent runs, and while none does.
rules_are_back() { on cn1 "nft get element inet dnvme legs '{ $LEG }'"; }
node admit $PORT 600000 "$PEER" $LEG
on cn1 "setsid gate_probe hold $PORT 60000 250 40 $LEG </dev/null >/run/hold 2>&1 &"
talks $LEG 20 350 # so often that no moment without the right to serve is missed
wait_until 10 "the peer is let in" leg_echoes $LEG
for _ in 1 2 3; do
	on cn1 "nft flush ruleset"
	wait_until 5 "the rules are back" rules_are_back
done
talked "echoed 350"
wait_until 20 "the holder dies" on cn1 "grep last /run/hold"
talks $LEG 500 14
node admit $PORT 600000 "$PEER" $LEG
wait_until 10 "the peer is let in" leg_echoes $LEG
on cn1 "nft flush ruleset"
node open $PORT 600000
node admit $PORT 600000 "$PEER" $LEG
talked ECONNRESET
step "who was heard stays when the rules come back; not when an agent finds none"
step "cost: $(node cost $PORT 200)"
