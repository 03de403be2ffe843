#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# canary.sh PROGRAM SOURCE NAME SECONDS: a program with a planted bug. Fuzzing from the corpus must find it in that time,
# and the corpus alone must not: then nothing would show that mutation works.
set -eu
program=$1 source=$2 name=$3 seconds=$4
log=$program.log
export DNVME_CANARY=fuzz_length
tell() {
	grep -avE '^#[0-9]+|NEW_FUNC' "$log" || :
	echo "$1"
	exit 1
}
"$source/run.sh" "$program" "$source" "$name" 60 -runs=0 >"$log" 2>&1 || tell "the corpus fails by itself"
if "$source/run.sh" "$program" "$source" "$name" "$seconds" -seed=1 >"$log" 2>&1; then
	tell "the planted bug was not found in $seconds s"
fi
# A length of 64 where 63 is the limit: UBSan or ASan sees it, whichever comes first.
grep -aqE 'codec_field.c:[0-9:]+ runtime error: index 64 out of bounds|stack-buffer-overflow' "$log" ||
	tell "something else was found than what was planted"
echo "found after $(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1) executions"
