#!/bin/sh
# The first process of a QEMU guest.  Its root is the initramfs, writable; /usr and /opt/dnvme are images.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
while read -r module; do
	insmod "/modules/$module" || echo "rack: $module did not load"
done </modules/order
mount -t configfs config /sys/kernel/config
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
mkdir -p /dev/pts /dev/shm /dev/rack /run/lock
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
for disk in /sys/block/vd*; do
	device=/dev/${disk##*/}
	serial=$(cat "$disk/serial")
	case $serial in
	tools) mount -t ext4 -o ro "$device" /usr ;;
	stage) mount -t ext4 -o ro "$device" /opt/dnvme ;;
	*) ln -s "$device" "/dev/rack/$serial" ;;
	esac
done
for word in $(cat /proc/cmdline); do
	case $word in
	rack.name=*) name=${word#*=} ;;
	rack.address=*) address=${word#*=} ;;
	rack.id=*) id=${word#*=} ;;
	esac
done
export LD_LIBRARY_PATH=/opt/dnvme/lib
eth=eth0 cmd=/opt/dnvme/rack/cmd
. /opt/dnvme/rack/guest.sh
