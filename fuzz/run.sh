#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh PROGRAM SOURCE NAME SECONDS [libFuzzer option…]: fuzz from the corpus that is checked in. Inputs that fail are
# kept in PROGRAM.found; FUZZ_KEEP names a folder for what it learns on the way, which goes otherwise.
set -eu
program=$1 source=$2 name=$3 seconds=$4
shift 4
[ -d /dev/shm ] && parent=/dev/shm || parent=/tmp
TMPDIR=$(mktemp -d "$parent/dnvme-fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Memory that was freed is kept for a while to find late uses; much of it makes each input slower.
export ASAN_OPTIONS=quarantine_size_mb=8:malloc_context_size=4:detect_leaks=1
mkdir -p "$program.found" "$TMPDIR/new"
# Room for something to be added to the largest input.
largest=$(find "$source/corpus/$name" -type f -printf '%s\n' | sort -n | tail -n 1)
"$program" -max_len=$((largest > 2048 ? 2 * largest : 4096)) -dict="$source/dictionary/$name.dict" \
	-artifact_prefix="$program.found/" -max_total_time="$seconds" -print_final_stats=1 -timeout=20 -rss_limit_mb=2048 "$@" "${FUZZ_KEEP:-$TMPDIR/new}" "$source/corpus/$name"
