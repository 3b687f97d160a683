package l4

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// TCP relays connections to endpoints. The zero value works: it logs and counts
// nothing. End it with Close.
type TCP struct {
	Log     zerolog.Logger
	Metrics *telemetry.Proxy
	Events  *telemetry.Events // of connections
	Dialer  upstream.Dialer
	// DetectTimeout is how long Detect waits for a client to speak first;
	// zero means 100 ms.
	DetectTimeout time.Duration
	// Idle ends a relay after so long without a byte either way; zero never.
	Idle time.Duration
	// Current returns the Snapshot that decides now; it is required for Recheck.
	Current func() *upstream.Snapshot

	pieces  pieces
	live    live
	start   sync.Once
	pollers poll.Pollers
	turn    atomic.Uint32
	running sync.WaitGroup
}

// poller returns the poller whose turn it is.
func (t *TCP) poller() *poll.Poller {
	t.start.Do(func() {
		var err error
		if t.pollers, err = poll.Start(&t.running, nil); err != nil {
			t.Log.Error().Err(err).Msg("connections cannot be watched: some are not served")
		}
	})
	return &t.pollers[t.turn.Add(1)%uint32(len(t.pollers))]
}

// Close ends what the relays share. Every Relay must have returned.
func (t *TCP) Close() {
	t.pollers.Stop()
	t.running.Wait()
}

// Call is one connection and what decides it, for life.
type Call struct {
	Snapshot *upstream.Snapshot
	Route    *upstream.Route
	At       upstream.Key // where it was accepted
	Client   *net.TCPConn
}

// address returns the client's, in its plain form.
func (c *Call) address() netip.Addr { return Address(c.Client.RemoteAddr()) }

// client returns the client's address and port.
func (c *Call) client() netip.AddrPort { return c.Client.RemoteAddr().(*net.TCPAddr).AddrPort() }

// subject is what the connection is counted by; the endpoint may be nil, and the
// cluster with it.
func (c *Call) subject(cluster *upstream.Cluster, endpoint *upstream.Endpoint) upstream.Subject {
	return upstream.Subject{Snapshot: c.Snapshot, Route: c.Route, Cluster: cluster, Endpoint: endpoint, Protocol: "tcp"}
}

// Address returns the IP of a TCP or UDP address, unmapped and without a zone.
func Address(a net.Addr) netip.Addr {
	var ip netip.Addr
	switch a := a.(type) {
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	case *net.UDPAddr:
		ip = a.AddrPort().Addr()
	}
	return ip.Unmap().WithZone("")
}

// Relay connects a client to an endpoint and returns when both connections are
// closed. first was read from the client before. The end of the context resets
// both. A client that cannot be served is reset.
func (t *TCP) Relay(ctx context.Context, c Call, first []byte) {
	out := t.connect(ctx, c)
	if out == nil {
		return
	}
	out.run(ctx, first, nil)
}

// outgoing is a connection that was made for a client.
type outgoing struct {
	tcp      *TCP
	call     Call
	cluster  *upstream.Cluster
	endpoint *upstream.Endpoint
	conn     *net.TCPConn
	denied   atomic.Bool // it is not allowed any more
}

func (o *outgoing) run(ctx context.Context, fromClient, fromServer []byte) {
	defer o.release()
	subject := o.call.subject(o.cluster, o.endpoint)
	counter := o.tcp.Metrics.Connection(subject.Call(o.call.address()))
	defer counter.Close()
	r := prepared(&relay{
		client: o.call.Client, server: o.conn, fromClient: fromClient, fromServer: fromServer,
		idle: o.call.Route.Policies.Idle(o.tcp.Idle), poller: o.tcp.poller(), running: &o.tcp.running, pieces: &o.tcp.pieces, counter: counter,
	})
	o.tcp.live.add(o, r)
	defer o.tcp.live.remove(o)
	if o.tcp.Current != nil && o.tcp.Current() != o.call.Snapshot && !o.holds(o.tcp.Current()) {
		o.deny(r)
	}
	teller := newTeller(o.tcp.Events, subject, o.call.client())
	teller.opened()
	reset := r.run(ctx)
	outcome := telemetry.Outcome{Received: uint64(r.up.moved.Load()), Sent: uint64(r.down.moved.Load())}
	if o.denied.Load() {
		outcome.Reason = string(upstream.AccessDenied)
	}
	teller.over(reset, outcome)
}

// drop closes the outgoing connection unused.
func (o *outgoing) drop() {
	_ = o.conn.Close()
	o.release()
}

// introduce tells the endpoint who calls, where a policy says so. It fits into
// what the kernel takes of a fresh connection; one that is broken already ends
// as soon as it is relayed.
func (o *outgoing) introduce() {
	if client := o.call.Client; o.call.Route.Policies.Introduces() {
		_, _ = o.conn.Write(introduction(client.RemoteAddr(), client.LocalAddr()))
	}
}

func (o *outgoing) release() {
	o.endpoint.Disconnected()
	o.endpoint.Release()
	o.call.Route.Policies.Disconnect()
}

// connect finds an endpoint that accepts a connection, trying others where one
// does not: nothing was delivered yet. It returns nil after having refused the
// client.
func (t *TCP) connect(ctx context.Context, c Call) *outgoing {
	caller := upstream.Caller{Address: c.address()}
	decision := caller.Decide(c.Snapshot, c.Route, nil)
	cluster := decision.Cluster
	if cluster == nil {
		t.Refuse(c, decision.Reason)
		return nil
	}
	policies := c.Route.Policies
	if !policies.Connect() {
		t.Refuse(c, upstream.Overloaded)
		return nil
	}
	reason := upstream.ConnectFailed
	try := cluster.TryConnection(caller.Address)
	for e := try.Next(); e != nil; e = try.Next() {
		conn, err := t.Dialer.Dial(ctx, e)
		if err == nil {
			out := &outgoing{tcp: t, call: c, cluster: cluster, endpoint: e, conn: conn}
			out.introduce()
			return out
		}
		e.Release()
		if refused := (*upstream.DialError)(nil); errors.As(err, &refused) {
			reason = refused.Reason()
		}
		t.Log.Debug().Err(err).Stringer("service", c.Route.Port.Service).Msg("endpoint does not accept a connection")
	}
	policies.Disconnect()
	t.refuse(c, c.subject(cluster, try.Last()), reason)
	return nil
}

// Refuse resets a client: it must not take a refusal for an empty answer.
func (t *TCP) Refuse(c Call, reason upstream.Reason) { t.refuse(c, c.subject(nil, nil), reason) }

func (t *TCP) refuse(c Call, subject upstream.Subject, reason upstream.Reason) {
	event := t.Log.Debug().Str("reason", string(reason)).Stringer("client", c.Client.RemoteAddr())
	if c.Route != nil {
		event = event.Stringer("service", c.Route.Port.Service).Uint16("port", c.Route.Port.Number)
	}
	event.Msg("connection refused")
	teller := newTeller(t.Events, subject, c.client())
	teller.refused(t.Metrics, reason)
	Reset(c.Client)
}

// Reset closes a connection with RST instead of FIN.
func Reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
