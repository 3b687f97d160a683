package http2

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

const (
	// mostCopied is how large a request's body may be to be copied.
	mostCopied = 64 << 10
	// mostCopies is how many copies are under way at once.
	mostCopies = 256
	// copyTimeout ends a copy that is not answered.
	copyTimeout = 10 * time.Second
)

// copied is a request that a policy wants to be sent to another Service as well.
type copied struct {
	decision upstream.Decision
	head     []byte
	body     []byte
}

// copyTo begins a copy, where one is wanted. The caller holds mu.
func (c *conn) copyTo(x *call, m *message) {
	if !x.policy.Active() {
		return
	}
	if to := c.client.caller.Mirror(x.snapshot, x.route, m); to.Cluster != nil {
		x.copied = &copied{decision: to, head: append([]byte(nil), m.block...)}
	}
}

// copyBody adds a piece of the body, and sends the copy at its end. A body that
// is too large has no copy. The caller holds mu.
func (c *conn) copyBody(w *work, h *half, piece []byte) {
	x := &h.call
	if x.copied == nil {
		return
	}
	if len(x.copied.body)+len(piece) > mostCopied {
		x.copied = nil
		x.route.Policies.Count(telemetry.MirrorDropped)
		return
	}
	x.copied.body = append(x.copied.body, piece...)
	if h.remoteEnd {
		c.sendCopy(w, x)
	}
}

// nowhere is the wire of a connection that nobody is behind.
type nowhere struct{}

func (nowhere) write(_ *work, b []byte) (int, error) { return len(b), nil }
func (nowhere) closeWrite()                          {}
func (nowhere) cut()                                 {}

// mirrorConn returns the client's connection that all copies come by: nobody is
// behind it, and what it is sent is dropped.
func (e *Engine) mirrorConn(now time.Time) *conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mirror == nil {
		c := newConn(e, nowhere{}, now)
		c.client = &client{mirror: true, ended: func() {}}
		c.initial = largestWindow
		e.mirror = c
		e.conns[c] = struct{}{}
	}
	return e.mirror
}

// sendCopy sends the copy of a request, if there is one, unless too many are
// under way. The caller holds c's mu; that of the copies' connection may be
// taken beside it, and never the other way round.
func (c *conn) sendCopy(w *work, x *call) {
	if x.copied == nil {
		return
	}
	from := x.copied
	x.copied = nil
	m := c.engine.mirrorConn(w.now)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || m.final || len(m.halves) >= mostCopies {
		x.route.Policies.Count(telemetry.MirrorDropped)
		return
	}
	x.route.Policies.Count(telemetry.Mirrored)
	m.last++
	h := m.take(m.last)
	m.credit, h.remoteEnd = largestWindow, true
	y := &h.call
	y.started, y.headMethod, y.grpc, y.grpcStatus = w.now, x.headMethod, x.grpc, -1
	y.head, y.body = append(y.head, from.head...), append(y.body, from.body...)
	y.keep, y.waiting = true, true
	// Access is looked at again as for the request itself.
	y.from, y.by, y.snapshot = c.client, from.decision.By, x.snapshot
	y.cluster, y.try = from.decision.Cluster, from.decision.Cluster.Try(c.client.address)
	y.endpoint = y.try.Next()
	m.dispatch(w, h)
}

// loseCopies ends the copies that nobody answers. The caller holds mu.
func (c *conn) loseCopies(w *work) {
	for _, h := range c.halves {
		if w.now.Sub(h.call.started) > copyTimeout {
			c.abandon(w, h)
			c.drop(w, h, cancelled)
		}
	}
}
