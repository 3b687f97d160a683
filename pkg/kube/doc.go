// Package kube is the edge to Kubernetes. It trims objects to what package mesh
// keeps of them and decides nothing:
//
//	cluster := kube.NewCluster(kube.ClusterConfig{Client: client, Dynamic: dynamicClient})
//	files := kube.NewFiles(kube.FilesConfig{Paths: []string{"manifests"}})
//	loop := control.New(control.Config{Sources: []control.Source{cluster}})
//
// Both are sources of changes: a Cluster watches an API server, Files watch YAML
// and JSON files that hold the same objects. Events tells problems back, as
// Events on the objects.
//
// An object that cannot be read becomes a problem on that object, and what was
// read of it before stays in effect: a broken object does not say what its
// author wants, and routing by what was wanted a moment ago harms least. It is
// gone when the object is. Only what says who may call whom (TrafficTargets,
// IdentityBindings and the routes that they name) grants nothing while it cannot
// be read: nodes must not differ by when they were started.
package kube
