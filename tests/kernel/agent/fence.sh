#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The move of a slot as its nodes see it, without a control plane: a Disk Node fences while the holder writes, the new
# holder takes over, the old one takes down what is frozen; a Disk Node that lost its power is given up.
# usage: fence.sh PATH-OF-dnvme-agent [uml|qemu]
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
AGENT=$1 DRIVER=${2:-uml}
NQN=nqn.2026-11.io.dnvme:trial:volume:v1
SLOT=nqn.2026-11.io.dnvme:trial:slot
SHAPE="--standbys 1 --copies 2 --controllers 2 --legs 1 --size 67108864"
MOVED="--holder 0:cn3 --epoch 0:2"
TMP=$(mktemp -d)
STEPS=0

rack() { "$ROOT/dev" rack --name "fence-$$" "$@"; }
finish() {
	[ "$1" -eq 0 ] || for node in dn1 cn1 cn2 cn3 host1; do
		echo "--- $node"
		rack exec --timeout 5 "$node" 'tail -n 30 /tmp/apply.log; dmesg | tail -n 30
			for c in /sys/class/nvme/nvme*; do cat $c/subsysnqn $c/address $c/state $c/nvme*/ana_state; done;
			tail -n 3 /tmp/fio.log; cat /tmp/fio.rc' 2>/dev/null || :
	done
	rack down >/dev/null 2>&1 || :
	rm -rf "$TMP"
}
trap 'finish $?' EXIT

say() { printf '%6s s  %s\n' "$SECONDS" "$*"; }
die() { say "FAILED: $*" >&2; exit 1; }
same() { [ "$2" = "$3" ] || die "$1: wanted \"$2\", got \"$3\""; STEPS=$((STEPS + 1)); }

