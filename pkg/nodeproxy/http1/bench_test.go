package http1_test

import (
	"io"
	"net"
	"testing"

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
func exchanger(t testing.TB) (once func()) {
	w := newWorld(t, http1.Config{Metrics: telemetry.NewProxy(prometheus.NewRegistry(), telemetry.ProxyConfig{})}, newOrigin(t, fixed(smallAnswer)).at)
	c := w.dial()
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
