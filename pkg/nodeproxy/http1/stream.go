package http1

import (
	"errors"
	"io"
	"runtime/debug"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// stream serves a request whose body is sent on while it comes. It runs outside
// the callback, so that it can wait for the client and for the endpoint at
// once. It returns false to end the connection.
func (c *conn) stream() bool {
	x := c.x
	c.next = nil
	x.now = c.engine.now()
	if x.large == nil {
		// Large bodies move in large pieces.
		x.large = c.engine.buffer()
		x.r, x.w = 0, copy(*x.large, x.buf[x.r:x.w])
		x.buf = *x.large
	}
	if !c.serve(x) {
		return c.next != nil && c.next(c)
	}
	x.next()
	return true
}

// both sends the body and reads the answer, each on a goroutine, until both are
// over. An answer that is complete ends the body: its rest is of no use to
// anyone (RFC 9112 §9.3).
func (c *conn) both(x *exchange, l *link) {
	x.wrote = true
	if err := c.sendRequest(x, l); x.outcome == unsent {
		return
	} else if err == nil {
		c.in.enter(busy, 0)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		c.listen(x, l)
	}()
	err := c.engine.guarded(func() error { return c.sendBody(x, l) })
	if err != nil && !errors.Is(err, errEndpoint) && !woken(err) {
		l.wake()
	}
	<-answered
	_ = c.tcp.SetDeadline(time.Time{})
	var syntax *wire.Error
	switch {
	case err == errFault:
		c.failed, x.outcome = true, faulty
	case err == nil || errors.Is(err, errEndpoint) || woken(err):
	case errors.As(err, &syntax) && !x.told:
		x.pending = x.pending[:0]
		c.malformed(err)
		x.outcome = refused
	case errors.As(err, &syntax):
		x.outcome = broken
	default:
		x.outcome = gone
	}
}

// errEndpoint is that an endpoint does not take the body. Its answer says why,
// or its end.
var errEndpoint = errors.New("the endpoint does not take the body")

// listen reads the answer to its end.
func (c *conn) listen(x *exchange, l *link) {
	defer func() {
		if fault := recover(); fault != nil {
			c.engine.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a request failed by a fault of the proxy")
			c.engine.config.Metrics.Refused(string(upstream.Internal))
			c.failed, x.outcome = true, faulty
		}
		if !x.whole.Load() {
			x.nudged = true
			c.wake()
			l.wake()
		}
	}()
	c.converse(x, l)
}

// sendBody sends the body as it comes.
func (c *conn) sendBody(x *exchange, l *link) error {
	for {
		if err := c.sendBuffered(x, l); err != nil {
			return err
		}
		if x.body.Done() {
			x.whole.Store(true)
			return nil
		}
		c.engine.room(x)
		if err := c.fill(x); err != nil {
			return err
		}
	}
}

// sendBuffered sends on what is there.
func (c *conn) sendBuffered(x *exchange, l *link) error {
	for !x.body.Done() && x.r < x.w {
		step, err := x.body.Scan(x.buf[x.r:x.w])
		if err != nil {
			return err
		}
		if step.Pass+step.Drop == 0 {
			return nil
		}
		pass := x.buf[x.r : x.r+step.Pass]
		n, err := l.send(pass, step.Put)
		if err != nil && err != errWouldBlock {
			return errEndpoint
		}
		for _, part := range [][]byte{pass, step.Put} {
			sent := min(n, len(part))
			n -= sent
			if sent < len(part) && c.upload(l, part[sent:]) != nil {
				return errEndpoint
			}
		}
		x.r += step.Pass + step.Drop
	}
	return nil
}

// fill waits for more from the client.
func (c *conn) fill(x *exchange) error {
	c.in.enter(inBody, c.engine.now())
	n, more, failed := 0, false, error(nil)
	err := c.raw.Read(func(uintptr) bool {
		n, more, failed = c.receive(x.buf[x.w:])
		return failed != errWouldBlock
	})
	if c.in.enter(busy, 0) == killed {
		return errKilled
	}
	if err == nil {
		err = failed
	}
	x.w += n
	if err == nil && more && n < len(x.buf)-x.w+n {
		// The end may stand right behind.
		c.half.Store(c.ends())
	}
	if err == io.EOF {
		c.half.Store(true)
		err = x.body.End()
		if err != nil {
			err = io.ErrUnexpectedEOF
		}
	}
	return err
}

// ends tells whether the client's stream has ended behind what was read.
func (c *conn) ends() bool {
	_, ended := c.poll(c.fd)
	return ended
}
