# shellcheck shell=sh
# Guests as QEMU microvms in software emulation, with Debian's own kernel.  The functions are those of driver-uml.sh.

DRIVER_BOOT_LIMIT=240

driver_memory() { echo 448; }

driver_prepare() {
	stock_kernel_fetch
	tools=$(stock_tools)
	initramfs=$(stock_initramfs)
	ln -sfn "$CACHE/stock/vmlinux" "$RACK/vmlinux"
	ln -sfn "$initramfs" "$RACK/initramfs"
	ln -sfn "$tools" "$RACK/tools.img"
	driver_stage
	"$RACK/stage/rack/cmd" tsc >"$RACK/tsc"
	need=0
	for node in $(guests); do need=$((need + $(driver_memory "$(node_kind "$node")"))); done
	have=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
	[ "$have" -ge "$need" ] || die "the guests need $need MB of memory, $have MB are available"
}

# Unlike a user-mode guest, these do not have this machine's libraries.
driver_stage() {
	stage_libraries "$RACK"/stage/bin/* | while read -r library; do
		case $library in
		*/ld-linux*) ;;
		*) cp -L "$library" "$RACK/stage/lib" ;;
		esac
	done
	image_make "$RACK/stage" "$RACK/stage.img"
}

# drive SERIAL FILE OPTIONS: the guest finds it by its serial
driver_drive() {
	echo "-drive id=$1,if=none,file=$2,format=raw,$3 -device virtio-blk-device,drive=$1,serial=$1"
}

driver_start() {
	drives="$(driver_drive tools "$RACK/tools.img" readonly=on) $(driver_drive stage "$RACK/stage.img" readonly=on)"
	for disk in $(node_disks "$1"); do
		drives="$drives $(driver_drive "disk${disk##*-}" "$RACK/disks/$disk" cache=unsafe,discard=unmap)"
	done
	# Without tsc_early_khz and ioapic2=off a microvm hangs at the calibration of its clock.
	# shellcheck disable=SC2086 # $drives is a list of words
	setsid nsenter --net="/run/netns/$(network_ns)" qemu-system-x86_64 -name "$1" \
		-M microvm,pit=on,pic=on,ioapic2=off,rtc=on -accel tcg,thread=multi -cpu max -smp 2 -m "$(driver_memory)" \
		-nodefaults -no-user-config -nographic -no-reboot -monitor none \
		-chardev "file,id=console,path=$RACK/$1/console.log,append=on" -serial chardev:console \
		-kernel "$RACK/vmlinux" -initrd "$RACK/initramfs" $drives \
		-netdev "tap,id=net,ifname=$1,script=no,downscript=no" -device "virtio-net-device,netdev=net,mac=$(node_mac "$1")" \
		-append "console=ttyS0 quiet panic=-1 tsc_early_khz=$(cat "$RACK/tsc") tsc=reliable no_timer_check \
cryptomgr.notests mitigations=off nokaslr random.trust_cpu=on \
rack.name=$1 rack.address=$(node_address "$1") rack.id=$(node_octet "$1")" \
		</dev/null >>"$RACK/$1/qemu.log" 2>&1 &
	process_record "$RACK/$1/pid" $!
}

driver_kill() { process_alive "$RACK/$1/pid" && kill -KILL "$pid"; }
driver_freeze() { process_alive "$RACK/$1/pid" && kill -STOP "$pid"; }
driver_thaw() { process_alive "$RACK/$1/pid" && kill -CONT "$pid"; }
