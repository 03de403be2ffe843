#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Each function that the models name after "code:" is defined in this repository. Prints each other one and fails.
set -eu
cd "$1"
names=$(sed -nE 's,^[[:space:]]*(/\*|\*) code: (.*)$,\2,p' docs/model/*.pml | tr -s ' ' '\n' | grep -v '^\*/$' | sort -u)
count=0
bad=0
for name in $names; do
	count=$((count + 1))
	# A definition begins a line, and does not end it with a semicolon.
	grep -rqE --include='*.c' "^[a-z][a-z_0-9 *]*[ *]$name\(" src fsm agent raft lib || {
		echo "a model names $name, which is no function"
		bad=1
	}
done
echo "$count functions are named"
[ "$count" -ge 100 ] || {
	echo "there should be more"
	bad=1
}
exit $bad
