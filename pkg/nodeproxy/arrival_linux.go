package nodeproxy

import (
	"net/netip"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/l4"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// What an arrival is told, as bits above those of its socket's events.
const (
	tooLate = 1 << (poll.EventBits + iota) // it said nothing in time
	resetIt
)

// firstBytes holds what decides between the versions of HTTP.
const firstBytes = 64

// arrival is a connection that has come and is not an engine's yet. Where HTTP is
// expected nobody waits for its first bytes: the poller tells of them.
type arrival struct {
	turn poll.Turn
	poll.Socket
	proxy  *Proxy
	at     upstream.Key
	client netip.Addr
	route  *upstream.Route
	first  []byte
	limit  *time.Timer // nil unless it is waited for
	gone   bool        // it is somebody else's
}

// reset breaks the connection off, unless it is an engine's by now.
func (a *arrival) reset() { a.post(resetIt) }

// Happened is told by the poller.
func (a *arrival) Happened(e poll.Events, _ *poll.Batch) { a.post(uint32(e)) }

// post tells the arrival something. A goroutine of its own works on it, for that
// may be the whole of its first request.
func (a *arrival) post(bits uint32) {
	if bits, mine := a.turn.Claim(bits); mine {
		a.proxy.doors.running.Go(func() {
			defer a.guard()
			a.run(bits)
		})
	}
}

// receive finds out where a connection belongs. The caller has the turn.
func (a *arrival) receive() {
	defer a.guard()
	p := a.proxy
	snapshot := p.introduce(a.at, a.client)
	a.route = snapshot.Route(a.at)
	if a.route != nil && (a.route.Port.Protocol == mesh.HTTP || a.route.Port.Protocol == mesh.HTTP2) {
		a.CanRead = true
		a.first = make([]byte, 0, firstBytes)
		a.run(0)
		return
	}
	a.gone = true
	tcp, err := a.Yield().TCP()
	if err != nil {
		if err != syscall.ENOTCONN { // nobody need hear of who has left
			p.config.Log.Warn().Err(err).Stringer("listen", a.at.Listen).Msg("a connection is closed that cannot be served")
		}
		p.conns.remove(a)
		return
	}
	_ = tcp.SetKeepAliveConfig(keepAlive()) // package net has set its own
	p.conns.add(tcpVisitor{tcp})
	p.conns.remove(a)
	p.serve(tcp, a.at, snapshot)
}

// run works on the arrival until there is nothing to do.
func (a *arrival) run(bits uint32) {
	for {
		a.Note(poll.Among(bits))
		kind, err := a.read()
		switch {
		case kind != l4.Undecided:
			a.hand(kind)
			return // the turn does not end: nobody comes after
		case err != poll.ErrWouldBlock || bits&(tooLate|resetIt) != 0 || a.limit == nil && !a.wait():
			a.leave(bits&resetIt != 0)
			return
		}
		var ended bool
		if bits, ended = a.turn.End(); ended {
			return
		}
	}
}

// hand gives the connection to an engine. What remains keeps nothing alive: it is
// there until the connection ends, and the Route may be an old one by then.
func (a *arrival) hand(kind l4.Kind) {
	a.stopWaiting()
	a.gone = true
	route, first := a.route, a.first
	a.route, a.first, a.limit = nil, nil, nil
	a.proxy.hand(route, kind, http1.Conn{Socket: a.Yield(), First: first, At: a.at, Client: a.client, Ended: func() { a.proxy.conns.remove(a) }})
}

// read reads until the first bytes decide. An error means that the client has
// left, or that nothing is there.
func (a *arrival) read() (l4.Kind, error) {
	for {
		n, err := a.Receive(a.first[len(a.first):cap(a.first)])
		if err != nil {
			return l4.Undecided, err
		}
		a.first = a.first[:len(a.first)+n]
		if kind := l4.Version(a.first); kind != l4.Undecided {
			return kind, nil
		}
	}
}

// wait sees to it that the arrival is told what happens, and that its time is up.
func (a *arrival) wait() bool {
	if err := a.proxy.doors.poller.Add(&a.Socket, a); err != nil {
		return false
	}
	a.limit = time.AfterFunc(a.proxy.config.Limits.HeadTimeout, func() { a.post(tooLate) })
	return true
}

func (a *arrival) stopWaiting() {
	if a.limit != nil {
		a.limit.Stop()
	}
}

// leave closes the connection.
func (a *arrival) leave(reset bool) {
	a.stopWaiting()
	if reset {
		a.Abort()
	}
	a.Close()
	a.proxy.conns.remove(a)
}

// guard ends a connection by which the proxy failed.
func (a *arrival) guard() {
	if fault := recover(); fault != nil {
		a.proxy.faulted(fault)
		if !a.gone {
			a.leave(true)
		}
	}
}
