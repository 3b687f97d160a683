package http1

import (
	"io"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// What a conn is told, as bits: the events of the client's socket, those of its
// link, and these.
const (
	linkShift = poll.EventBits
	timeUp    = 1 << (2*poll.EventBits + iota) // the time it waits for may have come
	dialed                                     // a connection attempt has ended
	killed                                     // it must end at once
	doubted                                    // what it does may not be allowed any more
)

// state is what a conn does.
type state uint8

const (
	reading    state = iota // the client's next request comes, or will
	waiting                 // a policy holds the request back for a while
	dialing                 // an endpoint is connected to
	exchanging              // an endpoint has the request
	answered                // the last of an answer goes out
	tunnelling              // the connection is WebSocket's
	lingering               // a refused client is given time to read
	over                    // the connection is closed
)

const (
	// patienceToLinger is how long a refused client may go on sending.
	patienceToLinger = time.Second
	// A client's request is still worked on for mostLooks times grace after the
	// client ended its stream, unless that came with the request: most often it
	// has left. More than one look, so that a process that got no processor for
	// a while does not take that for the client's silence.
	grace     = 40 * time.Millisecond
	mostLooks = 2
	// mostReads is how often a conn reads before others have their turn.
	mostReads = 32
)

// conn is a client's connection: a state machine. Whatever happens to it is
// posted as bits; whoever posts to a conn on which nobody works, works on it.
// Only the fields up to place may be touched by others.
type conn struct {
	turn   poll.Turn
	due    atomic.Int64 // what deadline returned last
	engine *Engine
	place  int // in the watch; its lock guards it

	poll.Socket     // the client's
	shelf       int // its poller's number, and where it looks for links first
	at          upstream.Key
	client      netip.Addr
	caller      upstream.Caller
	address     []byte // the client's, as text
	first       []byte // read before
	closed      func()
	counter     upstream.Counter

	batch *poll.Batch // of the poller that works on it; nil where another goroutine does
	state state
	now   time.Duration
	since time.Duration // when it became idle, or began to linger
	reads int           // left until others have their turn
	late  bool          // told that time is up
	heeds bool          // resumed, with results to be taken first
	half  bool          // the client's stream was read to its end
	x     *exchange     // nil while no byte of a request is there
	link  *link         // that is in use
	dial  *dial         // that is waited for
}

// Happened is told by the poller.
func (c *conn) Happened(e poll.Events, batch *poll.Batch) { c.post(uint32(e), batch) }

// post tells the conn something. Unless somebody works on it, the caller does,
// who has the batch of a poller or none.
func (c *conn) post(bits uint32, batch *poll.Batch) {
	if bits, mine := c.turn.Claim(bits); mine {
		c.run(bits, batch)
	}
}

// run works on the conn until there is nothing to do. The caller has the turn. A
// fault costs this connection only.
func (c *conn) run(bits uint32, batch *poll.Batch) {
	defer c.guard()
	c.batch = batch
	c.note(bits)
	c.work()
}

// Resume goes on with what the batch has done.
func (c *conn) Resume() {
	defer c.guard()
	c.heeds = true
	c.work()
}

// work takes steps until the conn has to wait, for its batch or for whatever is
// posted next.
func (c *conn) work() {
	for {
		for c.advance() {
		}
		heeds := c.heeds
		c.heeds = false
		switch {
		case c.state == over:
			return // the turn does not end: nobody comes after
		case heeds && (c.Unheeded() || c.link != nil && c.link.Unheeded()):
			panic("a step did not take what it had asked for")
		case c.Asked() || c.link != nil && c.link.Asked():
			c.batch.Hold(c)
			return
		}
		c.arm()
		if c.reads <= 0 {
			c.engine.running.Go(func() { c.run(c.turn.Told(), nil) })
			return
		}
		bits, ended := c.turn.End()
		if ended {
			return
		}
		c.note(bits)
	}
}

// note takes in what was posted.
func (c *conn) note(bits uint32) {
	c.now, c.reads = c.engine.now(), mostReads
	c.Socket.Note(poll.Among(bits))
	if l := c.link; l != nil {
		l.Note(poll.Among(bits >> linkShift))
	}
	if bits&timeUp != 0 {
		c.late = true
	}
	if bits&killed != 0 || bits&doubted != 0 && !c.mayStill() {
		c.Abort()
		c.end()
	}
}

// advance takes one step. It returns false where the conn has to wait.
func (c *conn) advance() bool {
	if c.late && !c.heeds && c.expired() {
		c.expire()
	}
	switch c.state {
	case reading:
		return c.read()
	case waiting:
		return c.holdBack(c.x)
	case dialing:
		return c.connect(c.x)
	case exchanging:
		return c.exchange(c.x, c.link)
	case answered:
		return c.answered(c.x)
	case tunnelling:
		return c.tunnel(c.x, c.link)
	case lingering:
		return c.linger()
	}
	return false
}

// mayGoOn tells whether the conn may read once more before others have their turn.
func (c *conn) mayGoOn() bool {
	c.reads--
	return c.reads > 0
}

// end closes the connection and gives back what it used.
func (c *conn) end() {
	if c.state == over {
		return
	}
	c.state = over
	if c.dial != nil {
		c.dial.abandon()
	}
	if c.link != nil {
		c.link.close()
	}
	if x := c.x; x != nil {
		c.leave(x)
		c.engine.release(x)
	}
	c.dial, c.link, c.x, c.first = nil, nil, nil, nil
	c.engine.watch.remove(c)
	c.Socket.Close()
	c.closed()
}

// leave ends what an endpoint counts as in flight.
func (c *conn) leave(x *exchange) {
	if x.endpoint != nil {
		x.endpoint.Release()
		x.endpoint = nil
	}
}

// guard ends a connection by which the proxy failed.
func (c *conn) guard() {
	fault := recover()
	if fault == nil {
		return
	}
	c.engine.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a connection failed by a fault of the proxy")
	c.engine.config.Metrics.Refused(string(upstream.Internal))
	if x := c.x; x != nil {
		// Memory that was in use when it happened is not lent to others.
		c.leave(x)
		x.policy.End(time.Time{}, 0)
		c.x = nil
	}
	c.Abort()
	c.end()
}

// read takes in what the client sends, until a request is complete or must be
// sent on as it comes.
func (c *conn) read() bool {
	x := c.x
	if x == nil {
		if !c.CanRead {
			return false
		}
		x = c.engine.exchange()
		c.x = x
		c.engine.adopt(x, c.first)
		c.first, x.up.since = nil, c.now
	}
	for {
		if !c.drink(x) {
			c.end()
			return false
		}
		switch {
		case c.Asked():
			return false
		case c.take(x):
			return true
		case c.half:
			c.end()
			return false
		case !c.CanRead:
			c.rest(x)
			return false
		case !c.mayGoOn():
			return false
		}
	}
}

// drink reads until nothing is left or there is no room. It returns false where
// the connection is broken.
func (c *conn) drink(x *exchange) bool {
	f := &x.up
	for c.CanRead && !c.half && f.w < len(f.buf) {
		n, err := c.batch.Receive(&c.Socket, f.buf[f.w:])
		f.w += n
		switch {
		case n > 0:
			f.count(n, x.due(c.engine), c.now)
		case err == poll.ErrAsked:
			return true
		case err == io.EOF:
			c.half, c.CanRead = true, false
		case err != poll.ErrWouldBlock && f.r == f.w:
			return false
		case err != poll.ErrWouldBlock:
			// What came before the reset is not lost: it is told as a request
			// whose client has left.
			c.half, c.Broken, c.CanRead = true, true, false
		}
	}
	return true
}

// rest gives back the memory of a conn that waits for its next request.
func (c *conn) rest(x *exchange) {
	if !x.open() {
		c.x, c.since = nil, c.now
		c.engine.release(x)
	}
}

// linger ends a connection whose client may still be sending: closing it with
// bytes unread would reset it, and the answer could be lost (RFC 9112 §9.6).
func (c *conn) linger() bool {
	if x := c.x; x != nil {
		c.x, c.since = nil, c.now
		c.engine.release(x)
		c.CloseWrite()
	}
	buffer := c.engine.buffer()
	defer c.engine.give(buffer)
	for c.CanRead && c.mayGoOn() {
		if _, err := c.Receive(*buffer); err != nil && err != poll.ErrWouldBlock {
			c.end()
			return false
		}
	}
	return false
}
