// Package cluster keeps the cluster's own DNS patched: it finds the ConfigMaps
// that CoreDNS and node-local-dns read, and writes into them what package
// dnspatch makes of their text.
//
//	patcher := cluster.New(cluster.Config{Client: client, Report: log})
//	err := patcher.Run(ctx)    // the leader, for as long as it leads
//	err = patcher.Remove(ctx)  // weft uninstall
//
// Where the block goes:
//
//   - the Corefile that a Deployment or DaemonSet with a label of CoreDNS in
//     kube-system mounts, whatever the names of the workload and of its
//     ConfigMap;
//   - where that Corefile imports "*.override" from a folder in which a
//     ConfigMap is mounted (coredns-custom of AKS and k3s): the key
//     weft.override there, as the Corefile itself belongs to the platform. The
//     ConfigMap is created if it is missing and the mount is optional;
//   - the ConfigMap node-local-dns where there is one, because else no mesh name
//     reaches CoreDNS.
//
// A write happens only where the text differs, on the version that was read. A
// CoreDNS without the reload plugin is restarted by the annotation
// weft.mesh/restarted-at of its pod template. Its value is that of the
// annotation weft.mesh/changed-at, written into the ConfigMap in the same
// update as the block, so that a restart is not lost when the writer dies in
// between. Remove drops both, and dropping the first restarts once more.
//
// # Rights
//
// A Role in kube-system, nothing cluster-wide (further names where the
// ConfigMap or the workload has another one; an error tells which):
//
//	rules:
//	- apiGroups: [""]
//	  resources: [configmaps]
//	  resourceNames: [coredns, rke2-coredns-rke2-coredns, coredns-custom, node-local-dns]
//	  verbs: [get, update]
//	- apiGroups: [apps]
//	  resources: [deployments, daemonsets]
//	  verbs: [list]
//	- apiGroups: [apps]
//	  resources: [deployments, daemonsets]
//	  resourceNames: [coredns, rke2-coredns-rke2-coredns, node-local-dns]
//	  verbs: [patch]
//	# Only where coredns-custom is optional and missing, as on k3s (RBAC cannot
//	# limit a creation to a name):
//	- apiGroups: [""]
//	  resources: [configmaps]
//	  verbs: [create]
//	- apiGroups: [""]
//	  resources: [configmaps]
//	  resourceNames: [coredns-custom]
//	  verbs: [delete]
package cluster
