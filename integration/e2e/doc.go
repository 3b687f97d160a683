// Package e2e is the cluster suite: Weft on a real Kubernetes, called by real
// pods. `make e2e` runs it (build tag e2e), as root on Linux on two nodes that
// it makes itself, or on the cluster that KUBECONFIG names, whose nodes must
// then have the images ghcr.io/weft-mesh/weft (dist/weft-image.tar) and
// docker.io/weft-e2e/app:1 (the folder app), and which is used for nothing else
// meanwhile: the suite installs Weft, breaks it, and removes it.
package e2e
