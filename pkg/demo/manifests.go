package demo

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// The names of the demo's objects.
const (
	namespace = "shop"
	service   = "orders"
	stable    = "orders-v1"
	canary    = "orders-v2"
)

// manifests is the folder of YAML files that the mesh reads.
type manifests struct{ dir string }

// write puts all objects into the folder, with the canary at 0 %.
func (m manifests) write(stableAt, canaryAt []netip.AddrPort) error {
	both := append(append([]netip.AddrPort{}, stableAt...), canaryAt...)
	var objects []string
	for _, one := range []struct {
		name string
		at   []netip.AddrPort
	}{{service, both}, {stable, stableAt}, {canary, canaryAt}} {
		objects = append(objects, serviceYAML(one.name))
		for i, at := range one.at {
			objects = append(objects, sliceYAML(one.name, i, at))
		}
	}
	if err := m.replace("services.yaml", strings.Join(objects, "---\n")); err != nil {
		return err
	}
	return m.split(0)
}

// split rewrites the TrafficSplit: percent of the calls go to the canary.
func (m manifests) split(percent int) error { return m.replace("split.yaml", splitYAML(percent)) }

// splitPath is the file that the steps edit.
func (m manifests) splitPath() string { return filepath.Join(m.dir, "split.yaml") }

// replace writes a file at once, so that nobody reads half of it.
func (m manifests) replace(name, text string) error {
	next := filepath.Join(m.dir, "."+name+".next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(m.dir, name))
}

func serviceYAML(name string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: %s
  namespace: %s
spec:
  internalTrafficPolicy: Cluster
  ipFamilies:
  - IPv4
  ports:
  - name: http
    port: 80
    protocol: TCP
    targetPort: http
  selector:
    app: %s
  sessionAffinity: None
  type: ClusterIP
`, name, namespace, name)
}

// sliceYAML is an EndpointSlice of one endpoint: each has a port of its own
// here, and all endpoints of one slice share theirs.
func sliceYAML(name string, i int, at netip.AddrPort) string {
	return fmt.Sprintf(`addressType: IPv4
apiVersion: discovery.k8s.io/v1
endpoints:
- addresses:
  - %s
  conditions:
    ready: true
    serving: true
    terminating: false
kind: EndpointSlice
metadata:
  labels:
    kubernetes.io/service-name: %s
  name: %s-%d
  namespace: %s
ports:
- name: http
  port: %d
  protocol: TCP
`, at.Addr(), name, name, i, namespace, at.Port())
}

func splitYAML(percent int) string {
	return fmt.Sprintf(`apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata:
  name: %s
  namespace: %s
spec:
  service: %s
  backends:
  - service: %s
    weight: %d
  - service: %s
    weight: %d
`, service, namespace, service, stable, 100-percent, canary, percent)
}
