package http1

import (
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
)

// relay passes on what has been read of the answer. more tells that the
// endpoint has sent more than that, or has ended. It returns true when the
// exchange is over.
func (c *conn) relay(x *exchange, more bool) (over bool) {
	b := (*x.in)[:x.n]
	for !x.headDone {
		n, err := x.response.Parse(b)
		if err != nil {
			x.outcome, x.why = malformed, err
			return true
		}
		if n == 0 {
			return c.flush(x, b)
		}
		b = b[n:]
		if !c.head(x) {
			return true
		}
	}
	if x.response.Switched() {
		// What the endpoint sends from here on is WebSocket's.
		x.outcome = switched
		c.emit(x, b)
		c.flush(x, nil)
		return true
	}
	b, err := c.pass(x, b)
	if err != nil {
		x.outcome, x.why = malformed, err
		return true
	}
	if c.flush(x, b) {
		return true
	}
	if x.rest.Done() {
		x.reusable = x.response.Reusable() && x.n == 0 && !more
		x.outcome = complete
		return true
	}
	return false
}

// head takes in one head that was parsed: an interim one, or the final one. It
// returns false where the answer cannot be passed on.
func (c *conn) head(x *exchange) bool {
	r := &x.response
	if r.Interim() {
		if x.interims++; x.interims > mostInterims {
			x.outcome, x.why = malformed, wire.ErrInterim
			return false
		}
		if r.Relayed() {
			x.pending = r.Append(x.pending, "")
		}
		r.Reset(wire.Asked{Head: x.request.Head(), Upgrade: x.request.Upgrade(), Old: x.request.Old()})
		return true
	}
	x.try.Answered()
	x.closing = x.request.Close() || r.Closes() || c.engine.draining.Load() || !x.whole.Load() ||
		c.half.Load() && (x.streamed || x.r == x.w)
	option := ""
	switch {
	case x.closing:
		option = "close"
	case x.request.Old():
		option = "keep-alive"
	}
	x.pending = r.Append(x.pending, option)
	x.rest = r.Body()
	x.headDone = true
	return true
}

// pass passes the body on as far as it is there, and returns what it does not
// take: the begin of something incomplete, or what comes after the body.
func (c *conn) pass(x *exchange, b []byte) (rest []byte, err error) {
	for len(b) > 0 && !x.rest.Done() {
		step, err := x.rest.Scan(b)
		if err != nil {
			return b, err
		}
		if step.Pass+step.Drop == 0 {
			break
		}
		c.emit(x, b[:step.Pass])
		c.emit(x, step.Put)
		b = b[step.Pass+step.Drop:]
	}
	return b, nil
}

// emit sends bytes to the client, or keeps a few to send them with others.
func (c *conn) emit(x *exchange, b []byte) {
	if len(x.pending)+len(b) <= gathered {
		x.pending = append(x.pending, b...)
		return
	}
	c.send2(x, b)
}

// send2 sends what is pending and b.
func (c *conn) send2(x *exchange, b []byte) {
	if x.outcome == gone {
		return
	}
	x.told = x.headDone
	if err := c.deliver(x, x.pending, b); err != nil {
		x.outcome = gone
	}
	x.pending = x.pending[:0]
}

// flush sends what is pending and keeps what is not used yet. It returns true
// where the client is gone.
func (c *conn) flush(x *exchange, rest []byte) (over bool) {
	if len(x.pending) > 0 {
		c.send2(x, nil)
	}
	x.n = copy(*x.in, rest)
	return x.outcome == gone
}

// deliver sends a and b to the client, waiting for it to take them.
func (c *conn) deliver(x *exchange, a, b []byte) error {
	n, err := c.send(a, b)
	if n == len(a)+len(b) {
		return nil
	}
	if err != nil && err != errWouldBlock {
		return err
	}
	progress := func() { c.slow(x) }
	progress()
	if n < len(a) {
		if err := c.sendAll(a[n:], progress); err != nil {
			return err
		}
		n = len(a)
	}
	if err := c.sendAll(b[n-len(a):], progress); err != nil {
		return err
	}
	if c.out.enter(waiting, c.engine.now()) == nudged {
		x.nudged = true
	}
	return nil
}

// slow publishes that the client does not take the answer at once.
func (c *conn) slow(x *exchange) {
	if c.out.enter(answering, c.engine.now()) == nudged {
		x.nudged = true
	}
}
