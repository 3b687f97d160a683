package l4

import (
	"bytes"
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// largestDatagram is what UDP can carry.
const largestDatagram = 64 << 10

// UDP relays the datagrams of one port. Conn, Current and At are required;
// every other zero value works.
type UDP struct {
	Log     zerolog.Logger
	Metrics *telemetry.Proxy
	Events  *telemetry.Events // of sessions
	// Conn is the listening socket; replies leave from it.
	Conn *net.UDPConn
	// Current returns the Snapshot that decides a session that begins now.
	Current func() *upstream.Snapshot
	// At is where Conn listens.
	At upstream.Key
	// Introduce waits a little for news of who a caller is that nothing is known
	// of; nil does not wait.
	Introduce func(client netip.Addr)
	// Idle ends a session without datagrams either way; zero means one minute.
	Idle time.Duration
	// Most bounds the sessions; zero means 10,000. The one that was idle for
	// longest leaves for a new one.
	Most int

	buffers sync.Pool
	running sync.WaitGroup

	mu       sync.Mutex // guards what follows, and the elements of sessions
	sessions map[netip.AddrPort]*session
	byUse    list.List                   // of *session, the latest used first
	unknown  map[netip.AddrPort]struct{} // whose first datagram waits for Introduce
	closed   bool                        // no new sessions
}

// session is one client address and port with a socket of its own to an endpoint.
type session struct {
	client   netip.AddrPort
	conn     *net.UDPConn
	endpoint *upstream.Endpoint
	counter  *telemetry.Connection
	teller   teller
	received atomic.Uint64   // datagrams of the client
	sent     uint64          // to it; its reply has it
	element  *list.Element   // nil once the session has left
	reason   upstream.Reason // why it was broken off
	used     time.Time
}

// Serve relays until Conn is closed, and returns when every session has ended.
func (u *UDP) Serve() {
	if u.Idle == 0 {
		u.Idle = time.Minute
	}
	if u.Most == 0 {
		u.Most = 10_000
	}
	u.mu.Lock() // Recheck may come already
	u.sessions, u.unknown = map[netip.AddrPort]*session{}, map[netip.AddrPort]struct{}{}
	u.mu.Unlock()
	buffer := make([]byte, largestDatagram)
	for {
		n, client, err := u.Conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			u.Log.Debug().Err(err).Msg("reading a datagram failed; going on")
			continue
		}
		if u.mustWait(client) {
			u.wait(client, bytes.Clone(buffer[:n]))
			continue
		}
		u.pass(client, buffer[:n])
	}
	u.leaveAll()
	u.running.Wait()
}

// mostUnknown bounds the callers that are waited for, each with a datagram.
const mostUnknown = 256

// mustWait tells whether a client has no session, would be refused only because
// nobody knows it, and may be waited for.
func (u *UDP) mustWait(client netip.AddrPort) bool {
	if u.Introduce == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sessions[client] != nil || len(u.unknown) >= mostUnknown {
		return false
	}
	if _, waits := u.unknown[client]; waits || !u.Current().Unknown(u.At, clientOf(client)) {
		return false
	}
	u.unknown[client] = struct{}{}
	return true
}

// wait passes a datagram on once its caller is known, or was waited for.
func (u *UDP) wait(client netip.AddrPort, datagram []byte) {
	u.running.Go(func() {
		defer Guard(u.Log, "a caller of a UDP port")
		u.Introduce(clientOf(client))
		u.known(client)
		u.pass(client, datagram)
	})
}

func (u *UDP) known(client netip.AddrPort) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.unknown, client)
}

// clientOf is the address that a client is known by.
func clientOf(client netip.AddrPort) netip.Addr { return client.Addr().Unmap().WithZone("") }

// pass passes a client's datagram on, or drops it.
func (u *UDP) pass(client netip.AddrPort, datagram []byte) {
	if s := u.session(client); s != nil {
		u.send(s, datagram)
	}
}

// send passes a datagram on to the endpoint.
func (u *UDP) send(s *session, datagram []byte) {
	if _, err := s.conn.Write(datagram); err != nil {
		u.broken(s, err)
		return
	}
	s.counter.Received(1)
	s.received.Add(1)
}

