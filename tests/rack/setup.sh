# shellcheck shell=sh
# The packages of a Debian machine.  Nothing is asked of apt where all of them are there.

setup_packages() {
	echo build-essential cmake ninja-build pkg-config               # the programs
	echo clang clang-format llvm                                    # sanitizers, fuzzing, style
	echo liblmdb-dev libmsgpack-dev libuv1-dev libxxhash-dev        # control plane
	echo libraft-dev libraft0
	echo libnvme-dev libdevmapper-dev libblkid-dev libnftables-dev uuid-dev # agent
	echo libjson-c-dev libsystemd-dev libsmartcols-dev libinih-dev
	echo libcmocka-dev gcovr neovim procps python3 spin                         # tests
	echo iproute2 nftables socat curl                               # networks of tests
	echo nvme-cli fio dmsetup thin-provisioning-tools e2fsprogs busybox-static  # in the guests
	echo flex bison bc libelf-dev xz-utils patch                    # the user-mode kernel
	echo qemu-system-x86 kmod cpio lz4 binutils                     # the stock kernel
	case $(. /etc/os-release && echo "$VERSION_ID") in
	12) echo libclang-rt-14-dev linux-source-6.1 "linux-source-$KERNEL" ;;
	*) echo libclang-rt-dev linux-source ;;
	esac
	echo linux-headers-cloud-amd64                                  # kmod/ against Debian's kernel
}

# What ./dev bench compares with, and asks for besides: the build does not need it.
setup_bench_packages() { echo libnghttp2-dev etcd-server; }

setup_missing() {
	# shellcheck disable=SC2046 # a list of words
	set -- $(${1:-setup_packages})
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p') || :
	printf '%s\n' "$@" | grep -vxF "$have" || :
}

# Debian 12's own libraft can let replicas diverge; its backports have one that does not.
setup_raft_is_old() {
	version=$(dpkg-query -W -f '${Version}' libraft-dev 2>/dev/null) || return 0
	dpkg --compare-versions "$version" lt 0.22
}

setup_apt() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@"; }

# Adds the suite from the mirror that this machine already uses.
setup_backports() {
	targets=$(apt-get indextargets --format '$(REPO_URI)|$(RELEASE)' 'Created-By: Packages')
	echo "$targets" | grep -q '|bookworm-backports$' && return
	mirror=$(echo "$targets" | sed -n 's/|bookworm$//p' | head -n 1)
	[ -n "$mirror" ] || die "apt knows no mirror of bookworm: add bookworm-backports by hand"
	echo "deb $mirror bookworm-backports main" >/etc/apt/sources.list.d/dnvme-backports.list
}

setup_install() {
	need_root "./dev setup"
	from=
	if [ "$(. /etc/os-release && echo "$VERSION_ID")" = 12 ]; then
		setup_backports
		from=/bookworm-backports
	fi
	setup_apt update
	# shellcheck disable=SC2086,SC2046 # lists of words
	setup_apt install --no-install-recommends $(setup_missing | grep -v '^libraft') libraft-dev$from libraft0$from
}

setup() {
	if [ -n "$(setup_missing)" ] || setup_raft_is_old; then
		setup_install
	fi
	stock_kernel_fetch
}

# Not fatal: there is a comparison less, and ./dev bench says so.
bench_setup() {
	missing=$(setup_missing setup_bench_packages)
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		echo "./dev: as root ./dev bench would install for the comparison with etcd:" $missing >&2
		return 0
	fi
	if ! setup_apt install --no-install-recommends $missing; then
		echo "./dev: without a comparison with etcd: not installed:" $missing >&2
		return 0
	fi
	echo "./dev: with systemd Debian starts an etcd of its own, which nobody needs: systemctl disable --now etcd" >&2
	cmake --preset release >/dev/null && cmake --build "$ROOT/build/release" --target bench_load
}
