#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# shorten.sh SIMULATE SEED WORDS: the first seed from there on that a planted bug (DNVME_CANARY) makes fail with these words is
# shortened. What is left must be less, and fail in the same way.
set -eu
simulate=$1
words=$3
seed=$("$simulate" --size small --seed "$2" --seeds 500 2>&1 | sed -n "s/^sim: seed \([0-9]*\) fails .*$words.*/\1/p")
[ -n "$seed" ] || { echo "no seed fails so"; exit 1; }
found=$("$simulate" --size small --seed "$seed" --shorten)
echo "$found"
kept=$(echo "$found" | sed -n 's/^\([0-9]*\) of [0-9]* faults are enough.*/\1/p')
all=$(echo "$found" | sed -n 's/^[0-9]* of \([0-9]*\) faults are enough.*/\1/p')
[ "$kept" -lt "$all" ] || { echo "nothing was left out"; exit 1; }
[ "$(echo "$found" | grep -c '^fault ')" -le "$kept" ] || { echo "other faults happened"; exit 1; }
options=$(echo "$found" | sed -n 's,^ *\./dev sim ,,p')
# shellcheck disable=SC2086 # options are words
again=$("$simulate" $options 2>&1) && { echo "it does not fail again"; exit 1; }
echo "$again" | grep "^sim: seed $seed fails .*$words"
