package nodeproxy_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// told is what the n events so far say of one client's connections or sessions,
// without a client the last.
func (e *events) told(t *testing.T, n int, client net.Addr) (out []string) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " events"), func() bool { _, ok := e.last(n); return ok })
	e.mu.Lock()
	defer e.mu.Unlock()
	of := e.all
	if client == nil {
		of = e.all[n-1:]
	}
	for _, event := range of {
		from := netip.AddrPortFrom(event.Client, event.Connection.ClientPort)
		if client != nil && client.String() != from.String() {
			continue
		}
		state := event.Connection.State
		if (event.Took > 0) != (state == telemetry.Closed || state == telemetry.Broken) || time.Since(event.Began).Abs() > time.Minute {
			t.Errorf("%s: began %v, took %v", state, event.Began, event.Took)
		}
		says := fmt.Sprint(state, " ", event.Protocol, " ", event.Source.Name, ">", event.Service, ":", event.Port, " ", event.Received, "/", event.Sent, " ", event.Reason)
		for _, try := range event.Tries {
			says += " " + try.Endpoint.String()
		}
		out = append(out, says)
	}
	return out
}

// want compares what is told of a client.
func (e *events) want(t *testing.T, n int, client net.Addr, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, e.told(t, n, client)); diff != "" {
		t.Error(diff)
	}
}

// TestEventsOfTCPConnections: each opens and ends, in the way it did, or is refused.
func TestEventsOfTCPConnections(t *testing.T) {
	each(t, []string{"tcp", ""}, func(t *testing.T, protocol string) {
		seen := &events{}
		w := newWorld(t, nodeproxy.Config{Connections: telemetry.NewEvents(seen)})
		echoes, resets := tcpBackend(t, echo), tcpBackend(t, func(c *net.TCPConn) {
			_, _ = io.ReadFull(c, make([]byte, 3))
			_ = c.SetLinger(0)
		})
		closed := closedPort(t)
		at, broken, gone, empty := w.service("db", protocol, echoes), w.service("resets", protocol, resets), w.service("gone", protocol, closed), w.service("empty", protocol)
		w.publish()

		c := dial(t, at)
		_, _ = c.Write([]byte("\x00hello"))
		_, _ = io.ReadFull(c, make([]byte, 6))
		seen.want(t, 1, c.LocalAddr(), "opened tcp caller>db:80 0/0  "+echoes)
		_ = c.CloseWrite()
		_, _ = io.ReadAll(c)
		seen.want(t, 2, c.LocalAddr(), "opened tcp caller>db:80 0/0  "+echoes, "closed tcp caller>db:80 6/6  "+echoes)

		c = dial(t, broken)
		_, _ = c.Write([]byte("\x00ab"))
		seen.want(t, 4, c.LocalAddr(), "opened tcp caller>resets:80 0/0  "+resets, "broken tcp caller>resets:80 3/0  "+resets)

		// Who is refused may not even have connected.
		_, _ = dial(t, gone).Write([]byte("\x00ab"))
		seen.want(t, 5, nil, "refused tcp caller>gone:80 0/0 connect-failed "+closed)

		_, _ = dial(t, empty).Write([]byte("\x00ab"))
		seen.want(t, 6, nil, "refused tcp caller>empty:80 0/0 no-endpoints")
	})
}

// TestEventsOfWhatIsNotAllowedAnyMore: a connection and a session that the rules
// turn against say so, and so does the next, which is refused.
func TestEventsOfWhatIsNotAllowedAnyMore(t *testing.T) {
	seen := &events{}
	w := newWorld(t, nodeproxy.Config{Connections: telemetry.NewEvents(seen)}).guard(mesh.AccessEnforce)
	db, dns := tcpBackend(t, echo), udpBackend(t, same)
	tcp, udp := w.service("db", "tcp", db), w.transport(mesh.UDP, "dns", "", dns)
	w.publish()
	c, s := dialFrom(t, webPod, "tcp", tcp), dialFrom(t, webPod, "udp", udp)
	if !echoes(c) || !echoes(s) {
		t.Fatal("no echo while allowed")
	}
	w.allow()
	w.publish()
	seen.want(t, 4, c.LocalAddr(), "opened tcp web>db:80 0/0  "+db, "broken tcp web>db:80 5/5 access-denied "+db)
	seen.want(t, 4, s.LocalAddr(), "opened udp web>dns:80 0/0  "+dns, "broken udp web>dns:80 1/1 access-denied "+dns)
	_ = c.Close()
	_, _ = s.Write([]byte("again"))
	seen.want(t, 5, s.LocalAddr(), "opened udp web>dns:80 0/0  "+dns, "broken udp web>dns:80 1/1 access-denied "+dns, "refused udp web>dns:80 0/0 access-denied")
}

// TestEventsOfUDPSessions: sessions are told in datagrams.
func TestEventsOfUDPSessions(t *testing.T) {
	seen := &events{}
	w := newWorld(t, nodeproxy.Config{UDPIdleTimeout: 30 * time.Millisecond, Connections: telemetry.NewEvents(seen)})
	dns, closed := udpBackend(t, same), closedPort(t)
	at, gone, empty := w.transport(mesh.UDP, "dns", "", dns), w.transport(mesh.UDP, "gone", "", closed), w.transport(mesh.UDP, "empty", "")
	w.publish()

	c := udpDial(t, at)
	exchange(t, c, []byte("one"))
	exchange(t, c, []byte("two"))
	seen.want(t, 2, c.LocalAddr(), "opened udp caller>dns:80 0/0  "+dns, "closed udp caller>dns:80 2/2  "+dns)

	c = udpDial(t, gone)
	_, _ = c.Write([]byte("x"))
	seen.want(t, 4, c.LocalAddr(), "opened udp caller>gone:80 0/0  "+closed, "broken udp caller>gone:80 1/0 upstream-reset "+closed)

	c = udpDial(t, empty)
	_, _ = c.Write([]byte("x"))
	seen.want(t, 5, c.LocalAddr(), "refused udp caller>empty:80 0/0 no-endpoints")
}

// TestNoEventsOfConnectionsThatNobodyWants: a proxy that tells nobody, or nobody
// who wants it, relays as ever.
func TestNoEventsOfConnectionsThatNobodyWants(t *testing.T) {
	each(t, []*telemetry.Events{nil, telemetry.NewEvents(new(telemetry.Tap))}, func(t *testing.T, to *telemetry.Events) {
		w := newWorld(t, nodeproxy.Config{Connections: to})
		at := w.service("db", "tcp", tcpBackend(t, echo))
		w.publish()
		c := dial(t, at)
		_, _ = c.Write([]byte("x"))
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "x" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
