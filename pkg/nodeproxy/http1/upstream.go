package http1

import (
	"errors"
	"io"
	"syscall"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/policy"
)

// serve chooses who gets the request.
func (c *conn) serve(x *exchange) {
	if x.cluster = x.decision.Cluster; x.refusal.reason != "" {
		c.refuse(x, x.refusal)
		return
	}
	if x.policy.Active() {
		if x.whole || x.streamed {
			c.sendCopy(x)
		}
	}
	if x.resumeAt != 0 {
		c.state = waiting
		return
	}
	c.tryNext(x)
}

// tryNext ends the try that is on, if any, and begins one at the next endpoint.
// Where there is none left the request is refused.
func (c *conn) tryNext(x *exchange) {
	c.endTry(x)
	c.tryAt(x, x.try.Next())
}

// endTry lets go of the endpoint that is tried.
func (c *conn) endTry(x *exchange) {
	c.leave(x)
	if c.dial != nil {
		c.dial.abandon()
		c.dial = nil
	}
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
}

// tryAt begins a try at an endpoint; nil for none is left.
func (c *conn) tryAt(x *exchange, e *upstream.Endpoint) {
	if x.endpoint = e; e == nil {
		if c.retry(x, policy.Outcome{Kind: policy.ConnectFailed}) {
			return
		}
		reason := upstream.ConnectFailed
		if refused := (*upstream.DialError)(nil); errors.As(x.failed, &refused) {
			reason = refused.Reason()
		}
		c.refuse(x, refusal{reason: reason, what: x.failed.Error()})
		return
	}
	if c.engine.config.Current() != x.snapshot && !c.holds(x) {
		c.leave(x)
		c.refuse(x, refusal{reason: upstream.AccessDenied, what: "access was revoked"})
		return
	}
	if x.policy.Active() {
		x.tryUntil = c.engine.at(x.policy.Try(c.engine.wall(c.now)))
	}
	x.pool = c.engine.pools.of(x.endpoint)
	if l := x.pool.take(c, x.twice()); l != nil {
		c.use(l)
		return
	}
	c.reach(x)
}

// twice tells that the request may be sent again where nobody knows whether it
// was processed: it is idempotent and still held in memory.
func (x *exchange) twice() bool { return x.request.Idempotent() && !x.streamed }

// reach opens a fresh connection to the endpoint.
func (c *conn) reach(x *exchange) {
	if !x.policy.Wait() {
		c.leave(x)
		c.refuse(x, refusal{reason: upstream.Overloaded, what: "as many requests wait for a connection as may"})
		return
	}
	c.state, c.dial = dialing, c.engine.dial(c, x.pool)
}

// connect goes on when the attempt has ended.
func (c *conn) connect(x *exchange) bool {
	if c.hasLeft(x) {
		c.gone(x)
		return false
	}
	l, err, done := c.dial.result()
	if !done {
		return false
	}
	c.dial = nil
	if err != nil {
		x.failed = err
		c.tryNext(x)
		return true
	}
	c.use(l)
	return true
}

// use begins the exchange over a link, whose owner is this conn.
func (c *conn) use(l *link) {
	c.link, c.state = l, exchanging
	c.x.policy.Resume()
	l.idleSince, l.used = l.used, c.now
	if l.relay != nil {
		l.forwarded = l.relay.Forwarded()
	}
	if !l.reused {
		// What happened to it until now was told to nobody.
		l.CanRead, l.Ended = true, true
	}
	c.x.up.since = c.now
}

// exchange moves what can be moved: the request to the endpoint, its answer to
// the client.
func (c *conn) exchange(x *exchange, l *link) bool {
	if x.outcome == open && c.uploads(x) {
		c.upload(x, l)
	}
	if x.outcome == open {
		c.download(x, l)
	}
	if x.outcome == open && c.hasLeft(x) {
		x.outcome = left
	}
	if x.outcome == open {
		return false
	}
	c.conclude(x, l)
	return true
}

// uploads tells that there is something of the request still to be sent.
func (c *conn) uploads(x *exchange) bool {
	return x.refused == nil && (x.sent < len(x.out) || !x.whole || x.streamed && x.up.waits())
}

// upload sends what the endpoint takes of the request.
func (c *conn) upload(x *exchange, l *link) {
	for x.sent < len(x.out) || !x.streamed && !x.whole && c.gather(x) {
		n, err := c.batch.Send(&l.Socket, x.out[x.sent:], nil)
		switch {
		case err == poll.ErrWouldBlock || err == poll.ErrAsked:
			return
		case err != nil && x.sent == 0 && !x.begun:
			x.outcome, x.why = unsent, err
			return
		case err != nil:
			x.refusedBy(l, err)
			return
		}
		x.sent += n
		x.up.since = c.now
	}
	if x.streamed {
		c.stream(x, l)
	}
}

// gather takes more of a body that is kept while it is sent. It returns false
// where there is nothing to be sent of it now.
func (c *conn) gather(x *exchange) bool {
	for {
		held := len(x.out)
		done, err := x.hold()
		switch {
		case err != nil:
			x.outcome, x.why = misled, err
			return false
		case x.policy.Oversized(0, x.body.Data()).Reason != "":
			x.outcome = excess
			return false
		case done:
			c.taken(x)
			c.sendCopy(x)
		case x.body.Passed() > replayable:
			x.streamed = true
			c.engine.lend(&x.up)
			c.sendCopy(x)
		}
		switch {
		case len(x.out) > held:
			return true
		case x.whole || x.streamed || !c.fill(x):
			return false
		}
	}
}

