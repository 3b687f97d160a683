package nodeproxy_test

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// udpBackend answers each datagram, given who sent it.
func udpBackend(t *testing.T, answer func(from string, datagram []byte) []byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		buffer := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(answer(from.String(), buffer[:n]), from)
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-served
	})
	return c.LocalAddr().String()
}

// same says back what it hears.
func same(_ string, datagram []byte) []byte { return datagram }

// who says from whom it hears.
func who(from string, _ []byte) []byte { return []byte(from) }

// named says its name and what it hears.
func named(name string) func(string, []byte) []byte {
	return func(_ string, datagram []byte) []byte { return append([]byte(name), datagram...) }
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
	at, whose := w.transport(mesh.UDP, "dns", "", udpBackend(t, same)), w.transport(mesh.UDP, "who", "", udpBackend(t, who))
	w.publish()
	c := udpDial(t, at)
	for _, size := range []int{0, 1, 512, 1500, 65000} {
		sent := bytes.Repeat([]byte("d"), size)
		if got := exchange(t, c, sent); !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
	}
	exchange(t, udpDial(t, at), []byte("x"))
	one, other := udpDial(t, whose), udpDial(t, whose)
	if a, b, again := exchange(t, one, nil), exchange(t, other, nil), exchange(t, one, nil); string(a) == string(b) || string(a) != string(again) {
		t.Errorf("the endpoint heard one client from %s and %s, another from %s", a, again, b)
	}
	labels := map[string]string{"destination_service": "dns.shop", "source_workload": "caller"}
	if n := w.count("weft_udp_sessions", labels); n != 2 {
		t.Errorf("%v sessions are counted", n)
	}
	eventually(t, "datagrams are counted", func() bool { return w.count("weft_udp_datagrams_total", labels) == 12 })
}

func TestUDPSessionsEndWhenIdle(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{UDPIdleTimeout: 30 * time.Millisecond})
	at := w.transport(mesh.UDP, "dns", "", udpBackend(t, same))
	w.publish()
	c := udpDial(t, at)
	exchange(t, c, []byte("x"))
	eventually(t, "the session ends", func() bool { return w.count("weft_udp_sessions", nil) == 0 })
	exchange(t, c, []byte("y"))
}

func TestUDPSessionsAreBounded(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{UDPSessions: 10})
	at := w.transport(mesh.UDP, "dns", "", udpBackend(t, who))
	w.publish()
	busy := udpDial(t, at)
	first := exchange(t, busy, nil)
	for range 30 {
		exchange(t, udpDial(t, at), nil)
		if now := exchange(t, busy, nil); string(now) != string(first) {
			t.Fatalf("a busy session moved from %s to %s", first, now)
		}
	}
	eventually(t, "ten sessions are left", func() bool { return w.count("weft_udp_sessions", nil) == 10 })
}

// An endpoint that leaves, or that nobody listens at, loses its sessions.
func TestUDPSessionsMove(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	one, two := udpBackend(t, named("1")), udpBackend(t, named("2"))
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
		return w.count("weft_refusals_total", map[string]string{"reason": "no-endpoints"}) == 1 &&
			w.count("weft_udp_sessions_refused_total", map[string]string{"destination_service": "dns.shop", "response_flags": "no-endpoints"}) == 1
	})
}

// TestUDPManyClientsAtOnce: sessions end and begin while datagrams flow. One
// may be lost with its session, as on any wire; the next one is not.
func TestUDPManyClientsAtOnce(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{UDPSessions: 6, UDPIdleTimeout: 5 * time.Millisecond})
	at := w.transport(mesh.UDP, "dns", "", udpBackend(t, same))
	w.publish()
	var wg sync.WaitGroup
	for i := range 8 {
		c := udpDial(t, at)
		wg.Go(func() {
			for n := range 100 {
				sent := fmt.Sprint(i, " ", n)
				eventually(t, sent+" comes back", func() bool { return comesBack(c, sent) })
			}
		})
	}
	wg.Wait()
	eventually(t, "all sessions end", func() bool { return w.count("weft_udp_sessions", nil) == 0 })
}

// comesBack sends a datagram and tells whether it is the next that is heard,
// after those that were late.
func comesBack(c net.Conn, sent string) bool {
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = c.Write([]byte(sent))
	buffer := make([]byte, 100)
	for {
		n, err := c.Read(buffer)
		if err != nil || string(buffer[:n]) == sent {
			return err == nil
		}
	}
}
