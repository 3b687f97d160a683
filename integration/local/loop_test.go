package local

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Whoever writes a slice can lead a call neither to the admin API nor in a
// circle: it is refused at once, and the Service has a problem.
func TestTheMeshIsNoEndpointOfItself(t *testing.T) {
	p := start(t, nil)
	own := p.prefix()
	p.write("evil.yaml", strings.NewReplacer("OWN", own).Replace(circles))
	await(t, "the three Services", func() bool { return len(p.problems()) >= 4 })
	for _, at := range []string{"1:8080", "2:8080"} {
		response, err := http.Get("http://" + own + at + "/api/problems")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if reason := response.Header.Get("Weft-Reason"); response.StatusCode != http.StatusLoopDetected || reason != "loop" {
			t.Errorf("%s: %d %q; want 508 loop", at, response.StatusCode, reason)
		}
	}
	// The reset may meet the client while it still connects.
	if c, err := net.Dial("tcp", own+"3:8081"); err == nil {
		defer c.Close()
		if got, _ := io.ReadAll(c); len(got) > 0 { // an error is a refusal, too
			t.Errorf("a connection in a circle brought %q", got)
		}
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	want := []string{
		"Service evil/admin EndpointForbidden", "Service evil/circle EndpointForbidden", "Service evil/circle EndpointForbidden",
		"Service evil/wire EndpointForbidden",
	}
	if got := p.problems(); !slices.Equal(got, want) {
		t.Errorf("problems %q; want %q", got, want)
	}
}

// circles are Services whose endpoints are the admin API and mesh addresses.
const circles = `
apiVersion: v1
kind: Service
metadata: {name: admin, namespace: evil}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: admin, namespace: evil, labels: {kubernetes.io/service-name: admin}}
addressType: IPv4
ports: [{name: http, port: 15000, protocol: TCP}]
endpoints: [{addresses: [OWN254], conditions: {ready: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: circle, namespace: evil}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: circle, namespace: evil, labels: {kubernetes.io/service-name: circle}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [OWN1], conditions: {ready: true}}, {addresses: [OWN2], conditions: {ready: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: wire, namespace: evil}
spec: {ports: [{name: tcp, port: 81}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: wire, namespace: evil, labels: {kubernetes.io/service-name: wire}}
addressType: IPv4
ports: [{name: tcp, port: 8081, protocol: TCP}]
endpoints: [{addresses: [OWN3], conditions: {ready: true}}]
`
