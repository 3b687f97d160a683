package nodeproxy_test

import (
	"io"
	"net"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// echo says back what it hears, then ends as the client did.
func echo(c *net.TCPConn) { _, _ = io.Copy(c, c) }

func TestTCPEchoAndHalfClose(t *testing.T) {
	for _, protocol := range []string{"tcp", ""} {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("db", protocol, tcpBackend(t, echo))
		w.publish()
		c := dial(t, at)
		if _, err := c.Write([]byte("\x00\x01hello")); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "\x00\x01hello" {
			t.Errorf("protocol %q: got %q, %v", protocol, got, err)
		}
	}
}
