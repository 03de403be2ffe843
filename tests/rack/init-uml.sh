#!/bin/sh
# The first process of a user-mode guest.  Its root is the machine's own, read-only.  /proc comes first: until it is
# mounted, /proc is the machine's too, and busybox, which runs /proc/self/exe, would start the kernel again.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t configfs config /sys/kernel/config
mount -t debugfs debug /sys/kernel/debug
mount -t tracefs trace /sys/kernel/tracing
# All is built in.  The kernel would run modprobe for each connection of nvme-tcp, in vain: 0.3 s in a guest.
echo >/proc/sys/kernel/modprobe
for dir in /tmp /run /mnt /root /opt /var/tmp /var/lib /etc/nvme; do
	[ ! -d $dir ] || mount -t tmpfs tmpfs $dir
done
for word in $(cat /proc/cmdline); do
	case $word in
	rack.name=*) name=${word#*=} ;;
	rack.address=*) address=${word#*=} ;;
	rack.id=*) id=${word#*=} ;;
	rack.stage=*) stage=${word#*=} ;;
	esac
done
mkdir -p /dev/pts /dev/shm /dev/rack /run/lock /opt/dnvme
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t hostfs -o ro,"$stage" hostfs /opt/dnvme
for disk in /sys/block/ubd*; do
	n=${disk##*ubd}
	n=$(printf '%d' "'$n")
	[ ! -d "$disk" ] || ln -s "/dev/${disk##*/}" /dev/rack/disk$((n - 97))
done
eth=vec0 cmd=/opt/dnvme/rack/cmd
. /opt/dnvme/rack/guest.sh
