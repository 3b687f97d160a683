package nodeproxy_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// greet is a TCP server that says what it has read first, and then all it reads.
func greet(t *testing.T) string {
	return tcpBackend(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
}

func TestConnectionsAreCapped(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "tcp", greet(t))
	w.annotate("orders", "max-connections", "2")
	w.publish()
	talks := func() error {
		c := dial(t, at)
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	if err := talks(); err != nil {
		t.Fatal(err)
	}
	last := dial(t, at)
	_, _ = last.Write([]byte("x"))
	if _, err := io.ReadFull(last, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := talks(); err == nil {
		t.Error("a third connection is open")
	}
	_ = last.Close()
	eventually(t, "there is room again", func() bool { return talks() == nil })
}

func TestIdleConnectionsEnd(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "tcp", greet(t))
	w.annotate("orders", "idle-timeout", "200ms")
	w.publish()
	began, c := time.Now(), dial(t, at)
	if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(began) < 150*time.Millisecond || time.Since(began) > 5*time.Second {
		t.Errorf("the connection ended after %v with %v; want a reset after 200ms", time.Since(began), err)
	}
}

// PROXY protocol version 2 tells the endpoint the caller's address.
func TestEndpointsAreToldWhoCalls(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "tcp", greet(t))
	w.annotate("orders", "proxy-protocol", "true")
	w.publish()
	c := dial(t, at)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 28+5)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	from, to := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	want := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + string(from.Addr().AsSlice()) + string(to.Addr().AsSlice()) +
		string([]byte{byte(from.Port() >> 8), byte(from.Port()), byte(to.Port() >> 8), byte(to.Port())}) + "hello"
	if string(got) != want {
		t.Errorf("the endpoint read\n%q; want\n%q", got, want)
	}
}

// An endpoint that takes no connection is left after the time that is allowed.
func TestConnectTimeout(t *testing.T) {
	full := fullListener(t)
	each(t, []string{"tcp", "http"}, func(t *testing.T, protocol string) {
		w := newWorld(t, nodeproxy.Config{Limits: limits.Limits{ConnectTimeout: time.Hour}})
		at := w.service("orders", protocol, full)
		w.annotate("orders", "connect-timeout", "100ms")
		w.publish()
		began := time.Now()
		if protocol == "tcp" {
			_, _ = dial(t, at).Read(make([]byte, 1))
		} else {
			w.refused(client(t, true), at, 504, "upstream-timeout")
		}
		if took := time.Since(began); took < 100*time.Millisecond || took > 10*time.Second {
			t.Errorf("the call ended after %v; want 100ms", took)
		}
	})
}
