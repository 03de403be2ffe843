#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# usage: run.sh BUILD-DIR SOURCE-DIR COMPILER [FLAG…]
# Installs libdnvme, builds example.c from the installed tree alone, both ways, and runs it.
set -eu
build=$1 source=$2 compiler=$3
shift 3
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

cmake --install "$build" --component libdnvme --prefix "$prefix" >"$prefix/install.log"
pc=$(find "$prefix" -name dnvme.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
library=$(pkg-config --variable=libdir dnvme)

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# Without a server it must say precisely why it failed, with the status for that.
check() {
	status=0
	env -u DNVME_SERVERS LD_LIBRARY_PATH="$library" "$1" >"$prefix/out" 2>"$prefix/err" || status=$?
	cat "$prefix/out" "$prefix/err"
	[ "$status" -eq 3 ] || fail "$1: status $status instead of 3"
	grep -q 'UNAVAILABLE: cannot reach server 127.0.0.1:1: Connection refused' "$prefix/err" ||
		fail "$1: the error is not precise"
	if [ -n "${DNVME_SERVERS:-}" ]; then
		LD_LIBRARY_PATH="$library" "$1" || fail "$1: cannot list volumes of $DNVME_SERVERS"
	fi
}

# shellcheck disable=SC2046
"$compiler" -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "$@" -o "$prefix/shared" \
	"$source/tests/client-example/example.c" $(pkg-config --cflags --libs dnvme)
check "$prefix/shared"

# Everything that libdnvme.a needs must be named by pkg-config; its own neighbours come as shared libraries.
# shellcheck disable=SC2046
"$compiler" -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "$@" -o "$prefix/static" \
	"$source/tests/client-example/example.c" \
	$(pkg-config --static --cflags --libs dnvme | sed 's/ *-ldnvme / -l:libdnvme.a /')
check "$prefix/static"

# The header stands alone in C++ too, and neither library shows anything but its public functions.
if command -v c++ >/dev/null; then
	printf '#include <dnvme.h>\nint main() { return dnvme_version() == nullptr; }\n' >"$prefix/header.cc"
	# shellcheck disable=SC2046
	c++ -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags dnvme) "$prefix/header.cc"
fi
wanted=$(sed -n 's/^\t\(dnvme_[a-z_]*\);$/\1/p' "$source/client/dnvme.map" | sort)
declared=$(grep -o 'dnvme_[a-z_]*(' "$prefix/include/dnvme.h" | tr -d '(' | sort -u)
[ "$(printf '%s\n' "$wanted")" = "$(for name in $declared; do grep -q "^[a-z].*[ *]$name(" "$prefix/include/dnvme.h" && echo "$name"; done)" ] ||
	fail "dnvme.h and dnvme.map differ"
shown=$(nm -D --defined-only "$library/libdnvme.so" | awk '$2 ~ /[TDBR]/ { sub(/@.*/, "", $3); print $3 }' | sort)
[ "$shown" = "$wanted" ] || fail "libdnvme.so shows other symbols than dnvme.map: $shown"
shown=$(nm --defined-only "$library/libdnvme.a" | awk '$2 ~ /^[TDBRCVW]$/ { print $3 }' | sort)
[ "$shown" = "$wanted" ] || fail "libdnvme.a shows other symbols than dnvme.map: $shown"
