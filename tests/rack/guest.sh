# shellcheck shell=sh
# The end of a guest's start, the same under both drivers.  Set before: name, address, id, and eth (its network device).
hostname "$name"
ip link set lo up
ip addr add "$address/24" dev "$eth"
ip link set "$eth" up
# A dead peer must not hold a connect for two minutes.
echo 1 >/proc/sys/net/ipv4/tcp_syn_retries
uuid=$(printf '00000000-0000-4000-8000-0000000000%02x' "$id")
mkdir -p /etc/nvme
echo "nqn.2014-08.org.nvmexpress:uuid:$uuid" >/etc/nvme/hostnqn
echo "$uuid" >/etc/nvme/hostid
# No udev runs here: libdevmapper makes its nodes itself.
export DM_DISABLE_UDEV=1 HOME=/root PATH=/opt/dnvme/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /root || cd /
echo "rack: $name is up after $(cut -d' ' -f1 /proc/uptime) s"
exec "$cmd" serve 7000
