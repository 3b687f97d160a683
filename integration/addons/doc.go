// Package addons shows what manifests/addons ships against a real Prometheus: it
// finds node proxies as the pods of a real API server. It runs with the cluster
// suite, by the build tag e2e, but needs no root.
package addons
