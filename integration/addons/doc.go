// Package addons shows what manifests/addons ships against a real Prometheus,
// that of PATH (Debian's package prometheus). It runs with the cluster suite, by
// the build tag e2e.
package addons
