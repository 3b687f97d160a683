// Package shadow gives every meshed Service a mesh address and a mesh name. It
// writes, in Weft's own namespace and nowhere else:
//
//   - a shadow Service per meshed Service: a ClusterIP (the mesh address) whose
//     endpoints are the node proxies and whose target ports are the mesh ports;
//   - a headless Service per meshed namespace, called as the namespace, with
//     EndpointSlices that hold one endpoint per meshed Service: hostname = the
//     Service, address = its mesh address. So orders.shop.weft.svc.cluster.local
//     is the mesh address of shop/orders, and a suffix rewrite in CoreDNS makes
//     it orders.shop.mesh.
//
// A Reconciler does it:
//
//	r := shadow.New(shadow.Config{Client: client, Namespace: "weft"})
//	err := r.Run(ctx)
//
// It owns what carries the label app.kubernetes.io/managed-by=weft (Services)
// or endpointslice.kubernetes.io/managed-by=weft (EndpointSlices; the first
// label will not do there, for Kubernetes copies a Service's labels to its own
// slices). It repairs what it owns, deletes what no longer stands for a
// Service, and never touches the rest: a name that something else has is a
// Problem.
//
// Each change is followed by a full pass: plan from the caches (pure), compare,
// write only what differs. A pass is O(n).
//
// Who is meshed: every Service with a TCP or UDP port, headless ones too, but
// for ExternalName, kube-system, Weft's own namespace, the ignored ones, and
// default/kubernetes: the API server's certificate is not valid for a mesh
// name, and behind a proxy its audit log would no longer know who called.
//
// Exactly one Reconciler may write to a namespace at a time; the caller sees
// to that (leader election).
//
// # Rights
//
// Everywhere (it asks for a single Service before it gives up its address):
//
//	rules:
//	- apiGroups: [""]
//	  resources: [services]
//	  verbs: [get, list, watch]
//
// In its own namespace:
//
//	rules:
//	- apiGroups: [""]
//	  resources: [services]
//	  verbs: [create, update, delete]
//	- apiGroups: [discovery.k8s.io]
//	  resources: [endpointslices]
//	  verbs: [get, list, watch, create, update, delete]
package shadow
