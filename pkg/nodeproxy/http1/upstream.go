package http1

import (
	"errors"
	"io"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// lingering is how long a refused client may go on sending.
const lingering = time.Second

// serve sends the request to an endpoint and its answer to the client. It
// returns false to leave the callback.
func (c *conn) serve(x *exchange) bool {
	if x.cluster = x.decision.Cluster; x.cluster == nil {
		return !c.refuse(x, refusal{reason: x.decision.Reason, what: x.decision.What})
	}
	x.try = x.cluster.Try(c.client)
	var failed error
	for e := x.try.Next(); e != nil; e = x.try.Next() {
		x.endpoint = e
		if failed = c.attempt(x, c.engine.pools.of(e)); failed == nil {
			return c.settle(x)
		}
		c.leave(x)
	}
	reason := upstream.ConnectFailed
	if refused := (*upstream.DialError)(nil); errors.As(failed, &refused) {
		reason = refused.Reason()
	}
	return !c.refuse(x, refusal{reason: reason, what: failed.Error()})
}

// attempt sends the request to one endpoint. An error means that no connection
// to it was made. A request goes to a used connection, and on to a fresh one
// where that turns out to be dead: any request if not a byte of it was taken,
// and one that is idempotent and still held in memory if no answer had begun
// (RFC 9112 §9.3.1).
func (c *conn) attempt(x *exchange, p *pool) error {
	twice := x.request.Idempotent() && !x.streamed
	l := p.take(twice, x.now)
	for {
		if l == nil {
			var err error
			if l, err = c.engine.pools.dial(c.engine.life, p); err != nil {
				return err
			}
		}
		reused := l.reused
		c.exchange(x, l)
		if !reused || x.outcome != unsent && !(x.outcome == unheard && twice) {
			return nil
		}
		p.patience.sawClosed(x.now-l.used, x.now)
		x.again()
		l = nil
	}
}

// exchange sends the request on a link, passes the answer on, and sees what
// becomes of the link. The outcome is x's.
func (c *conn) exchange(x *exchange, l *link) {
	since := l.used
	l.conn, l.used = c, x.now
	c.link.Store(l)
	if c.out.enter(waiting, x.now) == killed {
		x.outcome = gone
	} else if x.streamed {
		c.both(x, l)
	} else {
		c.converse(x, l)
	}
	x.now = c.engine.now()
	switch c.out.enter(busy, x.now) {
	case killed:
		x.outcome = gone
	case nudged:
		x.nudged = true
	}
	if x.outcome == switched {
		return
	}
	c.link.Store(nil)
	c.engine.dropInput(x)
	if x.outcome == complete && x.reusable && !x.nudged && x.whole.Load() {
		l.pool.put(l)
		return
	}
	if x.outcome == unsent || x.outcome == unheard {
		l.used = since
	}
	_ = l.tcp.Close()
}

// converse writes and reads within one callback of the link, so that no
// arrival between the two is missed.
func (c *conn) converse(x *exchange, l *link) {
	err := l.raw.Read(l.ready)
	if woken(err) && x.outcome == running {
		// The watch saw an end: read it.
		_ = c.onUpstream()
	}
	if x.outcome == running {
		c.hungUp(x, errWoken)
	}
}

var (
	errWoken  = errors.New("the wait for the endpoint was ended")
	errKilled = errors.New("the connection was ended")
)

// onUpstream sends the request when it is called first, and then reads the
// answer. It returns true when the exchange is over.
func (c *conn) onUpstream() (over bool) {
	x, l := c.x, c.link.Load()
	var failed error
	if !x.wrote {
		x.wrote = true
		if failed = c.sendRequest(x, l); failed == nil {
			return false
		}
		if x.outcome != running {
			return true
		}
		// What the endpoint said before it closed may explain it.
	}
	for {
		if x.in == nil {
			x.in, x.n = c.engine.buffer(), 0
		}
		n, more, err := l.receive((*x.in)[x.n:])
		if err == errWouldBlock {
			break
		}
		if err != nil {
			c.hungUp(x, err)
			return true
		}
		x.n += n
		x.begun = true
		if c.relay(x, more) {
			return true
		}
		// An end may hide behind what came: the kernel is asked until it has nothing.
	}
	if x.n == 0 {
		c.engine.dropInput(x)
	}
	if failed != nil {
		c.hungUp(x, failed)
	}
	return failed != nil
}

// sendRequest sends what is held of the request. Where not a byte was taken,
// or the client has left, the outcome says so.
func (c *conn) sendRequest(x *exchange, l *link) error {
	n, err := l.send(x.out, nil)
	if n == len(x.out) {
		return nil
	}
	if err == nil || err == errWouldBlock {
		err = c.upload(l, x.out[n:])
		n = len(x.out)
	}
	if n == 0 {
		x.outcome = unsent
	}
	return err
}

// upload sends bytes to an endpoint, waiting for it to take them.
func (c *conn) upload(l *link, b []byte) error {
	progress := func() { c.in.enter(uploading, c.engine.now()) }
	progress()
	err := l.sendAll(b, progress)
	if c.in.enter(busy, 0) == killed && err == nil {
		err = errKilled
	}
	return err
}

// hungUp takes in that the link has ended.
func (c *conn) hungUp(x *exchange, err error) {
	switch {
	case err == io.EOF && x.headDone && x.rest.End() == nil:
		x.outcome = complete
	case !x.begun:
		x.outcome = unheard
	case err == io.EOF && !x.headDone:
		x.outcome = malformed
	default:
		x.outcome = broken
	}
	x.why = err
}

// settle ends an exchange at the client's side. It returns false to leave the
// callback.
func (c *conn) settle(x *exchange) bool {
	switch x.outcome {
	case complete:
		c.leave(x)
		c.count(x, x.response.Status(), "")
		return c.goOn(x)
	case switched:
		c.next = (*conn).tunnel
		return false
	case refused:
		c.leave(x)
		return false
	case gone:
		c.leave(x)
		c.count(x, upstream.StatusClientGone, upstream.ClientGone)
		return false
	}
	c.leave(x)
	reason, what := upstream.UpstreamReset, "the endpoint broke off before its answer"
	switch x.outcome {
	case faulty:
		reason, what = upstream.Internal, "a fault of the proxy"
	case malformed:
		reason, what = upstream.UpstreamMalformed, "the endpoint's answer is not HTTP: "+x.why.Error()
	}
	if !x.told {
		if x.headDone {
			x.pending = x.pending[:0]
		}
		return !c.refuse(x, refusal{reason: reason, what: what})
	}
	// The answer has begun: all that is left is to break it off.
	c.count(x, x.response.Status(), reason)
	_ = c.tcp.SetLinger(0)
	return false
}

// goOn tells whether another request may follow. A client that may still be
// sending is given time to read.
func (c *conn) goOn(x *exchange) bool {
	if !x.closing {
		return true
	}
	if x.r < x.w || !x.whole.Load() {
		c.next = (*conn).linger
	}
	return false
}
