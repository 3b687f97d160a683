// Package guard closes the way around the mesh: in a guarded namespace it keeps
// a NetworkPolicy by which the pods take connections from the node proxies only,
// and from whom else the namespace admits.
//
//	r := guard.New(guard.Config{Client: client, Namespace: "weft"})
//	loop := control.New(control.Config{Publish: func(s *control.Snapshot) { r.Put(s.Mesh) }})
//	err := r.Run(ctx)
//
// The policy is called weft-guard and carries app.kubernetes.io/managed-by=weft.
// One of that name without the label is somebody else's and is never touched.
// It selects every pod of the namespace, whether a Service does or not: a pod is
// called by its address too. The kubelet's probes need no rule, for a pod always
// takes connections from its own node (Kubernetes, Network Policies). What else
// is to be let in to some pods only is another NetworkPolicy's matter: they add
// to each other.
//
// Whether NetworkPolicies hold is up to the network plugin, and nothing in the
// API tells. So the Reconciler tries: it is a pod that no guard admits, and a
// guarded pod that takes its connection all the same is a Problem.
//
// # Rights
//
// Everywhere; the name of what is created cannot be restricted:
//
//	rules:
//	- apiGroups: [networking.k8s.io]
//	  resources: [networkpolicies]
//	  resourceNames: [weft-guard]
//	  verbs: [get, list, watch, update, delete]
//	- apiGroups: [networking.k8s.io]
//	  resources: [networkpolicies]
//	  verbs: [create]
package guard
