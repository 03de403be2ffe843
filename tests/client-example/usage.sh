#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# usage: usage.sh PROGRAM — what the command line says to people who hold it wrong, and to those who ask for help.
set -u
dnvme=$1
unset DNVME_SERVERS
LC_ALL=C.UTF-8
export LC_ALL
failures=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# expect STATUS TEXT ARGUMENT… – TEXT must be in the output
expect() {
	want=$1 text=$2
	shift 2
	status=0
	"$dnvme" "$@" >"$output" 2>&1 || status=$?
	if [ "$status" -ne "$want" ] || ! grep -qF -e "$text" "$output"; then
		echo "FAILED: dnvme $*: status $status instead of $want, or no \"$text\" in:"
		sed 's/^/    /' "$output"
		failures=$((failures + 1))
	fi
}

nothing=127.0.0.1:1
expect 0 "volume create" --help
expect 0 "Exit status: 0 done, 1 refused, 2 usage, 3 unavailable, 4 timed out." --help
expect 0 "dnvme 0." --version
for noun in cluster node disk volume host; do
	expect 0 "Usage: dnvme $noun" $noun --help
	expect 2 "Usage: dnvme $noun" $noun
	expect 2 "$noun has no verb \"fly\"" $noun fly
done
for command in "cluster init" "cluster status" "cluster add-server" "cluster remove-server" "cluster replace-server" "cluster transfer" "cluster backup" "cluster check" "volume release" "volume explain" "node list" "node get" "node cordon" "node uncordon" "node forget" \
	"disk add" "disk list" "disk get" "disk remove" "volume create" "volume list" "volume get" "volume delete" \
	"volume attach" "volume detach" "host list" "host connect" "host watch" "host disconnect"; do
	# shellcheck disable=SC2086
	expect 0 "Usage: dnvme $command" $command --help
	# shellcheck disable=SC2086
	expect 2 "unrecognized option '--fly'" $command --fly
done
expect 2 "Usage: dnvme"
expect 2 'there is no "volum"' volum
expect 2 "an argument is missing: volume get needs VOLUME" volume get
expect 2 '"b" is one argument too many' volume get a b
expect 2 "no server is given" volume list
expect 2 'server "a:b": "b" is not a port' -s "a:b" volume list
expect 2 'server "::1" has more than one colon' -s ::1 volume list
expect 2 'port 70000 is not between 1 and 65535' -s 127.0.0.1:70000 volume list
expect 2 'the list of servers has an empty entry' -s 127.0.0.1:1,, volume list
expect 2 '--output "xml" is neither table nor json' -o xml volume list
expect 2 '--timeout "0" is zero' --timeout 0 volume list
expect 2 '--timeout "3x" has no known unit' volume list --timeout 3x
expect 2 '--size is missing' -s $nothing volume create a
expect 2 '--size "0" is zero' volume create a --size 0
expect 2 '--size "12XB": there is no unit "XB"' volume create a --size 12XB
expect 2 '--size "-1GiB" is negative' volume create a --size=-1GiB
expect 2 '--size "1.5GiB" has a fraction' volume create a --size 1.5GiB
expect 2 '--size "16EiB" does not fit into 64 bits' volume create a --size 16EiB
expect 2 '--size 8 EiB is more than the largest volume, 4 EiB' -s $nothing volume create a --size 8EiB
expect 2 '--size 512 KiB is less than the smallest volume, 1 MiB' -s $nothing volume create a --size 512K
expect 2 '--size 1048577 is not a multiple of 4096 bytes' -s $nothing volume create a --size 1048577
expect 2 '--copies 5 is not from 1 to 4' volume create a --size 1G --copies 5
expect 2 '--copies 0 is not from 1 to 4' volume create a --size 1G --copies 0
expect 2 '--legs "x" is not a number' volume create a --size 1G --legs x
expect 2 '--controllers 17 is not from 1 to 16' volume create a --size 1G --controllers 17
expect 2 '--spread "moon" is none of node, rack, zone' volume create a --size 1G --spread moon
expect 2 'cluster init needs --name' -s $nothing cluster init
expect 2 '--io-policy "fast" is none of numa, round-robin, queue-depth' host connect a --io-policy fast
expect 2 'name one volume, or use --all' -s $nothing host connect
expect 2 'name one volume, or use --all' -s $nothing host connect a b
expect 2 'name one volume, or use --all' -s $nothing host connect a --all
expect 3 "cannot tell which volumes host nqn.2014-08.org.x:h is attached to: cannot reach server $nothing" -s $nothing \
	--timeout 200ms host connect --all --host-nqn nqn.2014-08.org.x:h
expect 1 'name "UPPER" is not a valid name' -s $nothing node get UPPER
expect 3 "cannot list volumes: cannot reach server $nothing: Connection refused" -s $nothing --timeout 200ms volume list
expect 3 "  127.0.0.1:2: Connection refused" -s $nothing,127.0.0.1:2 --timeout 200ms volume list
expect 3 "server $nothing" -s $nothing --timeout 200ms cluster init --name a

[ "$failures" -eq 0 ] || exit 1
