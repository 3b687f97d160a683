package http1

import (
	"errors"
	"io"
	"runtime/debug"
)

// tunnel carries WebSocket until both directions have ended. An end of stream
// is passed on as such, and the other direction goes on.
func (c *conn) tunnel() bool {
	x, l := c.x, c.link.Load()
	c.in.enter(relaying, x.now)
	c.out.enter(relaying, x.now)
	// What the client sent with its handshake goes first.
	early := append([]byte(nil), x.buf[x.r:x.w]...)
	x.r, x.w = 0, 0
	c.engine.dropInput(x)
	ended := make(chan error, 2)
	go func() { ended <- c.engine.guarded(func() error { return c.engine.pipe(&c.sock, &l.sock, nil) }) }()
	go func() { ended <- c.engine.guarded(func() error { return c.engine.pipe(&l.sock, &c.sock, early) }) }()
	failed := <-ended
	if failed != nil {
		c.wake()
		l.wake()
	}
	if second := <-ended; failed == nil {
		failed = second
	}
	if failed != nil {
		_ = c.tcp.SetLinger(0)
		_ = l.tcp.SetLinger(0)
	}
	x.now = c.engine.now()
	c.count(x, x.response.Status(), "")
	return false
}

// pipe carries one direction to its end and passes the end on. It holds a
// buffer only while there is something to carry.
func (e *Engine) pipe(to, from *sock, first []byte) error {
	if err := to.sendAll(first, func() {}); err != nil {
		return err
	}
	var failed error
	err := from.raw.Read(func(uintptr) bool {
		buffer := e.buffer()
		defer e.give(buffer)
		for {
			n, _, err := from.receive(*buffer)
			if err == errWouldBlock {
				return false
			}
			if err == nil {
				err = to.sendAll((*buffer)[:n], func() {})
			}
			if failed = err; err != nil {
				return true
			}
		}
	})
	if err == nil {
		err = failed
	}
	if err == io.EOF {
		return to.tcp.CloseWrite()
	}
	return err
}

// guarded returns what f returns; a panic in f is an error of this connection only.
func (e *Engine) guarded(f func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			e.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a connection failed by a fault of the proxy")
			err = errFault
		}
	}()
	return f()
}

var errFault = errors.New("a fault of the proxy")
