package local

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/pki"
)

// block returns the block of a page that follows <!-- test: name -->.
func block(t *testing.T, page, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)<!-- test: " + regexp.QuoteMeta(name) + " -->\n```[a-z]*\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s has no block marked %q", page, name)
	}
	return string(found[1])
}

// stalls accepts requests and answers none.
func stalls(t *testing.T) netip.AddrPort {
	t.Helper()
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-end:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(end) })
	return addrPort(server.Listener.Addr())
}

// behind is what serves a Service of a document: an endpoint at each address.
func behind(t *testing.T, service string, at ...netip.AddrPort) (out string) {
	t.Helper()
	for i, a := range at {
		out += document(t, slice(fmt.Sprintf("%s-%d", service, i), service, &port{name: "http", number: 80}, a))
	}
	return out
}

// TestThePageOfPoliciesWorks runs the example of docs/policies.md with one
// endpoint that answers and one that never does.
func TestThePageOfPoliciesWorks(t *testing.T) {
	example := strings.ReplaceAll(block(t, "policies.md", "policies.yaml"), "targetPort: 9001", "targetPort: http")
	p := start(t, map[string]string{"shop.yaml": example + "---\n" + behind(t, "orders", stalls(t), echoHTTP(t, "v1"))})
	if problems := p.problems(); len(problems) > 0 {
		t.Fatalf("the example has problems: %v", problems)
	}
	transport := p.transport()
	for range 20 {
		began := time.Now()
		if version, err := call(transport); version != "v1" || err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("a call got %q, %v after %v", version, err, time.Since(began))
		}
	}
}

// TestTheExampleOfTLSWorks runs the example of docs/policies.md with its Secret,
// which is changed for one that vouches for nobody here.
func TestTheExampleOfTLSWorks(t *testing.T) {
	ca, other := certificateAuthority(t), certificateAuthority(t)
	certificate, err := ca.Issue("orders", "orders.shop.svc")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Version", r.TLS.ServerName)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	example := strings.ReplaceAll(block(t, "policies.md", "tls.yaml"), "targetPort: 9001", "targetPort: http") + "---\n" + behind(t, "orders", addrPort(server.Listener.Addr()))
	p := start(t, map[string]string{"shop.yaml": example, "ca.yaml": secret("orders-ca", ca)})
	if problems := p.problems(); len(problems) > 0 {
		t.Fatalf("the example has problems: %v", problems)
	}
	if version, err := call(p.transport()); version != "orders.shop.svc" || err != nil {
		t.Errorf("a call reached %q, %v", version, err)
	}
	// No connection of before may be used for the next call.
	p.edit("ca.yaml", secret("orders-ca", other))
	if status, err := call(p.transport()); status != "502 Bad Gateway" || err != nil {
		t.Errorf("with a CA that does not vouch for the endpoint a call got %q, %v", status, err)
	}
	p.edit("ca.yaml", "")
	if problems := p.problems(); len(problems) != 1 || problems[0] != "Service shop/orders CAUnreadable" {
		t.Errorf("without the Secret the problems are %v", problems)
	}
}

func certificateAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	ca, err := pki.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// secret is a Secret that holds a CA.
func secret(name string, ca *pki.Authority) string {
	text := strings.ReplaceAll(strings.TrimSpace(string(ca.Certificate)), "\n", "\n    ")
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + ", namespace: shop}\nstringData:\n  ca.crt: |\n    " + text + "\n"
}

// application is what ran with Traefik Mesh, as it was.
const application = `apiVersion: v1
kind: Service
metadata:
  name: orders
  namespace: shop
  annotations:
    mesh.traefik.io/traffic-type: "http"
    mesh.traefik.io/retry-attempts: "3"
    mesh.traefik.io/circuit-breaker-expression: "LatencyAtQuantileMS(50.0) > 60000"
spec:
  ports:
  - name: http
    port: 80
    targetPort: http
---
apiVersion: v1
kind: Service
metadata:
  name: limited
  namespace: shop
  annotations:
    maesh.containo.us/ratelimit-average: "1"
    maesh.containo.us/ratelimit-burst: "2"
spec:
  ports:
  - name: http
    port: 80
    targetPort: http
---
apiVersion: v1
kind: Service
metadata:
  name: grpc
  namespace: shop
  annotations:
    mesh.traefik.io/scheme: h2c
spec:
  ports:
  - name: http
    port: 80
    targetPort: http
---
apiVersion: v1
kind: Service
metadata: {name: canary, namespace: shop}
spec:
  ports:
  - {name: http, port: 80, targetPort: http}
---
apiVersion: split.smi-spec.io/v1alpha3
kind: TrafficSplit
metadata: {name: split, namespace: shop}
spec:
  service: canary
  backends:
  - {service: orders, weight: 50}
  - {service: grpc, weight: 50}
---
`

// TestAnApplicationOfTraefikMeshRuns runs it with nothing changed: its objects,
// its annotations, its host names.
func TestAnApplicationOfTraefikMeshRuns(t *testing.T) {
	var broken atomic.Int64
	resets := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		broken.Add(1)
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}))
	t.Cleanup(resets.Close)
	p := start(t, map[string]string{"app.yaml": application +
		behind(t, "orders", addrPort(resets.Listener.Addr()), echoHTTP(t, "v1")) +
		behind(t, "limited", echoHTTP(t, "v1")) + behind(t, "grpc", echoHTTP(t, "v2"))}, "--aliases=traefik.mesh,maesh")
	if problems := p.problems(); len(problems) > 0 {
		t.Fatalf("the application has problems: %v", problems)
	}
	addresses := map[string]bool{}
	for _, domain := range []string{"mesh", "traefik.mesh", "maesh"} {
		addresses[lookup(t, p, "orders.shop."+domain)] = true
	}
	if len(addresses) != 1 {
		t.Errorf("the names of orders lead to %v; want one address", addresses)
	}
	c := &http.Client{Transport: p.transport()}
	status := map[string]map[int]int{}
	versions := map[string]int{}
	for _, service := range []string{"orders", "limited", "grpc", "canary"} {
		status[service] = map[int]int{}
		for range 10 {
			response, err := c.Get("http://" + service + ".shop.mesh:8080/")
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			status[service][response.StatusCode]++
			if service == "canary" {
				versions[response.Header.Get("Version")]++
			}
			if proto := response.Header.Get("Seen-Proto"); service == "grpc" && proto != "HTTP/2.0" {
				t.Errorf("scheme: h2c reaches the endpoint as %q", proto)
			}
		}
	}
	if status["orders"][200] != 10 || broken.Load() == 0 {
		t.Errorf("retry-attempts: 10 calls got %v, and %d met the endpoint that breaks off", status["orders"], broken.Load())
	}
	if status["limited"][200] < 2 || status["limited"][429] == 0 {
		t.Errorf("ratelimit: 10 calls got %v", status["limited"])
	}
	if status["grpc"][200] != 10 || versions["v2"] != 5 {
		t.Errorf("scheme and split: %v, %v", status["grpc"], versions)
	}
}

// lookup asks the mesh's own DNS server.
func lookup(t *testing.T, p *process, name string) string {
	t.Helper()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", p.dns)
	}}
	found, err := resolver.LookupNetIP(context.Background(), "ip4", name+".")
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", name, found, err)
	}
	return found[0].String()
}
