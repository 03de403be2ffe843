# shellcheck shell=sh
# What the guests find in /opt/dnvme, read-only:  bin/ the programs under test, lib/ the shared libraries of theirs that
# the guests' own system does not have, rack/ the rig's.

# stage_make PROGRAMS: one path a line, files or folders of files.
stage_make() {
	stage=$RACK/stage
	mkdir -p "$stage/bin" "$stage/lib" "$stage/rack"
	cp "$RACK_SRC/guest.sh" "$stage/rack/guest.sh"
	cp "$(stage_cmd)" "$stage/rack/cmd"
	printf '%s' "$1" | while read -r path; do
		if [ -d "$path" ]; then
			find "$path" -maxdepth 1 -type f -exec cp -t "$stage/bin" {} +
		else
			cp -L "$path" "$stage/bin"
		fi
	done
}

# The command server and client: static, so that it runs in any guest.
stage_cmd() {
	cmd=$CACHE/cmd-$(sha256sum "$RACK_SRC/cmd.c" | cut -c1-12)
	if [ ! -x "$cmd" ]; then
		mkdir -p "$CACHE"
		cc -std=gnu11 -O2 -Wall -Wextra -static -o "$cmd.$$" "$RACK_SRC/cmd.c" && mv "$cmd.$$" "$cmd"
	fi
	echo "$cmd"
}

# Shared libraries, and the loader, that programs need.
stage_libraries() {
	for program in "$@"; do ldd "$program" 2>/dev/null || :; done |
		awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' | sort -u
}
