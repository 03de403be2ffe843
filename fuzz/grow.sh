#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# grow.sh PROGRAM FOUND CORPUS: add to a corpus what reaches something that it does not reach, the smallest first, up to
# 90 KB in all.
set -eu
program=$1 found=$2 corpus=$3
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
mkdir "$TMPDIR/merged"
cp "$corpus"/* "$TMPDIR/merged"
"$program" -merge=1 "$TMPDIR/merged" "$found" >"$TMPDIR/log" 2>&1 || {
	cat "$TMPDIR/log"
	exit 1
}
find "$TMPDIR/merged" -type f ! -name 'seed-*' -printf '%s %p\n' | sort -n | while read -r size path; do
	used=$(find "$corpus" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
	[ $((used + size)) -le 90000 ] || break
	cp "$path" "$corpus"
done
