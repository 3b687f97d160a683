package http1

import (
	"errors"
	"io"
	"net/netip"
	"runtime/debug"
	"sync/atomic"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// conn is a client's connection.
type conn struct {
	sock
	engine  *Engine
	at      upstream.Key
	client  netip.Addr
	caller  upstream.Caller
	address []byte // the client's, as text
	first   []byte // read before
	ended   func()
	place   int                  // in the watch; its lock guards it
	in      slot                 // what is done for the request
	out     slot                 // what is done for the answer
	half    atomic.Bool          // the client has ended its stream
	link    atomic.Pointer[link] // that is in use
	series  series
	failed  bool // by a fault of the proxy

	x    *exchange
	next func(*conn) bool // goes on outside the callback; false ends the connection
}

// run serves the connection to its end. Whoever else closes it meanwhile only
// wakes it: the descriptor stays its own until run returns.
func (c *conn) run() {
	defer c.ended()
	defer c.tcp.Close()
	if c.raw.Control(func(uintptr) { c.serveAll() }) != nil {
		c.engine.watch.remove(c)
	}
}

func (c *conn) serveAll() {
	defer c.end()
	readable := c.onReadable
	for {
		c.next = nil
		if err := c.raw.Read(readable); err != nil || c.next == nil {
			return
		}
		if !c.next(c) {
			return
		}
	}
}

// end gives back what the connection used. A fault costs this connection only.
func (c *conn) end() {
	if fault := recover(); fault != nil {
		// Memory that was in use when it happened is not lent to others.
		c.failed = true
		c.engine.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a connection failed by a fault of the proxy")
		c.engine.config.Metrics.Refused(string(upstream.Internal))
		_ = c.tcp.SetLinger(0)
	}
	if l := c.link.Load(); l != nil {
		_ = l.tcp.Close()
	}
	if x := c.x; x != nil {
		c.leave(x)
		if !c.failed {
			c.engine.release(x)
		}
		c.x = nil
	}
	// The watch looks at the descriptor, which is closed next.
	c.engine.watch.remove(c)
}

// leave ends what an endpoint counts as in flight.
func (c *conn) leave(x *exchange) {
	if x.endpoint != nil {
		x.endpoint.Release()
		x.endpoint = nil
	}
}

// onReadable reads what the client has sent and serves it. It returns true to
// leave the callback: the connection ends or goes on with next.
func (c *conn) onReadable(uintptr) (over bool) {
	if c.in.enter(busy, 0) == killed {
		return true
	}
	x := c.x
	if x == nil {
		x = c.engine.exchange()
		c.x = x
		c.engine.adopt(x, c.first)
		c.first = nil
	}
	x.now = c.engine.now()
	for {
		dry, ok := c.drink(x)
		if !ok || c.work(x) || c.half.Load() {
			return true
		}
		// Between requests the hint is enough. Within one an end may hide behind
		// the bytes that came, so the kernel is asked until it has nothing.
		if dry || !x.open() && !x.more {
			c.park(x)
			return false
		}
	}
}

// drink reads until nothing is left or there is no room. dry tells that the
// kernel had nothing, ok that the connection lives.
func (c *conn) drink(x *exchange) (dry, ok bool) {
	for x.more = true; x.more && x.w < len(x.buf); {
		n, more, err := c.receive(x.buf[x.w:])
		x.w += n
		x.more = more && err == nil
		switch {
		case err == errWouldBlock:
			dry = true
		case err == io.EOF:
			c.half.Store(true)
		case err != nil:
			return false, false
		}
	}
	return dry, true
}

// park publishes what the connection waits for. An idle one holds no memory.
func (c *conn) park(x *exchange) {
	switch {
	case x.headed:
		c.in.enter(inBody, x.now)
	case x.request.Begun():
		c.in.enter(inHead, x.started)
	default:
		c.x = nil
		now := x.now
		c.engine.release(x)
		c.in.enter(idle, now)
	}
}

// work serves every request that is complete. It returns true to leave the
// callback.
func (c *conn) work(x *exchange) (over bool) {
	for {
		if !x.headed {
			if x.r == x.w {
				x.r, x.w = 0, 0
				return false
			}
			if ok, over := c.readHead(x); !ok {
				return over
			}
		}
		done, err := x.hold()
		switch {
		case err != nil:
			return c.malformed(err)
		case !done && !x.fits():
			x.streamed = true
			c.next = (*conn).stream
			return true
		case !done:
			c.engine.room(x)
			return false
		}
		if !c.serve(x) {
			return true
		}
		x.next()
	}
}

// readHead reads a request's head. ok is false where it is not complete, or
// where over tells that it is refused.
func (c *conn) readHead(x *exchange) (ok, over bool) {
	if !x.request.Begun() {
		x.started = x.now
	}
	n, err := x.request.Parse(x.buf[x.r:x.w])
	if err != nil {
		return false, c.malformed(err)
	}
	if n == 0 {
		c.engine.room(x)
		return false, false
	}
	x.headed = true
	x.r += n
	return c.begin(x)
}

// begin decides a request by the Table of this moment and writes its head down
// as the endpoint gets it.
func (c *conn) begin(x *exchange) (ok, over bool) {
	x.again()
	x.snapshot = c.engine.config.Current()
	x.route = x.snapshot.Route(c.at)
	if x.route == nil || x.route.Port.Protocol == mesh.HTTP2 || x.route.Port.Protocol == mesh.Opaque {
		return false, c.refuse(x, refusal{reason: upstream.NoRoute, what: "this port leads to no Service any more", close: true})
	}
	x.decision = c.caller.Decide(x.snapshot, x.route, &x.request)
	if x.decision.Cluster == nil && !x.request.Bodiless() {
		// The body is not waited for.
		return false, c.refuse(x, refusal{reason: x.decision.Reason, what: x.decision.What})
	}
	x.body = x.request.Body()
	if x.request.Expects() {
		if err := c.deliver(x, []byte("HTTP/1.1 100 Continue\r\n\r\n"), nil); err != nil {
			return false, true
		}
		c.out.enter(busy, x.now)
	}
	x.forward.Client = c.address
	if service := x.route.Port.Service; x.request.Old() {
		x.forward.Host = service.Name + "." + service.Namespace
	}
	x.out = x.request.Append(x.out[:0], &x.forward)
	return true, false
}

// malformed refuses what the client sent.
func (c *conn) malformed(err error) (over bool) {
	reason, status := upstream.BadRequest, 400
	var what *wire.Error
	if errors.As(err, &what) {
		status = what.Status
	}
	if status == 405 {
		reason = upstream.MethodRefused
	}
	return c.refuse(c.x, refusal{reason: reason, status: status, what: err.Error(), close: true})
}

// linger ends a connection whose client may still be sending: closing it with
// bytes unread would reset it, and the answer could be lost (RFC 9112 §9.6).
func (c *conn) linger() bool {
	_ = c.tcp.CloseWrite()
	buffer := c.engine.buffer()
	defer c.engine.give(buffer)
	_ = c.tcp.SetReadDeadline(c.engine.epoch.Add(c.engine.now() + lingering))
	for {
		if _, err := c.tcp.Read(*buffer); err != nil {
			return false
		}
	}
}
