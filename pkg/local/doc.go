// Package local is a whole mesh on one machine: Kubernetes objects from YAML
// files, mesh addresses on the loopback, a DNS server for the mesh names and the
// same proxy that runs on a cluster's nodes.
//
//	m, err := local.New(local.Config{Manifests: []string{"shop.yaml"}})
//	…
//	err = m.Run(ctx) // until ctx ends; m.Ready() is closed once the mesh is up
//
// Every meshed Service gets an address of its own, and each of its ports is
// listened for there. Where the system has one loopback address only, each port
// gets a port of its own on it instead. kube-system is not meshed, as on a
// cluster.
package local
