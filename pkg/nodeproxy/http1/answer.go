package http1

import (
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
)

// download passes on what has come of the answer, until the endpoint has no
// more or the client takes no more.
func (c *conn) download(x *exchange, l *link) {
	f := &x.down
	for {
		if len(f.out) > 0 {
			x.told = x.told || x.headDone
		}
		var batch *poll.Batch
		if x.told { // else it is not for sure that nothing else is said instead
			batch = c.batch
		}
		done, err := f.flush(&c.Socket, batch, c.now)
		switch {
		case err != nil:
			x.outcome = left
			return
		case !done:
			return
		}
		taken := f.r
		if c.relay(x); x.outcome != open {
			return
		}
		if f.r > taken || f.waits() {
			continue
		}
		if !l.Unheeded() && (!l.CanRead || !c.mayGoOn()) {
			break
		}
		if !c.hear(x, l) {
			break
		}
	}
	if x.outcome != open {
		return
	}
	if f.r == f.w && !l.Asked() {
		c.engine.lay(f)
	}
	if x.refused != nil && !l.CanRead && !l.Asked() && l.relay == nil {
		// With TLS the end of what the endpoint said still comes, behind it.
		x.hungUp(x.refused)
	}
}

// hear reads more of the answer. It returns false where there is nothing now.
func (c *conn) hear(x *exchange, l *link) bool {
	f := &x.down
	c.engine.lend(f)
	f.compact()
	n, err := l.Receive(f.buf[f.w:], c.batch)
	switch {
	case err == poll.ErrWouldBlock || err == poll.ErrAsked:
		return false
	case err != nil:
		x.hungUp(err)
		return false
	}
	x.begun = true
	f.w += n
	return true
}

// relay takes what was read of the answer as far as it is complete.
func (c *conn) relay(x *exchange) {
	f := &x.down
	for !x.headDone {
		if f.r == f.w {
			return
		}
		n, err := x.response.Parse(f.buf[f.r:f.w])
		if err != nil {
			x.outcome, x.why = malformed, err
			return
		}
		if n == 0 {
			return
		}
		f.r += n
		if !c.head(x) {
			return
		}
	}
	if x.response.Switched() {
		// What the endpoint sends from here on is WebSocket's.
		x.outcome = switched
		return
	}
	if err := f.scan(&x.rest); err != nil {
		x.outcome, x.why = malformed, err
		return
	}
	if x.rest.Done() {
		x.outcome = complete
	}
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
			x.down.out = r.Append(x.down.out, "")
		}
		x.expect()
		return true
	}
	if r.Switched() && x.sent < len(x.out) {
		x.outcome, x.why = malformed, wire.ErrSwitchEarly
		return false
	}
	x.try.Answered(c.engine.wall(c.now))
	if x.policy.Active() && !c.judge(x, r) {
		return false
	}
	x.closing = x.request.Close() || r.Closes() || c.engine.draining.Load() || !x.whole ||
		c.half && (x.streamed || x.up.r == x.up.w)
	option := ""
	switch {
	case x.closing:
		option = "close"
	case x.request.Old():
		option = "keep-alive"
	}
	x.down.out = r.Append(x.down.out, option)
	x.rest = r.Body()
	x.headDone = true
	return true
}