// session returns the session of a client, a new one where it has none or its
// endpoint left the Table. Nil means that the datagram is dropped.
func (u *UDP) session(client netip.AddrPort) *session {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s, ok := u.sessions[client]; ok {
		if !s.endpoint.Gone() {
			u.use(s)
			return s
		}
		u.leave(s)
	}
	if u.closed {
		return nil
	}
	// Under the lock of Recheck: no Snapshot comes between unseen.
	s := u.begin(client)
	if s == nil {
		return nil
	}
	for len(u.sessions) >= u.Most {
		u.leave(u.byUse.Back().Value.(*session))
	}
	u.sessions[client] = s
	s.element = u.byUse.PushFront(s)
	u.use(s)
	s.teller.opened()
	u.running.Go(func() { u.reply(s) })
	return s
}

// begin chooses an endpoint and opens a socket to it. A datagram is tried once;
// nil means that it was refused.
func (u *UDP) begin(client netip.AddrPort) *session {
	subject := upstream.Subject{Snapshot: u.Current(), Protocol: "udp"}
	if subject.Route = subject.Snapshot.Route(u.At); subject.Route == nil {
		u.refuse(client, subject, upstream.NoRoute, nil)
		return nil
	}
	caller := upstream.Caller{Address: clientOf(client)}
	decision := caller.Decide(subject.Snapshot, subject.Route, nil)
	if subject.Cluster = decision.Cluster; subject.Cluster == nil {
		u.refuse(client, subject, decision.Reason, nil)
		return nil
	}
	try := subject.Cluster.TryConnection(caller.Address)
	subject.Endpoint = try.Next()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(subject.Endpoint.Address))
	if err != nil {
		subject.Endpoint.Release()
		u.refuse(client, subject, upstream.ConnectFailed, err)
		return nil
	}
	return &session{
		client: client, conn: conn, endpoint: subject.Endpoint,
		counter: u.Metrics.Connection(subject.Call(caller.Address)), teller: newTeller(u.Events, subject, client),
	}
}

// refuse tells that a datagram is dropped.
func (u *UDP) refuse(client netip.AddrPort, subject upstream.Subject, reason upstream.Reason, err error) {
	u.Log.Debug().Err(err).Str("reason", string(reason)).Stringer("client", client).Stringer("listen", u.At.Listen).Msg("datagram dropped")
	teller := newTeller(u.Events, subject, client)
	teller.refused(u.Metrics, reason)
}

// reply passes datagrams of the endpoint back to the client until the session ends.
func (u *UDP) reply(s *session) {
	defer Guard(u.Log, "a UDP session")
	defer u.end(s)
	for u.awake(s) {
		buffer, n, err := u.receive(s.conn)
		var network net.Error
		switch {
		case err == nil:
			u.touch(s)
			if _, err := u.Conn.WriteToUDPAddrPort((*buffer)[:n], s.client); err == nil {
				s.counter.Sent(1)
				s.sent++
			}
		case !(errors.As(err, &network) && network.Timeout()):
			u.broken(s, err)
		}
		if buffer != nil {
			u.buffers.Put(buffer)
		}
	}
}

// end gives back what a session had, and tells its end.
func (u *UDP) end(s *session) {
	s.endpoint.Release()
	s.counter.Close()
	u.mu.Lock()
	reason := s.reason
	u.mu.Unlock()
	s.teller.over(reason != "", telemetry.Outcome{Reason: string(reason), Received: s.received.Load(), Sent: s.sent})
}

func (u *UDP) touch(s *session) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.use(s)
}

// awake sets the time until which the session may be idle; false where that is
// past or the session has left.
func (u *UDP) awake(s *session) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	until := s.used.Add(u.Idle)
	if !time.Now().Before(until) {
		u.leave(s)
	}
	return s.element != nil && s.conn.SetReadDeadline(until) == nil
}

// broken ends a session whose endpoint is not there (ICMP says so).
func (u *UDP) broken(s *session, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s.element == nil {
		return
	}
	u.Metrics.Refused(string(upstream.UpstreamReset))
	u.Log.Debug().Err(err).Stringer("endpoint", s.endpoint.Address).Msg("UDP session broken off")
	s.endpoint.Failed()
	s.reason = upstream.UpstreamReset
	u.leave(s)
}

// use marks a session as the latest used. The caller holds the lock.
func (u *UDP) use(s *session) {
	s.used = time.Now()
	if s.element != nil {
		u.byUse.MoveToFront(s.element)
	}
}

// leave takes a session out and lets its reply end. The caller holds the lock.
func (u *UDP) leave(s *session) {
	if s.element == nil {
		return
	}
	u.byUse.Remove(s.element)
	s.element = nil
	delete(u.sessions, s.client)
	_ = s.conn.Close()
}

func (u *UDP) leaveAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for u.byUse.Len() > 0 {
		u.leave(u.byUse.Front().Value.(*session))
	}
}