// stream sends the body on as it comes. A body that the endpoint does not take
// is not the client's fault: the answer says why, or its end.
func (c *conn) stream(x *exchange, l *link) {
	f := &x.up
	for {
		done, err := f.flush(&l.Socket, nil, c.now)
		if err != nil {
			x.refusedBy(l, err)
		}
		if !done {
			return
		}
		if x.body.Done() {
			if !x.whole {
				c.taken(x)
			}
			return
		}
		taken := f.r
		if err := f.scan(&x.body); err != nil {
			x.outcome, x.why = misled, err
			return
		}
		if x.policy.Oversized(0, x.body.Data()).Reason != "" {
			x.outcome = excess
			return
		}
		if f.r > taken || f.waits() {
			continue
		}
		if !c.fill(x) {
			return
		}
	}
}

// fill reads more of the body. It returns false where there is nothing now.
func (c *conn) fill(x *exchange) bool {
	f := &x.up
	if c.half {
		x.outcome = left
		return false
	}
	if !c.CanRead || !c.mayGoOn() {
		return false
	}
	c.engine.room(x)
	n, err := c.Receive(f.buf[f.w:])
	switch {
	case err == poll.ErrWouldBlock:
		return false
	case err != nil:
		x.outcome = left
		return false
	}
	f.w += n
	f.count(n, x.due(c.engine), c.now)
	return true
}

// refusedBy notes that an endpoint takes no more of the request. What it said
// before may not have been told yet, and is read all the same.
func (x *exchange) refusedBy(l *link, err error) {
	x.refused, l.CanRead, l.Ended = err, true, true
}

// hungUp takes in that the link has ended.
func (x *exchange) hungUp(err error) {
	if err == io.EOF && x.refused == syscall.ECONNRESET {
		// A reset is told once: here it looks like an end.
		err = x.refused
	}
	switch {
	case err == io.EOF && x.headDone && x.rest.End() == nil:
		x.outcome = complete
	case !x.begun:
		x.outcome = unheard
	case err == io.EOF && !x.headDone:
		x.outcome = malformed
	default:
		x.outcome = torn
	}
	x.why = err
}

// conclude sees what becomes of the link, and of the request. A request that
// went to a used connection goes on to a fresh one where that turns out to be
// dead: any request if not a byte of it was taken, and one that is idempotent
// and still held in memory if no answer had begun (RFC 9112 §9.3.1).
func (c *conn) conclude(x *exchange, l *link) {
	if x.outcome == switched {
		c.openTunnel(x)
		return
	}
	c.link = nil
	if x.outcome == unheard && !x.streamed && l.undelivered() {
		x.outcome = unsent
	}
	whole := x.outcome == complete && x.whole && x.sent == len(x.out) && !x.up.waits()
	if whole && x.response.Reusable() && x.down.r == x.down.w && (!l.CanRead || l.Silent()) {
		l.pool.put(c, l)
	} else {
		l.close()
	}
	if l.reused && (x.outcome == unsent || x.outcome == unheard && x.twice()) {
		l.pool.patience.sawClosed(c.now-l.idleSince, c.now)
		x.again()
		c.reach(x)
		return
	}
	c.settle(x)
}

// settle ends an exchange at the client's side.
func (c *conn) settle(x *exchange) {
	if !x.headDone && !x.told && x.interims == 0 && x.policy.Active() && c.retry(x, x.outcome.ofTry()) {
		return
	}
	c.leave(x)
	reason, what := upstream.UpstreamReset, "the endpoint broke off before its answer"
	switch x.outcome {
	case complete:
		c.count(x, x.response.Status(), "")
		c.state = answered
		return
	case left:
		c.gone(x)
		return
	case retried:
		c.hold(x)
		return
	case malformed:
		reason, what = upstream.UpstreamMalformed, "the endpoint's answer is not HTTP: "+x.why.Error()
	}
	var syntax *wire.Error
	switch {
	case x.told:
		// The answer has begun: all that is left is to break it off.
		c.count(x, x.response.Status(), reason)
		c.Abort()
		c.end()
		return
	case x.headDone:
		x.down.out = x.down.out[:0]
	}
	if x.outcome == misled && errors.As(x.why, &syntax) {
		c.malformed(x, syntax)
		return
	}
	if x.outcome == excess {
		c.tooMuch(x)
		return
	}
	c.refuse(x, refusal{reason: reason, what: what})
}

// answered goes on when the client has taken the answer. A client that may
// still be sending is given time to read.
func (c *conn) answered(x *exchange) bool {
	done, err := x.down.flush(&c.Socket, c.batch, c.now)
	switch {
	case err != nil || c.Broken:
		c.end()
		return false
	case !done:
		return false
	case !x.closing:
		c.state = reading
		x.next()
		c.engine.lay(&x.down)
	case x.up.r < x.up.w || !x.whole || c.CanRead:
		c.state = lingering
	default:
		c.end()
	}
	return true
}
