package http1_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/telemetry"

	"bufio"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	smallRequest = "GET /orders/17 HTTP/1.1\r\nHost: orders.shop.mesh\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"
	smallAnswer  = "HTTP/1.1 200 OK\r\nServer: test\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"
)

// fixed answers every batch of bytes that ends a head with the same bytes, and
// allocates nothing.
func fixed(answer string) func(*net.TCPConn, *bufio.Reader) {
	return func(c *net.TCPConn, in *bufio.Reader) {
		b, out := make([]byte, 4096), []byte(answer)
		for {
			if _, err := in.Read(b); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
}

// exchanger returns what sends one small request over a kept connection and
// reads its answer, in steady state.
func exchanger(t testing.TB) (once func()) { return guardedExchanger(t, 0) }

// guardedExchanger is an exchanger whose Service is the destination of so many
// TrafficTargets, each for other paths; the last is for the request's.
func guardedExchanger(t testing.TB, targets int) (once func()) {
	at := newOrigin(t, fixed(smallAnswer)).at
	w := newWorld(t, http1.Config{Metrics: telemetry.NewProxy(prometheus.NewRegistry(), telemetry.ProxyConfig{})}, at)
	if targets > 0 {
		w.bind(guarded(w.mesh(at), targets))
	}
	return w.exchanger()
}

// exchanger is what exchanger returns, of this world.
func (w *world) exchanger() (once func()) {
	w.Helper()
	c, t := w.dial(), w.TB
	out, in := []byte(smallRequest), make([]byte, 4096)
	once = func() {
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAtLeast(c, in, 10); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		once()
	}
	return once
}

// BenchmarkExchange is one small request through two real connections, clients
// and servers in the same process.
func BenchmarkExchange(b *testing.B) {
	once := exchanger(b)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}

// guarded adds targets to a mesh, in which 127.0.0.1 is both who calls and who
// serves: all but the last allow other paths.
func guarded(m *mesh.Mesh, targets int) *mesh.Mesh {
	pod := &mesh.Workload{Name: mesh.Name{Namespace: "shop", Name: "orders"}, ServiceAccount: "orders", Access: mesh.AccessEnforce, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	m.Workloads, m.Services[0].Access = []*mesh.Workload{pod}, mesh.AccessEnforce
	who := mesh.Account("shop", "orders")
	for i := range targets {
		match := &mesh.RequestMatch{Path: fmt.Sprintf("/api/v1/things-%d/.*", i), Methods: []string{"GET", "HEAD"}}
		if i == targets-1 {
			match.Path = "/orders/[0-9]+"
		}
		m.Access.Grants = append(m.Access.Grants, &mesh.Grant{
			Destination: who, Sources: []mesh.Principal{who}, TCP: mesh.Ports{All: true}, Requests: true, Matches: []*mesh.RequestMatch{match},
		})
	}
	return m
}

// BenchmarkGuardedExchange is BenchmarkExchange with 100 TrafficTargets enforced,
// all of which are the caller's: it may take 1.10 times as long (docs/performance.md).
func BenchmarkGuardedExchange(b *testing.B) {
	once := guardedExchanger(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}
