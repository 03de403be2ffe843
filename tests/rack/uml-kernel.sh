# shellcheck shell=sh
# The user-mode kernels: each built once from Debian's source package, kept in the cache.  $KERNEL is the version, as the
# package's name has it.
#
# uml_kernel prints the folder that holds `linux` (the program) and `tree` (what an out-of-tree module is built against).

UML_KERNELS="6.1 6.12"
KERNEL=${DNVME_RACK_KERNEL:-6.1}

uml_kernel_select() {
	case " $UML_KERNELS " in
	*" $1 "*) KERNEL=$1 ;;
	*) die "unknown kernel $1: $UML_KERNELS" ;;
	esac
}

# Everything that is added to the bare source: for all versions, then for this one.
uml_kernel_configs() { ls "$RACK_SRC/uml.config" "$RACK_SRC/uml-$KERNEL.config" 2>/dev/null || :; }
uml_kernel_patches() { ls "$RACK_SRC"/patches/*.patch; }

# The folder's name changes with the source package, the configuration and the patches.
uml_kernel_dir() {
	source=linux-source-$KERNEL
	version=$(dpkg-query -W -f '${Version}' "$source" 2>/dev/null) ||
		die "the package $source is not installed: run DNVME_RACK_KERNEL=$KERNEL ./dev setup"
	# shellcheck disable=SC2046 # lists of files
	hash=$(cat $(uml_kernel_configs) $(uml_kernel_patches) | sha256sum | cut -c1-12)
	echo "$CACHE/uml-$version-$hash"
}

uml_kernel() {
	kernel_dir=$(uml_kernel_dir)
	if [ ! -x "$kernel_dir/linux" ]; then
		mkdir -p "$CACHE"
		# One builder at a time; the others wait and find its result.
		(
			flock 9
			[ -x "$kernel_dir/linux" ] || uml_kernel_build "$kernel_dir" "$kernel_dir.log"
		) 9>"$CACHE/uml.lock" >&2 || exit 1
	fi
	echo "$kernel_dir"
}

uml_kernel_build() {
	say "building the user-mode kernel, once (minutes; log: $2)"
	work=$(mktemp -d "$CACHE/build.XXXXXX")
	(
		set -e
		cd "$work"
		# Without the parts that no configuration of ours reaches; their Kconfig files are read all the same.
		tar xf "/usr/src/linux-source-$KERNEL.tar.xz" --wildcards --exclude='*/Documentation/*.rst' --exclude='*/tools/testing' \
			--exclude='*/sound/*.[ch]' --exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/net/ethernet/*.[ch]' \
			--exclude='*/drivers/net/wireless/*.[ch]' --exclude='*/drivers/media/*.[ch]' --exclude='*/drivers/staging/*.[ch]'
		mv "linux-source-$KERNEL" tree
		cd tree
		for patch in $(uml_kernel_patches); do patch -p1 <"$patch"; done
		# shellcheck disable=SC2046 # a list of files
		cat $(uml_kernel_configs) >../wanted.config
		make ARCH=um KCONFIG_ALLCONFIG="$work/wanted.config" allnoconfig
	) >"$2" 2>&1 || uml_kernel_failed "$work" "$2"
	uml_kernel_check "$work" || uml_kernel_failed "$work" "$2"
	nice make -C "$work/tree" ARCH=um -j"$(nproc)" linux modules >>"$2" 2>&1 || uml_kernel_failed "$work" "$2"
	strip -s -o "$work/linux" "$work/tree/linux" || uml_kernel_failed "$work" "$2"
	# A module needs headers, scripts and Module.symvers, not the objects.
	find "$work/tree" \( -name '*.o' -o -name '*.a' -o -name '.*.cmd' -o -name 'vmlinux*' -o -name linux -type f \) \
		! -path '*/scripts/*' -delete
	find "$work/tree" -name '*.c' ! -path '*/scripts/*' ! -path '*/arch/*' -delete
	mv "$work" "$1"
}

# Kconfig drops in silence what it cannot satisfy; we do not.
uml_kernel_check() {
	missing=$(grep -E '^CONFIG_' "$1/wanted.config" | grep -vxFf "$1/tree/.config") || return 0
	say "the kernel's configuration did not take: $(echo "$missing" | tr '\n' ' ')"
	return 1
}

uml_kernel_failed() {
	tail -n 20 "$2" >&2
	rm -rf "$1"
	die "the user-mode kernel could not be built (log: $2)"
}

# uml_module [--kernel VERSION] SOURCE OUT: build the out-of-tree module in SOURCE (a folder with a Kbuild or Makefile) into
# OUT.
uml_module() {
	if [ "${1:-}" = --kernel ]; then
		uml_kernel_select "${2:-}"
		shift 2
	fi
	[ $# -eq 2 ] || die "usage: rack module [--kernel VERSION] SOURCE OUT"
	rack_setup
	tree=$(uml_kernel)/tree
	mkdir -p "$2"
	cp -r "$1"/. "$2"
	make -C "$tree" ARCH=um M="$(realpath "$2")" modules
}
