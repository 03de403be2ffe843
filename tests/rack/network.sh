# shellcheck shell=sh
# The rack's network: one bridge in a network namespace of its own, a tap for each guest, a namespace and a veth pair for
# each server.  The bridge's own address is for the rig: what passes it is not forwarded, so a node that is cut off from
# all others still obeys `rack exec`.

RIG_ADDRESS=10.77.0.254

network_ns() { echo "dnvme-$RACK_NAME"; }
network_server_ns() { echo "dnvme-$RACK_NAME-$1"; }

node_kind() { echo "${1%%[0-9]*}"; }
node_index() { echo "${1##*[a-z]}"; }
node_is_server() { [ "$(node_kind "$1")" = cp ]; }

node_octet() {
	case $(node_kind "$1") in
	cp) base=0 ;;
	dn) base=10 ;;
	cn) base=30 ;;
	host) base=50 ;;
	esac
	echo $((base + $(node_index "$1")))
}
node_address() { echo "10.77.0.$(node_octet "$1")"; }
# Fixed: after a reboot with another one, the others' ARP caches would hide the guest for a while.
node_mac() { printf '02:4d:00:00:00:%02x\n' "$(node_octet "$1")"; }

network_commands() {
	echo "link set lo up"
	echo "link add br0 address 02:4d:00:00:00:fe type bridge"
	echo "addr add $RIG_ADDRESS/24 dev br0"
	echo "link set br0 up"
	for node in "$@"; do
		if node_is_server "$node"; then
			echo "link add $node type veth peer name eth0 address $(node_mac "$node") netns $(network_server_ns "$node")"
		else
			echo "tuntap add dev $node mode tap vnet_hdr"
		fi
		echo "link set $node master br0 up"
		echo "neigh replace $(node_address "$node") lladdr $(node_mac "$node") dev br0 nud permanent"
	done
}

network_add_ns() {
	ip netns add "$1"
	nsenter --net="/run/netns/$1" sh -c 'for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done' \
		2>/dev/null || :
}

network_up() {
	ns=$(network_ns)
	network_add_ns "$ns"
	for node in "$@"; do
		! node_is_server "$node" || network_add_ns "$(network_server_ns "$node")"
	done
	network_commands "$@" | ip -n "$ns" -batch -
	for node in "$@"; do
		node_is_server "$node" || continue
		server=$(network_server_ns "$node")
		printf '%s\n' "link set lo up" "addr add $(node_address "$node")/24 dev eth0" "link set eth0 up" |
			ip -n "$server" -batch -
		echo 1 | nsenter --net="/run/netns/$server" tee /proc/sys/net/ipv4/tcp_syn_retries >/dev/null
	done
}

# What still runs in a server's namespace is a server: end it.
network_down() {
	for ns in $(ip netns list | awk '{print $1}' | grep -E "^dnvme-$RACK_NAME(-cp[0-9]+)?\$"); do
		network_signal KILL "$ns"
		ip netns del "$ns"
	done
}

network_signal() {
	for pid in $(ip netns pids "$2"); do
		kill -"$1" "$pid" 2>/dev/null || :
	done
}

# Cuts are lines "FROM TO" in the rack's file `cuts`, one for each direction; TO may be "all".  The rules are made from
# the file as a whole, in one transaction.
network_apply_cuts() {
	rules=$RACK/cuts.nft
	{
		echo "table bridge rack"
		echo "delete table bridge rack"
		echo "table bridge rack {"
		echo "chain forward {"
		echo "type filter hook forward priority 0;"
		sort -u "$RACK/cuts" | while read -r from to; do
			if [ "$to" = all ]; then
				echo "ether saddr $(node_mac "$from") drop"
				echo "ether daddr $(node_mac "$from") drop"
			else
				echo "ether saddr $(node_mac "$from") ether daddr $(node_mac "$to") drop"
			fi
		done
		echo "}"
		echo "}"
	} >"$rules"
	nsenter --net="/run/netns/$(network_ns)" nft -f "$rules" || die "nft refused the cuts"
}

network_cut() {
	(
		flock 9
		printf '%s\n' "$@" >>"$RACK/cuts"
		network_apply_cuts
	) 9>"$RACK/cuts.lock"
}

network_heal() {
	(
		flock 9
		grep -vE "^$1 | $1\$" "$RACK/cuts" >"$RACK/cuts.new" || :
		mv "$RACK/cuts.new" "$RACK/cuts"
		network_apply_cuts
	) 9>"$RACK/cuts.lock"
}