desired() { # NODE PHASE OPTIONS…
	node=$1 phase=$2
	shift 2
	# shellcheck disable=SC2086 # lists of words
	"$HERE/desired.py" "$node" "$phase" $SHAPE --host "$HOST" --disk "$DISK_PATH" "$@" >"$TMP/$node.json"
	rack put "$node" "$TMP/$node.json" /tmp/desired.json
}
# Until the kernel is as desired; prints the milliseconds that the agent needed.
apply() { # NODE PHASE OPTIONS…
	desired "$@"
	rack exec --timeout 60 "$1" 'b=$(date +%s%3N); timeout 50 dnvme-agent apply --desired /tmp/desired.json \
		--timeout 45 2>/tmp/apply.log || exit; echo $(($(date +%s%3N) - b))' || die "apply $* on $1"
}
# What a lease and the beats of peers do: `agent apply` makes the gate, and it is shut. Legs have port 20001.
admit() { # NODE CONSUMER…
	node=$1 consumers=
	shift
	for consumer in "$@"; do consumers="$consumers, 10.77.0.3${consumer#cn} . 20001"; done
	rack exec "$node" "nft add element inet dnvme lease { 4420 timeout 1h } && { [ -z '$consumers' ] ||
		nft 'add element inet dnvme begun { 20001 timeout 1h }; add element inet dnvme consumer4 { ${consumers#, } }'; }" ||
		die "admit $* at $node"
}
# Wait in a guest for something that prints nothing else, and print how many milliseconds it took.
wait_for() { # NODE WANTED COMMAND
	cat >"$TMP/wait" <<-E
		b=\$(date +%s%3N)
		while :; do
			got=\$($3)
			case \$got in $(printf '%s' "$2" | sed 's/ /\\ /g')) break ;; esac
			[ \$((\$(date +%s%3N) - b)) -lt 30000 ] || { echo "\$got"; exit 1; }
			sleep 0.02
		done
		echo \$((\$(date +%s%3N) - b))
	E
	rack put "$1" "$TMP/wait" /tmp/wait
	rack exec --timeout 40 "$1" 'sh /tmp/wait' || die "$1: waiting for \"$2\""
}
import_state() { # NQN-PATTERN
	echo "for c in /sys/class/nvme/nvme*; do grep -q \"$1\" \$c/subsysnqn || continue; cat \$c/state; cat \$c/nvme*c*n*/ana_state; done 2>/dev/null | sort -u | tr '\\n' ' '"
}
# What the agent's last run did, each step with the milliseconds since the first.
timeline() { # NODE
	rack exec "$1" 'cat /tmp/apply.log' | python3 -c '
import datetime, re, sys
begin = None
for line in sys.stdin:
    found = re.match(r"(\S+Z) \S+ dnvme-agent: (.*)", line)
    if not found:
        print("             " + line.rstrip())
        continue
    at = datetime.datetime.fromisoformat(found[1][:-1])
    begin = begin or at
    print("          %5d  %s" % ((at - begin).total_seconds() * 1000, found[2].replace("doing what=", "")[:150]))'
}
timed() { # WHAT NODE PHASE OPTIONS…
	what=$1
	shift
	ms=$(apply "$@")
	say "$what after $ms ms"
	[ -z "${VERBOSE:-}" ] || timeline "$1"
}
# The host's writer makes progress. The kernel counts on the paths, not on the multipath device above them.
writes() {
	ms=$(wait_for host1 yes 'a=$(awk "{print \$5}" /sys/block/nvme0c*n1/stat); sleep 0.2
		[ "$a" = "$(awk "{print \$5}" /sys/block/nvme0c*n1/stat)" ] || echo yes')
	say "the host writes, $ms ms later at most"
	same "errors of the writer" "" "$(rack exec host1 'cat /tmp/fio.rc 2>/dev/null; dmesg | grep "I/O error"' || :)"
}
checksum() { rack exec dn1 'sha256sum </dev/mapper/dnvme-ld-ld1'; }
connect() { rack exec host1 "nvme connect -t tcp -a 10.77.0.$1 -s 4420 -n $NQN -q $HOST -i 1 -k 2 -c 1 -l -1"; }
complaints() { # NODE: hung tasks, oopses, errors of block devices
	rack exec "$1" "dmesg | grep -e 'blocked for more' -e 'BUG:' -e 'Oops' -e 'WARNING' || :"
}

rack up --driver "$DRIVER" --dn 2 --cn 3 --host 1 --servers 1 --install "$AGENT" >/dev/null
HOST=$(rack exec host1 'cat /etc/nvme/hostnqn')
DISK_PATH=$(rack exec dn1 "readlink -f /dev/rack/disk0")
for node in dn1 dn2; do apply $node placed >/dev/null; done
for node in cn1 cn2; do apply $node assembling >/dev/null; done
admit cn1 cn2
admit cn2 cn1
for node in cn1 cn2 cn3; do apply $node exporting >/dev/null; done
say "a volume with two holders, cn1 and cn2, and a standby, cn3"

same "a path is never given up by a timer" "off" \
	"$(rack exec cn1 'cat /sys/class/nvme/nvme*/ctrl_loss_tmo' | sort -u)"
connect 31
connect 33
rack exec host1 'for i in $(seq 100); do [ -b /dev/nvme0n1 ] && exit; sleep 0.1; done; exit 1' || die "no device"
rack exec host1 'cd /tmp && (fio --name=v --filename=/dev/nvme0n1 --rw=randwrite --bs=16k --size=32M --direct=1 \
	--ioengine=libaio --iodepth=8 --verify=crc32c --verify_state_save=0 --randseed=7 --time_based --runtime=600 \
	--do_verify=0 --status-interval=1 >/tmp/fio.log 2>&1; echo $? >/tmp/fio.rc) >/dev/null 2>&1 &'
sleep 2

say "dn1 and dn2 fence slot 0 while cn1 writes to it"
for node in dn1 dn2; do
	timed "$node: fenced and exported anew" $node online $MOVED --parked 0:1:cn1
	same "what is rejected on $node afterwards" "" "$(rack exec $node 'nft list set inet dnvme_reject port' | grep elements || :)"
done
before=$(checksum)
ms=$(wait_for cn1 'inaccessible live ' "$(import_state ':slot:d.*v1.s0:e1')")
say "cn1 is queueing again after $ms ms more"
same "its writes wait" yes "$(rack exec cn1 'awk "{ n += \$1 + \$2 } END { print (n > 0 ? \"yes\" : \"no\") }" /sys/block/dm-*/inflight')"
sleep 1
same "the medium below ld1" "$before" "$(checksum)"
same "the old holder's I/O" "" "$(rack exec cn1 'dmesg | grep -i "I/O error" || :')"
same "the epoch in the label" 2 "$(rack exec dn1 'od -A n -t u8 -j 80 -N 8 /dev/mapper/dnvme-ld-ld1' | tr -d ' ')"

say "an agent that comes back to an older desired state does not export"
desired dn1 online
rack exec dn1 'timeout 20 dnvme-agent apply --desired /tmp/desired.json --timeout 4 >/tmp/old.log 2>&1 || :
	dnvme-agent plan --desired /tmp/desired.json >/tmp/old.plan'
rack exec dn1 'grep -q "later epoch" /tmp/old.log' || die "no refusal: $(rack exec dn1 'cat /tmp/old.log')"
same "the old epoch is not reachable" "" "$(rack exec dn1 'ls /sys/kernel/config/nvmet/ports/4421/subsystems | grep s0:e1 |
	while read -r q; do ls /sys/kernel/config/nvmet/subsystems/$q/namespaces; done' || :)"
apply dn1 online $MOVED --parked 0:1:cn1 >/dev/null

timed "cn2 shuts cn1 out as a consumer" cn2 online $MOVED --address 0:cn1 --shut cn1
admit cn2 cn3
timed "cn3 assembled, as standby" cn3 online $MOVED --standby cn3
timed "cn1 took down what was frozen" cn1 gone
same "what is left on cn1" "" "$(rack exec cn1 'dnvme-agent observe | grep -v ^disk' || :)"
timed "cn3 serves" cn3 online $MOVED
admit cn3 cn2
timed "cn2 imports leg 0 from cn3" cn2 online $MOVED --shut cn1
same "paths of cn2 to leg 0" "traddr=10.77.0.33" "$(rack exec cn2 'for c in /sys/class/nvme/nvme*; do
	grep -q :leg:v1.s0 $c/subsysnqn && cut -d , -f 1 $c/address; done')"
writes
timed "dn1 forgets cn1" dn1 online $MOVED
timed "dn2 forgets cn1" dn2 online $MOVED
same "what is parked on dn1" "" "$(rack exec dn1 'dnvme-agent observe | grep parked' || :)"

say "dn2 loses its power under load; ld2 and ld3 are given up, by cn2 while it still believes in the path"
desired cn2 online $MOVED --shut cn1 --stale ld3
desired cn3 online $MOVED --stale ld2
rack kill dn2
give_up() { # NODE
	rack exec "$1" 'timeout 30 dnvme-agent apply --desired /tmp/desired.json --timeout 4 >/tmp/apply.log 2>&1 || :'
	timeline "$1" | grep -A1 "nvme    drop" || die "$1 drops nothing: $(timeline "$1")"
}
say "cn2: the path is $(rack exec cn2 "$(import_state ':slot:d2.*v1.s1:e1')")"
give_up cn2
ms=$(wait_for cn3 'connecting*' "$(import_state ':slot:d2.*v1.s0:e2')")
say "cn3: noticed $ms ms later"
give_up cn3
writes
for node in dn1 cn1 cn2 cn3; do same "complaints of the kernel of $node" "" "$(complaints $node)"; done
say "$STEPS checks passed"
