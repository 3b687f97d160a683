# The control plane: certificates, etcd, API server, controllers, scheduler.

control_plane_names() { printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler; }

# In a shell of its own, for its folder and for files that are nobody else's.
certificates() (
	cd "$state"; umask 077
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=kubernetes -keyout ca.key -out ca.crt 2>/dev/null
	openssl ecparam -name prime256v1 -genkey -noout -out sa.key; openssl ec -in sa.key -pubout -out sa.pub 2>/dev/null
	certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$cp_ip,IP:10.96.0.1"
	certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client
	certificate admin /O=system:masters/CN=admin
	user kube-controller-manager /CN=system:kube-controller-manager
	user kube-scheduler /CN=system:kube-scheduler
	user kube-proxy /CN=system:kube-proxy
	user kube-router /O=system:masters/CN=kube-router
	for i in $nodes; do user node$i /O=system:nodes/CN=system:node:node$i "DNS:node$i,IP:$(node_ip $i)"; done
)

# certificate NAME SUBJECT [ALTERNATIVE NAMES]
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr" 2>/dev/null
	openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
		-extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${3:-DNS:$1}") 2>/dev/null
}

user() { certificate "$@"; kubeconfig "$1" "https://$cp_ip:6443" >"$1.kubeconfig"; }

# kubeconfig NAME SERVER
kubeconfig() {
	cat <<-END
		apiVersion: v1
		kind: Config
		clusters: [{name: weft, cluster: {server: "$2", certificate-authority: $state/ca.crt}}]
		users: [{name: $1, user: {client-certificate: $state/$1.crt, client-key: $state/$1.key}}]
		contexts: [{name: weft, context: {cluster: weft, user: $1}}]
		current-context: weft
	END
}

api_ready() { within 60 kubectl get --raw /readyz; }

# run_on_control_plane NAME
run_on_control_plane() {
	local net="nsenter --net=/run/netns/weft-cp" name=$1
	local client="--kubeconfig $name.kubeconfig --authentication-kubeconfig $name.kubeconfig --authorization-kubeconfig $name.kubeconfig --leader-elect=false"
	case $name in
	etcd)
		spawn etcd $net "$bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync \
			--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 ;;
	kube-apiserver)
		spawn $name $net "$bin/$name" --etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range=10.96.0.0/16 --advertise-address=$cp_ip \
			--tls-cert-file=apiserver.crt --tls-private-key-file=apiserver.key --client-ca-file=ca.crt --cert-dir="$state" \
			--kubelet-client-certificate=kubelet-client.crt --kubelet-client-key=kubelet-client.key --kubelet-certificate-authority=ca.crt --kubelet-preferred-address-types=InternalIP \
			--service-account-key-file=sa.pub --service-account-signing-key-file=sa.key --service-account-issuer=https://kubernetes.default.svc \
			--authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true --enable-aggregator-routing=true \
			--proxy-client-cert-file=kubelet-client.crt --proxy-client-key-file=kubelet-client.key --requestheader-client-ca-file=ca.crt --requestheader-allowed-names=apiserver-kubelet-client \
			--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- ;;
	kube-controller-manager)
		# A busy machine must not have its nodes taken for lost, and all endpoints for unready, after the API server was stopped.
		spawn $name $net "$bin/$name" $client --node-monitor-grace-period=10m --use-service-account-credentials --service-account-private-key-file=sa.key --root-ca-file=ca.crt ;;
	kube-scheduler) spawn $name $net "$bin/$name" $client ;;
	*) echo "no process $name, there are:" $(control_plane_names) "node1-kubelet …" >&2; return 1 ;;
	esac
}
