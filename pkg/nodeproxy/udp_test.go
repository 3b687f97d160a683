package nodeproxy_test

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// udpBackend answers each datagram with a name and what came, and counts the
// addresses it hears from.
func udpBackend(t *testing.T, name string, clients *atomic.Int32) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		seen, buffer := map[string]bool{}, make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			if !seen[from.String()] && clients != nil {
				seen[from.String()] = true
				clients.Add(1)
			}
			_, _ = c.WriteTo(append([]byte(name), buffer[:n]...), from)
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-served
	})
	return c.LocalAddr().String()
}

func udpDial(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// exchange sends a datagram and returns the reply.
func exchange(t *testing.T, c net.Conn, sent []byte) []byte {
	t.Helper()
	buffer := make([]byte, 1<<16)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return buffer[:n]
}

func TestUDP(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	var clients atomic.Int32
	at := w.transport(mesh.UDP, "dns", "", udpBackend(t, "", &clients))
	w.publish()
	c := udpDial(t, at)
	for _, size := range []int{0, 1, 512, 1500, 65000} {
		sent := bytes.Repeat([]byte("d"), size)
		if got := exchange(t, c, sent); !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
	}
	exchange(t, udpDial(t, at), []byte("x"))
	if clients.Load() != 2 {
		t.Errorf("the endpoint heard from %d addresses; want one per client", clients.Load())
	}
	labels := map[string]string{"destination_service": "dns.shop", "source_workload": "caller"}
	if n := w.count("weft_udp_sessions", labels); n != 2 {
		t.Errorf("%v sessions are counted", n)
	}
	eventually(t, "datagrams are counted", func() bool { return w.count("weft_udp_datagrams_total", labels) == 12 })
}

func TestUDPSessionsEndWhenIdle(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{UDPIdleTimeout: 30 * time.Millisecond})
	at := w.transport(mesh.UDP, "dns", "", udpBackend(t, "", nil))
	w.publish()
	c := udpDial(t, at)
	exchange(t, c, []byte("x"))
	eventually(t, "the session ends", func() bool { return w.count("weft_udp_sessions", nil) == 0 })
	exchange(t, c, []byte("y"))
}

func TestUDPSessionsAreBounded(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{UDPSessions: 10})
	var clients atomic.Int32
	at := w.transport(mesh.UDP, "dns", "", udpBackend(t, "", &clients))
	w.publish()
	first := udpDial(t, at)
	exchange(t, first, []byte("x"))
	for range 30 {
		exchange(t, udpDial(t, at), []byte("x"))
		exchange(t, first, []byte("busy")) // never the oldest
	}
	if clients.Load() != 31 {
		t.Errorf("the endpoint heard from %d addresses; want 31: the busy session must stay", clients.Load())
	}
	eventually(t, "ten sessions are left", func() bool { return w.count("weft_udp_sessions", nil) == 10 })
}

// An endpoint that leaves, or that nobody listens at, loses its sessions.
func TestUDPSessionsMove(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	one, two := udpBackend(t, "1", nil), udpBackend(t, "2", nil)
	at := w.transport(mesh.UDP, "dns", "", one)
	w.publish()
	c := udpDial(t, at)
	if got := exchange(t, c, []byte("x")); string(got) != "1x" {
		t.Fatalf("got %q", got)
	}
	w.endpoints(mesh.UDP, "dns", two)
	w.publish()
	if got := exchange(t, c, []byte("x")); string(got) != "2x" {
		t.Errorf("got %q; want the endpoint that is left", got)
	}
	w.endpoints(mesh.UDP, "dns", closedPort(t), one)
	w.publish()
	again := udpDial(t, at)
	_ = again.SetDeadline(time.Time{})
	eventually(t, "a client reaches the endpoint that listens", func() bool {
		_ = again.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = again.Write([]byte("x"))
		n, _ := again.Read(make([]byte, 10))
		return n == 2
	})
}

func TestUDPWithoutEndpointsIsDropped(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.transport(mesh.UDP, "dns", "")
	w.publish()
	_, _ = udpDial(t, at).Write([]byte("x"))
	eventually(t, "the drop is counted", func() bool {
		return w.count("weft_refusals_total", map[string]string{"reason": "no-endpoints"}) == 1
	})
}

func TestUDPManyClientsAtOnce(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{UDPSessions: 20, UDPIdleTimeout: 5 * time.Millisecond})
	at := w.transport(mesh.UDP, "dns", "", udpBackend(t, "", nil))
	w.publish()
	var wg sync.WaitGroup
	for i := range 8 {
		c := udpDial(t, at)
		wg.Go(func() {
			for n := range 200 {
				sent := fmt.Sprint(i, " ", n)
				if got := exchange(t, c, []byte(sent)); string(got) != sent {
					t.Errorf("%q came back as %q", sent, got)
				}
			}
		})
	}
	wg.Wait()
}
