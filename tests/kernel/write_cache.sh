#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The volatile write caches of disks as a stock kernel drives them: NVMe, SCSI, virtio-blk, and scsi_debug. They are switched
# off, and what the kernel is made to believe of them deceives nobody.
#
# usage: write_cache.sh BIN
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BIN=$1
RACK_SRC=$ROOT/tests/rack
. "$RACK_SRC/common.sh"
. "$RACK_SRC/stock-kernel.sh"
PATIENCE_S=240
MODULES="virtio_pci virtio_blk virtio_scsi sd_mod scsi_debug"

work=$(mktemp -d)
qemu=
finish() {
	status=$?
	trap - EXIT
	[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || :
	[ "$status" -eq 0 ] || cat "$work/log" 2>/dev/null || :
	rm -rf "$work"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

stock_kernel_fetch
version=$(cat "$CACHE/stock/version")
root=$work/root
mkdir -p "$root/bin" "$root/modules" "$root/proc" "$root/sys" "$root/dev" "$root/lib64" "$root/lib/x86_64-linux-gnu"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh mount cat insmod echo sleep poweroff; do ln -s busybox "$root/bin/$applet"; done
cp "$BIN/write_cache_probe" "$root/bin/probe"
ldd "$BIN/write_cache_probe" | grep -o '/[^ ]*' | while read -r library; do
	case $library in
	*/ld-linux*) cp -L "$library" "$root/lib64" ;;
	*) cp -L "$library" "$root/lib/x86_64-linux-gnu" ;;
	esac
done
for module in $MODULES; do
	modprobe -d "$CACHE/stock" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
	cp "$path" "$root/modules"
	echo "insmod /modules/${path##*/}" >>"$root/load"
done
cat >"$root/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
. /load
for disk in nvme0n1 vda sda sdb; do
	until [ -b /dev/$disk ]; do sleep 1; done
done
# The firmware's last line on the console has no end.
echo
echo "- as they are"
probe /dev/nvme0n1 /dev/vda /dev/sda /dev/sdb
echo "- once more"
probe /dev/nvme0n1 /dev/vda /dev/sda /dev/sdb
echo "- the kernel is deceived"
for type in /sys/block/sd*/device/scsi_disk/*/cache_type; do
	echo "write back" >"$type"
	echo "temporary write through" >"$type"
	cat "$type"
done
probe /dev/sda /dev/sdb
echo "- what it believes of nvme: $(cat /sys/block/nvme0n1/queue/write_cache)"
echo "- done"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initramfs"
for disk in nvme virtio scsi; do truncate -s 32M "$work/$disk"; done

qemu-system-x86_64 -M q35 -accel tcg -cpu max -smp 1 -m 384 -nodefaults -no-user-config -nographic -no-reboot -monitor none \
	-serial "file:$work/log" -kernel "$CACHE/stock/vmlinux" -initrd "$work/initramfs" \
	-append "console=ttyS0 quiet panic=-1 mitigations=off" \
	-drive "id=nvme,if=none,file=$work/nvme,format=raw" -device nvme,drive=nvme,serial=nvme \
	-drive "id=virtio,if=none,file=$work/virtio,format=raw" -device virtio-blk-pci,drive=virtio \
	-device virtio-scsi-pci -drive "id=scsi,if=none,file=$work/scsi,format=raw" -device scsi-hd,drive=scsi \
	</dev/null >/dev/null 2>&1 &
qemu=$!
waited=0
while kill -0 "$qemu" 2>/dev/null; do
	[ "$waited" -lt "$PATIENCE_S" ] || { echo "the guest does not end" && exit 1; }
	sleep 1
	waited=$((waited + 1))
done
wait "$qemu" || :
qemu=
tr -d '\r' <"$work/log" | sed -n '/- as they are/,/- done/p' >"$work/said"
cat >"$work/wanted" <<'WANTED'
- as they are
/dev/nvme0n1 was on, is off
/dev/vda was on, is off
/dev/sda was on, is off
/dev/sdb was on, is off
- once more
/dev/nvme0n1 was off, is off
/dev/vda was off, is off
/dev/sda was off, is off
/dev/sdb was off, is off
- the kernel is deceived
write through
write through
/dev/sda was on, is off
/dev/sdb was on, is off
- what it believes of nvme: write back
- done
WANTED
diff -u "$work/wanted" "$work/said"
echo "4 kinds of disks have their write caches off"
