# shellcheck shell=sh
# What every part of the rig uses.  The caller has set RACK_SRC, the folder of this file.

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/dnvme

say() { echo "rack: $*" >&2; }
die() {
	say "$@"
	exit 1
}

need_root() { [ "$(id -u)" -eq 0 ] || die "$1 needs root"; }

# The time at which a process started: with its id it names one process for ever.
process_start() {
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# shellcheck disable=SC2086 # the fields after the name, which may hold blanks itself
	set -- ${stat##*) }
	[ "$1" != Z ] && shift 19 && echo "$1"
}

# process_record FILE PID;  process_alive FILE sets $pid
process_record() { echo "$2 $(process_start "$2")" >"$1"; }
process_alive() {
	[ -f "$1" ] && read -r pid started <"$1" && [ -n "$started" ] && [ "$(process_start "$pid")" = "$started" ]
}
