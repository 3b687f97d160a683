# The network: one namespace for the control plane with a bridge, one per
# node. The machine's own network gets nothing but a listener on loopback.

in_net() { nsenter --net=/run/netns/weft-"$1" "${@:2}"; }

network_up() {
	local i j
	ip netns add weft-cp; ip -n weft-cp link set lo up
	ip -n weft-cp link add br0 type bridge; ip -n weft-cp addr add $cp_ip/24 dev br0; ip -n weft-cp link set br0 up
	in_net cp sysctl -qw net.ipv4.ip_forward=1
	for i in $nodes; do
		ip netns add weft-node$i; ip -n weft-node$i link set lo up
		ip -n weft-cp link add veth$i type veth peer name eth0 netns weft-node$i
		ip -n weft-cp link set veth$i master br0 up
		ip -n weft-node$i addr add "$(node_ip $i)/24" dev eth0; ip -n weft-node$i link set eth0 up
		ip -n weft-node$i route add default via $cp_ip
		in_net node$i sysctl -qw net.ipv4.ip_forward=1
		# The API server reaches pods, for APIs that they serve.
		ip -n weft-cp route add "$(pod_net $i)" via "$(node_ip $i)"
	done
	for i in $nodes; do for j in $nodes; do
		[ $i = $j ] || ip -n weft-node$i route add "$(pod_net $j)" via "$(node_ip $j)"
	done; done
}

network_down() {
	local ns
	for ns in cp node1 node2; do
		if [ -e /run/netns/weft-$ns ]; then ip netns del weft-$ns; fi
	done
}

# free_port: of loopback, above those that the kernel gives out by itself.
free_port() {
	local port
	for port in $(shuf -i 61000-65535 -n 50); do
		if [ -z "$(ss -Htan "sport = :$port")" ]; then echo "$port"; return; fi
	done
	echo "no free port" >&2; return 1
}

# forwarder: from loopback to the API server. A Unix socket belongs to no
# network, so two socats and a file reach into the namespace.
forwarder() {
	local port
	port=$(free_port)
	spawn api-inside nsenter --net=/run/netns/weft-cp socat UNIX-LISTEN:"$state/api.sock",fork TCP:$cp_ip:6443
	spawn api-outside socat TCP-LISTEN:"$port",bind=127.0.0.1,reuseaddr,fork UNIX-CONNECT:"$state/api.sock"
	kubeconfig admin "https://127.0.0.1:$port" >"$state/kubeconfig"
}
