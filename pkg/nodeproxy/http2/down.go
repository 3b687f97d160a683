package http2

import (
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// client is what belongs to a client's connection alone. It is of the
// connection's reader, but for what the counter needs, which mu guards.
type client struct {
	at      upstream.Key
	address netip.Addr
	caller  upstream.Caller
	text    []byte // the address, as X-Forwarded-For says it
	http1   bool   // it speaks HTTP/1, to a bridge
	ended   func()
	shard   int  // which of an endpoint's connections it prefers
	mirror  bool // it is nobody's: copies of requests are sent by it

	snapshot *upstream.Snapshot // the one that route is of
	route    *upstream.Route
	counter  upstream.Counter
}

// call is a request on its way; of a client's half.
type call struct {
	// What the client has sent so far: kept until an endpoint has begun to
	// answer, or too much of it was sent to keep.
	head       []byte
	body       []byte
	trailer    []byte
	hasTrailer bool
	keep       bool // it is all here, and may be sent once more
	waiting    bool // for a connection; nothing was sent

	headMethod bool
	grpc       bool
	left       bool // the client left before the answer was complete
	tries      int
	status     int // of the answer's head; 0 before it
	reason     upstream.Reason
	started    time.Time
	grpcStatus int           // what the answer said; -1 for nothing
	timeout    time.Duration // what the caller gives it (grpc-timeout); 0 for no limit

	policy     upstream.Call
	copied     *copied   // nil for none
	from       *client   // of a copy: who made the request; else nil
	dispatched time.Time // when its last try began
	tryUntil   time.Time // until when the answer to it must begin; zero for never
	resumeAt   time.Time // when what is held back goes on; zero for nothing

	note     *telemetry.Note    // for Events; nil where nobody wants it
	snapshot *upstream.Snapshot // the one that decides it, for life
	route    *upstream.Route
	cluster  *upstream.Cluster
	by       *route.Matcher // what allows it
	try      upstream.Try
	endpoint *upstream.Endpoint // the one that is busy with it; nil for none
}

// What is kept of a request so that it can be sent once more.
const (
	keptBody  = 8 << 10
	mostTries = 3
	// mostGoodbyes is how often a request is sent that meets one GOAWAY after the
	// other: endpoints that close idle connections within milliseconds do so, on a
	// busy machine, to every second one that is just being used.
	mostGoodbyes = 32
)

// fromClient takes a request's head, or its trailers.
func (c *conn) fromClient(w *work, f frame) error {
	if f.stream > c.last {
		return c.open(w, f)
	}
	if err := c.message.trailers(f.payload); err != nil {
		return compressionError
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[f.stream]
	switch {
	case h == nil && c.wasReset(f.stream):
		return nil
	case h == nil:
		return streamClosed // RFC 9113 §5.1
	case h.remoteEnd:
		return c.fault(w, h, streamClosed)
	case !f.has(flagEndStream) || c.message.malformed || c.message.tooLarge || f.has(flagOwnParent),
		h.length >= 0 && h.got != h.length:
		return c.fault(w, h, protocolError)
	}
	h.remoteEnd = true
	c.finishUpload(w, h, c.message.block)
	return nil
}

// finishUpload passes trailers on. The caller holds mu.
func (c *conn) finishUpload(w *work, h *half, block []byte) {
	x := &h.call
	if x.waiting || x.keep {
		x.trailer = append(x.trailer[:0], block...)
		x.hasTrailer = true
	}
	c.sendCopy(w, x)
	if u := h.peer; u != nil {
		u.trailers(w, h.peerID, block)
	}
	c.settle(w, h)
}

func (c *conn) trailers(w *work, id uint32, block []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.halves[id]; h != nil {
		c.tail(w, h, block)
	}
}

// open takes a new stream.
func (c *conn) open(w *work, f frame) error {
	m := &c.message
	snapshot, way := c.client.current(c.engine.config.Current())
	wanted := way != nil && c.engine.config.Events.Want(way.AccessLog())
	m.ask(way, wanted)
	m.edits, m.secure = nil, false
	if way != nil {
		m.edits, _ = way.Policies.Edits()
		m.secure = way.Port.TLS != nil
	}
	if err := m.request(f.payload, c.client.text); err != nil {
		return compressionError
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = f.stream
	end := f.has(flagEndStream)
	wrong := noError
	switch {
	case c.final:
		return nil // the client was told that it is not processed
	case m.malformed, f.has(flagOwnParent), end && m.length > 0:
		wrong = protocolError
	case len(c.halves) >= c.engine.config.Limits.Streams:
		wrong = refusedStream
	}
	if wrong != noError {
		c.resetStream(w, f.stream, wrong)
		if !c.offend(w.now) {
			return enhanceYourCalm
		}
		return nil
	}
	if c.engine.draining.Load() {
		c.sayGoodbye(w)
	}
	h := c.take(f.stream)
	h.remoteEnd, h.length = end, m.length
	x := &h.call
	x.started, x.grpc, x.headMethod, x.grpcStatus, x.timeout = w.now, m.grpc, m.method == headMethod, -1, m.grpcTimeout
	x.snapshot, x.route = snapshot, way
	if wanted {
		x.note = telemetry.NewNote(m)
	}
	if no := c.decide(w, x, m); no.reason != "" {
		if no.reason == upstream.NoRoute {
			c.sayGoodbye(w)
		}
		c.refuse(w, h, no)
	} else {
		x.head, x.keep, x.waiting = append(x.head, m.block...), true, true
		c.copyTo(x, m)
		c.start(w, h)
		if end {
			c.sendCopy(w, x)
		}
	}
	return nil
}

// current returns the route of a Snapshot that the connection's requests take. A
// port whose endpoints speak HTTP/1 by now leads nowhere for a client that is
// translated: it comes again, and meets the other engine.
func (c *client) current(snapshot *upstream.Snapshot) (*upstream.Snapshot, *upstream.Route) {
	if snapshot != c.snapshot {
		c.snapshot, c.route = snapshot, snapshot.Route(c.at)
		if c.http1 && c.route != nil && c.route.Port.Protocol != mesh.HTTP2 {
			c.route = nil
		}
	}
	return snapshot, c.route
}

// decide finds out what becomes of a request, up to its first endpoint.
func (c *conn) decide(w *work, x *call, m *message) refusal {
	switch {
	case x.route == nil:
		return refusal{reason: upstream.NoRoute, what: "this port leads to no Service any more"}
	case m.tooLarge:
		return m.overLimit()
	case m.method == notProxied:
		return refusal{reason: upstream.MethodRefused, what: "CONNECT and TRACE are not proxied"}
	case m.refused != "":
		return refusal{reason: upstream.BadRequest, what: m.refused}
	}
	decision := c.client.caller.Decide(x.snapshot, x.route, m)
	if x.cluster = decision.Cluster; x.cluster == nil {
		return refusal{reason: decision.Reason, what: decision.What}
	}
	// After access: whoever may not call uses up nobody's share.
	if no := c.admit(w, x, m); no.reason != "" {
		return no
	}
	x.try, x.by = x.cluster.Try(c.client.address), decision.By
	x.policy.Steer(&x.try, m)
	x.endpoint = x.try.Next()
	if now := c.engine.config.Current(); now != x.snapshot && !c.holds(now, x) {
		x.endpoint.Release()
		x.endpoint = nil
		return refusal{reason: upstream.AccessDenied, what: "access was revoked"}
	}
	return refusal{}
}

// dispatch sends a request to its endpoint, or lets it wait for a connection.
// The caller holds mu.
func (c *conn) dispatch(w *work, h *half) {
	x := &h.call
	x.tries++
	x.dispatched, x.tryUntil = w.now, x.policy.Try(w.now)
	c.arm(w, h)
	c.engine.poolOf(x.endpoint).dispatch(w, c, h)
}

// dispatchAgain is dispatch for a request that is tried once more: access may
// have been revoked since it was decided. The caller holds mu.
func (c *conn) dispatchAgain(w *work, h *half) {
	x := &h.call
	if now := c.engine.config.Current(); now != x.snapshot && !c.holds(now, x) {
		c.refuse(w, h, refusal{reason: upstream.AccessDenied, what: "access was revoked"})
		return
	}
	c.dispatch(w, h)
}

// upload takes a piece of a request's body.
func (c *conn) upload(w *work, f frame, length int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[f.stream]
	if h == nil {
		return c.late(w, f.stream)
	}
	if wrong := c.receive(w, h, f, length); wrong != noError {
		return c.fault(w, h, wrong)
	}
	x := &h.call
	if no := x.policy.Oversized(0, h.got); no.Reason != "" {
		c.tooMuch(w, h, no)
		return nil
	}
	c.copyBody(w, h, f.payload)
	switch {
	case x.waiting:
		x.body = append(x.body, f.payload...)
	case h.peer != nil:
		x.remember(f.payload)
		c.forward(w, h, f.payload)
	}
	c.settle(w, h)
	return nil
}

// remember keeps a piece of the body, or gives up to.
func (x *call) remember(piece []byte) {
	if !x.keep {
		return
	}
	if len(x.body)+len(piece) > x.policy.Keeps(keptBody) {
		x.forget()
		return
	}
	x.body = append(x.body, piece...)
}

// forget drops what was kept of the request.
func (x *call) forget() {
	x.keep, x.hasTrailer = false, false
	x.head, x.body, x.trailer = x.head[:0], modest(x.body), x.trailer[:0]
}

// forward passes a piece of the body on. What waits there is not kept here as
// well. The caller holds mu.
func (c *conn) forward(w *work, h *half, piece []byte) {
	u := h.peer
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.halves[h.peerID]
	if p != nil && u.send(w, p, piece, h.remoteEnd) && !h.call.policy.Retries() {
		h.call.forget()
	}
}

// attach begins a request on a connection to its endpoint, with all the client
// has sent of it so far. It is false where that takes no more streams. The
// caller holds c's mu.
func (c *conn) attach(w *work, h *half, u *conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dead || u.leaving || len(u.halves) >= u.limit || u.last > highestStream || u.stuck.Load() && len(u.out.bytes()) > mostUnwritten {
		return false
	}
	x := &h.call
	x.waiting = false
	x.policy.Resume()
	p := u.take(u.last)
	u.last += 2
	p.peer, p.peerID, p.noBody = c, h.id, x.headMethod
	if x.route != nil {
		_, p.edits = x.route.Policies.Edits()
	}
	p.owed = -h.refunded // what is sent once more was given back before
	h.peer, h.peerID = u, p.id
	bare := len(x.body) == 0 && !x.hasTrailer
	u.head(w, p, x.head, h.remoteEnd && bare)
	waits := len(x.body) > 0 && u.send(w, p, x.body, h.remoteEnd && !x.hasTrailer)
	if waits && !x.policy.Retries() || len(x.body) > x.policy.Keeps(keptBody) {
		x.keep = false
	}
	if x.hasTrailer {
		u.tail(w, p, x.trailer)
	}
	if !x.keep {
		x.forget()
	}
	return true
}

// abandon cancels what a stream has begun at an endpoint. The caller holds mu.
func (c *conn) abandon(w *work, h *half) {
	u := h.peer
	h.peer, h.call.waiting = nil, false
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.halves[h.peerID]; p != nil {
		u.drop(w, p, cancelled)
	}
}

// fault resets a stream for what the client did wrong. The caller holds mu.
func (c *conn) fault(w *work, h *half, code errorCode) error {
	c.abandon(w, h)
	h.call.reason = upstream.BadRequest
	c.drop(w, h, code)
	if !c.offend(w.now) {
		return enhanceYourCalm
	}
	return nil
}

// finish settles what a request used, and counts it. The caller holds mu.
func (c *conn) finish(w *work, h *half) {
	x := &h.call
	if x.endpoint != nil {
		x.endpoint.Release()
	}
	if x.left && !h.localEnd {
		x.reason = upstream.ClientGone
	}
	if x.reason == "" {
		c.patience = min(c.patience+1, fullPatience)
	}
	c.disarm(h)
	x.policy.End(w.now, x.outcome())
	if !c.client.mirror {
		c.count(h, w.now)
	}
}
