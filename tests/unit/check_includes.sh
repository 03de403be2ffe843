#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Holds every #include to the edges that docs/ARCHITECTURE.md allows. Prints each other edge and fails.
set -eu
cd "$1"
allowed='
src:raft src:fsm src:store src:lib
raft:lib
fsm:store fsm:lib
store:lib
agent:lib
client:lib
'
list=$(mktemp)
trap 'rm -f "$list"' EXIT
bad=0
for folder in lib store fsm raft src agent client; do
	[ -d "$folder" ] || continue
	grep -rnE --include='*.[ch]' --include='*.def' '^[[:space:]]*#[[:space:]]*include' "$folder" |
		sed -nE 's/^([^:]*):([0-9]+):[^<"]*[<"]([^>"]*)[>"].*/\1 \2 \3/p' >"$list" || :
	while read -r file line header; do
		case $header in
		lmdb.h) [ "$folder" = store ] || { echo "$file:$line: only store/ may include <lmdb.h>"; bad=1; } ;;
		raft.h | raft/uv.h | raft/fixture.h) [ "$folder" = raft ] || { echo "$file:$line: only raft/ may include <$header>"; bad=1; } ;;
		libdevmapper.h | libnvme.h)
			case $file in
			agent/backend/linux/* | client/cli/host_* | lib/net/keep_alive.c) ;;
			*)
				echo "$file:$line: only agent/backend/linux, client/cli/host_* and lib/net/keep_alive.c may include <$header>"
				bad=1
				;;
			esac ;;
		lib/* | store/* | fsm/* | raft/* | src/* | agent/* | client/*)
			target=${header%%/*}
			[ "$target" = "$folder" ] && continue
			case $allowed in
			*"$folder:$target"*) ;;
			*) echo "$file:$line: $folder must not include $header"; bad=1 ;;
			esac ;;
		esac
	done <"$list"
done
exit $bad
