#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel module builds, without a warning, for every kernel whose headers are installed. 77: there are none.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
built=0
for headers in /lib/modules/*/build; do
	[ -f "$headers/Makefile" ] || continue
	release=${headers%/build}
	release=${release##*/}
	cp -r "$1" "$work/$release"
	make -C "$headers" M="$work/$release" KCFLAGS=-Werror modules >"$work/log" 2>&1 || {
		cat "$work/log"
		echo "it does not build for $release"
		exit 1
	}
	[ -f "$work/$release/dm-writethrough.ko" ]
	echo "built for $release"
	built=$((built + 1))
done
[ $built -gt 0 ] || {
	echo "skipped: no kernel headers are installed (linux-headers-…)"
	exit 77
}
