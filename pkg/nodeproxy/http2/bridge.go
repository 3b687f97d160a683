package http2

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
)

// bridge is a client's connection that speaks HTTP/1, before a conn that
// believes to serve an HTTP/2 client: what the client sends becomes frames, and
// the frames that the conn writes become answers. One request is under way at a
// time; those behind it wait in the input.
//
// The conn's windows to the client have no bounds: what is held for a slow one
// is bounded by the endpoint's stream, which gets credit only for what the
// client's socket took. Uploads have the window of an ordinary stream.
//
// Locks: a conn's mu may be held while mu is taken, never the other way round.
type bridge struct {
	*driver
	conn *conn

	// Of the goroutine that reads.
	ask  *asker // nil while nothing was read of a request
	next uint32 // the stream after the one of the last request

	// Of whoever writes.
	out   *buffer // what is said but not written; nil for nothing
	sent  int     // how much of it was written
	gone  int     // how many bytes were written since moved was asked
	ahead int     // frames, in bytes, of what is written next that are said already

	// owes is since when the client owes the next bytes of a body, in Unix
	// nanoseconds; 0 for none.
	owes atomic.Int64

	mu     sync.Mutex // guards what follows
	tell   teller
	busy   bool // an answer is due
	whole  bool // its request has come to its end
	half   bool // the client has ended its stream
	rest   bool // and has sent more than the request under way
	over   bool // nothing more is read as a request
	credit int  // how much of the body may be passed on
	news   bool // something changed since the reader looked
	hungry bool // the reader waits for that
}

// unbounded is a window that never ends.
const unbounded = 1 << 62

// bridged makes a new conn serve an HTTP/1 client.
func (c *conn) bridged(d *driver) {
	c.bridge = &bridge{driver: d, conn: c}
	c.wire, c.settled, d.read = c.bridge, true, c.bridge.read
	c.credit, c.peak, c.initial = unbounded, unbounded, unbounded
	c.message.most = c.engine.bridged
}

// bridgeLimits are those of a header list that says an HTTP/1 head, which was
// held to the limits as it came: a list has fields more (the pseudo-header
// fields, te), and counts 32 bytes beside each field's own (RFC 9113 §6.5.2).
func bridgeLimits(most limits.Limits) *limits.Limits {
	const more, moreBytes = 5, 512 // with names of the Service and of these fields
	most.Fields += more
	most.HeadBytes += 32*most.Fields + moreBytes
	return &most
}

// read reads and does what there is to do.
func (b *bridge) read(w *work) progress {
	for ; b.reads > 0; b.reads-- {
		if b.conn.killed.Load() {
			return finished
		}
		b.digest(w)
		wait, err := b.fill()
		if err != nil && (err != io.EOF || b.eof()) {
			return finished
		}
		if (wait || err == io.EOF) && b.park() {
			return waits
		}
	}
	return goesOn
}

// fill reads once. wait tells that nothing is there, or no room for it.
func (b *bridge) fill() (wait bool, err error) {
	if b.in.memory == nil {
		b.in.memory = b.conn.engine.readers.get()
	}
	free := (*b.in.memory)[b.in.have:]
	if len(free) == 0 {
		if b.Broken {
			return false, syscall.ECONNRESET
		}
		return true, nil
	}
	n, err := b.Receive(free)
	b.in.have += n
	if err == poll.ErrWouldBlock {
		return true, nil
	}
	return false, err
}

// eof takes it that the client has ended its stream. It still gets the answers
// to what it has sent whole; true means that none is due.
func (b *bridge) eof() (over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.half, b.rest = true, b.in.have > 0
	return !b.busy && !b.news || b.ask != nil && b.ask.headed
}

// park publishes that the reader waits; false means that it need not.
func (b *bridge) park() bool {
	b.in.lay(b.conn)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hungry = !b.news && (b.in.have > 0 || b.half)
	return !b.news
}

// late tells that the client owes the rest of a body for too long.
func (b *bridge) late(now time.Time, patience time.Duration) bool {
	since := b.owes.Load()
	return since != 0 && now.UnixNano()-since > int64(patience)
}

// moved is how many bytes were written since it was asked before.
func (b *bridge) moved() (n int) {
	n, b.gone = b.gone, 0
	return n
}

// saidAtOnce is how much is said before it is written.
const saidAtOnce = 16 << 10

// errBroken is that an answer cannot be completed.
var errBroken = errors.New("the answer broke off")

// write implements wire: in is whole frames, but for what was reported as
// written before. Frames are written when all that is said of them is.
func (b *bridge) write(w *work, in []byte) (done int, err error) {
	used := b.ahead
	for {
		if rest := b.out.bytes(); b.sent < len(rest) {
			n, err := b.driver.write(w, rest[b.sent:])
			b.sent += n
			b.gone += n
			if err != nil && err != poll.ErrAsked {
				return done, err
			}
			if b.sent < len(rest) {
				b.ahead = used - done
				return done, err
			}
		}
		done, b.sent = used, 0
		if b.out != nil {
			b.conn.engine.buffers.put(b.out)
			b.out = nil
		}
		if b.wrote(w); b.broken() {
			return done, errBroken
		}
		if used == len(in) {
			b.ahead = 0
			return done, nil
		}
		used += b.say(w, in[used:])
	}
}

func (b *bridge) broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tell.broken
}

// say has some frames said, and returns how many bytes these were.
func (b *bridge) say(w *work, in []byte) (used int) {
	b.out = b.conn.engine.buffers.get()
	b.mu.Lock()
	defer b.mu.Unlock()
	for used < len(in) && len(b.out.b) < saidAtOnce && !b.tell.broken {
		f, whole, err := parseFrame(in[used:])
		if err != nil || !whole {
			b.tell.broken = true
			break
		}
		b.tell.close = b.tell.close || b.tell.goodbye || !b.whole || b.half && !b.rest
		b.out.b = b.tell.take(b.out.b, f)
		used += frameHeaderBytes + len(f.payload)
	}
	if b.tell.granted > 0 {
		b.credit += b.tell.granted
		b.tell.granted = 0
		b.tellReader(w)
	}
	return used
}

// wrote notes that all that was said is written: with the end of an answer, the
// next request may begin.
func (b *bridge) wrote(w *work) {
	if b.answered(w) {
		c := b.conn
		c.mu.Lock()
		defer c.mu.Unlock()
		c.final, c.closing = true, true
	}
}

// answered tells whether the connection ends with an answer that was written.
func (b *bridge) answered(w *work) (last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.busy || !b.tell.done {
		return false
	}
	b.busy, b.over = false, b.over || b.tell.close
	b.tellReader(w)
	return b.tell.close
}

// tellReader lets the reader look again. The caller holds mu.
func (b *bridge) tellReader(w *work) {
	b.news = true
	if b.hungry {
		b.hungry = false
		w.readers = append(w.readers, b.driver)
	}
}

// cut implements wire. An answer that is not complete must not look so: it is
// broken off by a reset.
func (b *bridge) cut() {
	b.mu.Lock()
	partly := b.busy && b.tell.headed
	b.mu.Unlock()
	if partly {
		b.Abort()
		b.CloseRead()
	} else {
		b.driver.cut()
	}
}
