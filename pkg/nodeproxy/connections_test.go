package nodeproxy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// An endpoint gets no more connections than it may have: what would need
// another is refused at once, and served again when one has ended.
func TestConnectionsToAnEndpointAreBounded(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{Limits: limits.Limits{Connections: 2}})
	arrived, release := make(chan struct{}), make(chan struct{})
	http1 := w.service("orders", "http", backend(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	tcp := w.service("echo", "tcp", tcpBackend(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) }))
	w.publish()
	const request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for range 3 {
		answers := make(chan string, 2)
		for range 2 {
			go func() { answers <- raw(t, http1, request) }()
			<-arrived
		}
		if got := raw(t, http1, request); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "overloaded") {
			t.Fatalf("the third got %q", got)
		}
		for range 2 {
			release <- struct{}{}
			if got := <-answers; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
				t.Fatalf("got %q", got)
			}
		}
		one, other := talks(t, tcp), talks(t, tcp)
		c := dial(t, tcp)
		if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Fatalf("the third connection: %v; want a reset", err)
		}
		_, _ = one.Close(), other.Close()
	}
}

// talks opens a connection that is heard, as soon as there is room for it.
func talks(t *testing.T, at string) (c *net.TCPConn) {
	t.Helper()
	eventually(t, "a connection is heard", func() bool {
		c = dial(t, at)
		_, _ = io.WriteString(c, "x")
		_, err := c.Read(make([]byte, 1))
		return err == nil
	})
	return c
}
