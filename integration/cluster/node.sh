# A node: namespaces of its own for network, mounts and processes, and in them
# containerd, kubelet and kube-proxy. When its first process ends, all of its
# processes, pods included, and all of its mounts are gone.

# node_up NODE: all that needs no API server yet.
node_up() {
	local n=$1 d=$state/$1
	mkdir -p "$d"
	# Where programs have paths of their own, the node has its own files too.
	spawn "$n" nsenter --net=/run/netns/weft-"$n" unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		bash -c "set -e; for f in /run /var/lib /var/log; do mount -t tmpfs tmpfs \$f; done; exec $bin/pause"
	within 20 in_node "$n" grep -q ' /var/log tmpfs' /proc/mounts
	network_config "$n" >"$d/10-pods.conflist"
	containerd_config "$n" >"$d/containerd.toml"
	kubelet_config "$n" >"$d/kubelet.yaml"
	run_on_node "$n" containerd
	import "$n" "$state/pause.tar"
	import "$n" "$state/coredns.tar"
}

# in_node NODE COMMAND…: in all of the node's namespaces.
in_node() { nsenter --target "$(pgrep -P "$(cat "$state/pids/$1")")" --mount --pid --net "${@:2}"; }

# run_on_node NODE NAME
run_on_node() {
	local n=$1 d=$state/$1 enter
	enter="nsenter --target $(pgrep -P "$(cat "$state/pids/$n")") --mount --pid --net --wd=$state"
	case $2 in
	containerd)
		spawn "$n-containerd" $enter containerd -c "$d/containerd.toml"
		within 20 in_node "$n" ctr version ;;
	kubelet) spawn "$n-kubelet" $enter "$bin/kubelet" --config "$d/kubelet.yaml" --kubeconfig "$n.kubeconfig" --hostname-override "$n" --node-ip "$(node_ip "${n#node}")" --root-dir "$d/kubelet" ;;
	kube-proxy) spawn "$n-kube-proxy" $enter "$bin/kube-proxy" --kubeconfig kube-proxy.kubeconfig --hostname-override "$n" --proxy-mode nftables --cluster-cidr 10.244.0.0/16 --conntrack-max-per-core 0 --metrics-bind-address 127.0.0.1:10249 ;;
	# Of kube-router only what enforces NetworkPolicies.
	kube-router) spawn "$n-kube-router" $enter "$bin/kube-router" --kubeconfig kube-router.kubeconfig --hostname-override "$n" --run-firewall --run-router=false --run-service-proxy=false --service-cluster-ip-range 10.96.0.0/16 --health-port 0 ;;
	*) echo "no process $2 on a node, there are: containerd kubelet kube-proxy kube-router" >&2; return 1 ;;
	esac
}

# Each pod has a link of its own to its node, so that what one pod sends to
# another on the same node is routed there, and a ClusterIP works without the
# kernel's br_netfilter.
network_config() {
	cat <<-END
		{"cniVersion": "0.4.0", "name": "pods", "plugins": [
		  {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(pod_net "${1#node}")"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$state/$1/ipam"}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	END
}

containerd_config() {
	cat <<-END
		version = 2
		root = "$state/$1/containerd"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "registry.k8s.io/pause:3.10"
		  restrict_oom_score_adj = true
		  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		    runtime_type = "io.containerd.runc.v2"
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "$state/$1"
	END
}

# The kubelet keeps out of the machine's cgroups and never throws an image
# away: there is no registry to get it back from.
kubelet_config() {
	cat <<-END
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		failCgroupV1: false
		cgroupDriver: cgroupfs
		cgroupsPerQOS: false
		enforceNodeAllocatable: []
		localStorageCapacityIsolation: false
		imageGCHighThresholdPercent: 100
		evictionHard: {memory.available: 50Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
		failSwapOn: false
		syncFrequency: 2s
		clusterDNS: [10.96.0.10]
		clusterDomain: cluster.local
		resolvConf: ""
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		tlsCertFile: $state/$1.crt
		tlsPrivateKeyFile: $state/$1.key
		authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $state/ca.crt}}
		authorization: {mode: AlwaysAllow}
		podLogsDir: $state/$1/logs
	END
}

# archive REF BINARY TAR: BINARY, static, as the only file of an image.
archive() {
	local tmp layer name
	tmp=$(mktemp -d "$state/image.XXXX"); mkdir -p "$tmp/root/tmp"; chmod 755 "$tmp/root"; chmod 1777 "$tmp/root/tmp"
	name=$(basename "$2"); install -m 755 "$2" "$tmp/root/$name"
	tar -C "$tmp/root" --owner=0 --group=0 -cf "$tmp/layer.tar" .
	layer=$(sha256sum "$tmp/layer.tar" | cut -d' ' -f1)
	printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$(go env GOARCH)" "$name" "$layer" >"$tmp/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" >"$tmp/manifest.json"
	tar -C "$tmp" -cf "$3" config.json layer.tar manifest.json
	rm -rf "$tmp"
}

# import NODE TAR
import() { in_node "$1" ctr -n k8s.io images import - <"$2" >/dev/null; }

# image REF TAR|BINARY: on both nodes; an archive must hold REF itself.
image() {
	local i tar=$2
	if ! tar -tf "$2" >/dev/null 2>&1; then
		tar=$state/image.tar
		archive "$1" "$2" "$tar"
	fi
	for i in $nodes; do
		import node$i "$tar"
		in_node node$i ctr -n k8s.io images ls -q "name==$1" | grep -q . || { echo "$2 has no image $1" >&2; return 1; }
	done
	rm -f "$state/image.tar"
}

# remove_cgroups: those of containers that were killed with their node, and
# containerd's own above them when nobody else has any there.
remove_cgroups() {
	local id kept=io.containerd.grpc.v1.cri
	for id in $(ls "$state"/node*/containerd/$kept/sandboxes "$state"/node*/containerd/$kept/containers 2>/dev/null | grep -E '^[0-9a-f]{64}$') k8s.io; do
		find /sys/fs/cgroup -depth -maxdepth 4 -type d -name "$id" -exec rmdir {} + 2>/dev/null || true
	done
}
