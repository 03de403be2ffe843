# shellcheck shell=sh
# Debian's own kernel for virtual machines, and what the QEMU guests boot from: an initramfs with its modules, and an image
# of the tools for their /usr.  Nothing is installed; all of it is kept in the cache.

# In load order, each after those that it depends on.
STOCK_MODULES="virtio_mmio virtio_blk virtio_net virtio_rng crc32c_intel ext4 nvmet-tcp nvme-tcp
	raid0 raid1 dm-raid dm-thin-pool dm-snapshot dm-mirror dm-zero dm-delay dm-flakey dm-log-writes dm-multipath dm-crypt
	loop null_blk dummy sch_netem tcp_diag nf_tables nft_ct nft_limit nft_quota nft_objref nft_reject_inet"

STOCK_TOOLS="nvme dmsetup fio thin_check thin_dump thin_repair nft ip ss tc socat mkfs.ext4 e2fsck mkswap wipefs blkdiscard"

# Unpacks the kernel that the metapackage names today, unless one is there.
stock_kernel_fetch() {
	[ ! -e "$CACHE/stock/vmlinux" ] || return 0
	package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
	[ -n "$package" ] || die "apt knows no linux-image-cloud-amd64"
	say "fetching $package"
	mkdir -p "$CACHE"
	work=$(mktemp -d "$CACHE/stock.XXXXXX")
	(
		set -e
		cd "$work"
		apt-get -q download "$package" 2>/dev/null
		dpkg-deb -x "$package"_*.deb .
		rm "$package"_*.deb
		version=${package#linux-image-}
		depmod -b . "$version"
		echo "$version" >version
		stock_vmlinux "boot/vmlinuz-$version" >vmlinux
	) >&2 || die "$package could not be unpacked in $work"
	mv -T "$work" "$CACHE/stock-$package" || rm -rf "$work" # another one was quicker
	ln -sfn "stock-$package" "$CACHE/stock"
}

# The uncompressed kernel within a bzImage: it boots by PVH, and emulated code need not decompress it.
stock_vmlinux() {
	magic=$(printf '\002!L\030') # lz4
	offset=$(LC_ALL=C grep -aobF "$magic" "$1" | head -n 1 | cut -d: -f1)
	tail -c +$((offset + 1)) "$1" | lz4 -dc 2>/dev/null || : # lz4 complains of what follows the stream
}

# stock_image NAME KEY BUILDER: the cached file, made by BUILDER FILE when there is none for this key.
stock_image() {
	image=$CACHE/$1-$(printf '%s' "$2" | sha256sum | cut -c1-12)
	if [ ! -f "$image" ]; then
		work=$(mktemp -d "$CACHE/image.XXXXXX")
		"$3" "$work" "$work.out" >&2
		rm -rf "$work"
		mv "$work.out" "$image"
	fi
	echo "$image"
}

stock_initramfs() {
	stock_image initramfs "$(cat "$CACHE/stock/version" "$RACK_SRC/stock-kernel.sh" "$RACK_SRC/init-qemu.sh" "$RACK_SRC/cmd.c")" \
		stock_initramfs_build
}

stock_initramfs_build() {
	mkdir -p "$1/bin" "$1/modules" "$1/proc" "$1/sys" "$1/dev" "$1/tmp" "$1/run" "$1/usr" "$1/root" "$1/etc" "$1/opt/dnvme" \
		"$1/var/lib" "$1/var/tmp" "$1/mnt"
	busybox=$(command -v busybox)
	cp "$busybox" "$1/bin/busybox"
	for applet in $("$busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
	done
	for dir in lib lib64 sbin; do ln -s usr/$dir "$1/$dir"; done
	cp "$RACK_SRC/init-qemu.sh" "$1/init"
	chmod +x "$1/init"
	version=$(cat "$CACHE/stock/version")
	: >"$1/modules/all"
	for module in $STOCK_MODULES; do
		modprobe -d "$CACHE/stock" -S "$version" --show-depends "$module" >>"$1/modules/all" ||
			die "this kernel has no module $module"
	done
	awk '$1 == "insmod" && !seen[$2]++ { print $2 }' "$1/modules/all" | while read -r path; do
		strip -g -R .BTF "$path" -o "$1/modules/${path##*/}"
		echo "${path##*/}" >>"$1/modules/order"
	done
	rm "$1/modules/all"
	(cd "$1" && find . | cpio -o -H newc --quiet) >"$2"
}

# The tools and all their libraries, one read-only image for all guests.
stock_tools() {
	programs=
	for tool in $STOCK_TOOLS; do
		program=$(command -v "$tool") || die "this machine lacks $tool: ./dev setup"
		programs="$programs $program"
	done
	# shellcheck disable=SC2086 # a list of words
	stock_image tools "$(stat -L -c '%n %s %Y' $programs)" stock_tools_build
}

stock_tools_build() {
	mkdir -p "$1/bin" "$1/sbin" "$1/lib/x86_64-linux-gnu" "$1/lib64"
	# shellcheck disable=SC2086 # a list of words
	cp -L $programs "$1/bin"
	# shellcheck disable=SC2086 # a list of words
	stage_libraries $programs | while read -r library; do
		case $library in
		*/ld-linux*) cp -L "$library" "$1/lib64" ;;
		*) cp -L "$library" "$1/lib/x86_64-linux-gnu" ;;
		esac
	done
	image_make "$1" "$2"
}

# image_make FOLDER FILE: an ext4 image of it
image_make() {
	: >"$2"
	mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$1" "$2" "$(($(du -sm "$1" | cut -f1) * 11 / 10 + 16))M"
}
