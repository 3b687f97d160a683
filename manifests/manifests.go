// Package manifests holds the objects that install Weft in a cluster. The
// folder is a kustomize base; install.yaml is what it renders to, for those who
// install without kustomize and for weft's own commands:
//
//	kubectl apply -k manifests
//	kubectl apply -f manifests/install.yaml
//
// `make manifests` renders install.yaml anew.
package manifests

import _ "embed"

//go:embed install.yaml
var install string

// Install is install.yaml: YAML documents in the order in which they can be
// created, each with the label app.kubernetes.io/part-of=weft. The caller owns
// the bytes.
func Install() []byte { return []byte(install) }
