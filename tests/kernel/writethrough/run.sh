#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The write-through target on a real kernel: power cuts while blocks of a thin device are mapped. Without the target
# acknowledged writes are lost (the canary: the test can see it), with it none are.
#
# usage: run.sh [--cost]      --cost also measures what the target costs, as ratios
set -eu
ROOT=$(cd "$(dirname "$0")/../../.." && pwd)
HERE=$ROOT/tests/kernel/writethrough
LAB=writethrough
STATE=$(mktemp -d)
rack() { "$ROOT/dev" rack --name $LAB "$@"; }
on() { rack exec --timeout 120 dn1 "$@"; }
fail() {
	echo "FAILED: $*" >&2
	exit 1
}
finish() {
	status=$?
	trap - EXIT
	rack down >/dev/null 2>&1 || :
	rm -rf "$STATE"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

DATA=1048576 # sectors
# The stack: thin pool on the disk, a thin device, and TOP on it.
stack() { # TOP [again]
	on "set -e; export DM_DISABLE_UDEV=1; disk=/dev/rack/disk0
		dmsetup create meta --table \"0 32768 linear \$disk 0\"
		dmsetup create data --table \"0 $DATA linear \$disk 32768\"
		[ '${2:-}' = again ] || dd if=/dev/zero of=/dev/mapper/meta bs=4096 count=1 oflag=direct 2>/dev/null
		dmsetup create pool --table '0 $DATA thin-pool /dev/mapper/meta /dev/mapper/data 128 100 0'
		[ '${2:-}' = again ] || dmsetup message pool 0 'create_thin 0'
		dmsetup create thin --table '0 $DATA thin /dev/mapper/pool 0'
		case '$1' in
		thin) dmsetup create top --table '0 $DATA linear /dev/mapper/thin 0' ;;
		forced) dmsetup create top --table '0 $DATA writethrough /dev/mapper/thin' ;;
		remember) dmsetup create top --table '0 $DATA writethrough /dev/mapper/thin 2 remember 128' ;;
		esac"
}
unstack() { on 'export DM_DISABLE_UDEV=1; for d in top thin pool data meta; do dmsetup remove $d; done'; }

boot() {
	rack boot dn1
	on 'insmod /opt/dnvme/bin/dm-writethrough.ko'
}

# Prints "acknowledged N lost N" of one power cut in the middle of writing.
power_cut() { # TOP PATTERN
	stack "$1"
	rm -f "$STATE/journal" # that of the last one would be counted until the writer's shell has emptied it
	: >"$STATE/journal"
	rack exec dn1 python3 /opt/dnvme/bin/writer.py write /dev/mapper/top 8192 "$2" >"$STATE/journal" 2>"$STATE/writer.log" &
	writer=$!
	until [ "$(wc -l <"$STATE/journal")" -ge 300 ]; do
		kill -0 $writer 2>/dev/null || fail "the writer ended: $(cat "$STATE/writer.log")"
		sleep 0.05
	done
	rack kill dn1
	wait $writer || : # 125: its guest died
	boot
	stack "$1" again
	rack put dn1 "$STATE/journal" /tmp/journal
	on 'python3 /opt/dnvme/bin/writer.py check /dev/mapper/top </tmp/journal'
	on 'export DM_DISABLE_UDEV=1; dmsetup remove top; dmsetup remove thin; dmsetup remove pool
		thin_check /dev/mapper/meta >/dev/null 2>&1 || echo "damaged metadata"; dmsetup remove data; dmsetup remove meta'
}

# What the target says of a table that it must refuse.
refused() { # PARAMETERS
	! on "DM_DISABLE_UDEV=1 dmsetup create bad --table '0 $DATA writethrough $1' 2>/dev/null" || fail "it took: writethrough $1"
}

rate() { # RW
	on "fio --name=rate --filename=/dev/mapper/top --bs=4k --direct=1 --ioengine=libaio --iodepth=$2 --rw=randwrite --size=512M \
		--io_size=${3}M --output-format=terse --terse-version=3" | cut -d';' -f49 # write IOPS
}

cost() {
	for depth in 1 16; do
		for kind in mapped fresh; do
			base=
			for top in thin forced remember; do
				stack $top
				if [ $kind = mapped ]; then
					on 'dd if=/dev/zero of=/dev/mapper/top bs=1M count=512 oflag=direct 2>/dev/null'
					[ $top != remember ] || rate randwrite $depth 16 >/dev/null
				fi
				now=$(rate randwrite $depth 16)
				[ -n "$base" ] || base=$now
				echo "cost: $kind blocks, queue depth $depth, $top: $now IOPS, $((100 * now / base)) % of no target"
				unstack
			done
		done
	done
}

"$ROOT/dev" rack module "$ROOT/kmod" "$STATE/module" >"$STATE/build.log" 2>&1 || fail "the module: $(tail -n 5 "$STATE/build.log")"
rack up --dn 1 --cn 0 --host 0 --servers 0 --disk-size 1G --install "$STATE/module/dm-writethrough.ko" --install "$HERE/writer.py"
on 'insmod /opt/dnvme/bin/dm-writethrough.ko'

stack thin
for bad in "" "/dev/none" "/dev/mapper/thin 1" "/dev/mapper/thin 1 remember" "/dev/mapper/thin 2 remember 100" \
	"/dev/mapper/thin 2 remember 0" "/dev/mapper/thin 2 forget 128" "/dev/mapper/thin 2 remember 128 more" \
	"/dev/mapper/thin 4 remember 128 remember 128"; do
	refused "$bad"
done
unstack
echo "nine bad tables refused"

for pattern in fresh discard; do
	for top in thin forced remember; do
		said=$(power_cut $top $pattern)
		echo "$pattern, $top: $said"
		case $said in
		*damaged*) fail "$said" ;;
		*" lost 0") [ $top != thin ] || fail "no write was lost without the target: this test sees nothing" ;;
		*) [ $top = thin ] || fail "acknowledged writes were lost" ;;
		esac
	done
done

# What was remembered is forgotten by a suspend: a snapshot may have been taken meanwhile.
stack remember
on 'dd if=/dev/zero of=/dev/mapper/top bs=64k count=16 oflag=direct 2>/dev/null; dd if=/dev/zero of=/dev/mapper/top bs=64k count=16 oflag=direct 2>/dev/null'
[ "$(on 'dmsetup status top' | cut -d' ' -f4-)" = "16 16 0" ] || fail "remembering: $(on 'dmsetup status top')"
on 'export DM_DISABLE_UDEV=1; dmsetup suspend top; dmsetup resume top; dd if=/dev/zero of=/dev/mapper/top bs=64k count=16 oflag=direct 2>/dev/null
	blkdiscard -l 65536 /dev/mapper/top; dd if=/dev/zero of=/dev/mapper/top bs=64k count=16 oflag=direct 2>/dev/null'
[ "$(on 'dmsetup status top' | cut -d' ' -f4-)" = "33 31 1" ] || fail "forgetting: $(on 'dmsetup status top')"
unstack
echo "remembers, forgets at a suspend and at a discard"
[ "${1:-}" != --cost ] || cost
