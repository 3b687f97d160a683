package http2

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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
	in   input
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
	c.wire, c.settled = c.bridge, true
	c.credit, c.peak, c.initial = unbounded, unbounded, unbounded
}

// run serves the connection to its end, beginning with what was read before.
func (b *bridge) run(w *work, first []byte) {
	c := b.conn
	defer b.close(c, w)
	defer c.engine.guard("a connection failed by a fault of the proxy")
	b.in.memory = c.engine.readers.get()
	b.in.have = copy(*b.in.memory, first)
	for {
		err := b.raw.Read(func(fd uintptr) bool { return b.onReadable(w, int(fd)) })
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.killed.Load() {
			break
		}
		_ = b.tcp.SetReadDeadline(time.Time{}) // it was only the writer that called
	}
	b.in.have = 0
	b.in.lay(c)
}

// onReadable reads and does what there is to do. True means that the connection
// is over; false waits for the client, or for the writer.
func (b *bridge) onReadable(w *work, fd int) (over bool) {
	for !b.conn.killed.Load() {
		b.digest(w)
		wait, err := b.fill(fd)
		if err != nil && (err != io.EOF || b.eof()) {
			return true
		}
		if (wait || err == io.EOF) && b.park() {
			return false
		}
	}
	return true
}

// fill reads once. wait tells that nothing is there, or no room for it.
func (b *bridge) fill(fd int) (wait bool, err error) {
	if b.in.memory == nil {
		b.in.memory = b.conn.engine.readers.get()
	}
	free := (*b.in.memory)[b.in.have:]
	if len(free) == 0 {
		if failed, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil || failed != 0 {
			return false, syscall.ECONNRESET
		}
		return true, nil
	}
	n, err := receive(fd, free)
	switch {
	case errors.Is(err, syscall.EINTR):
		return false, nil
	case errors.Is(err, syscall.EAGAIN):
		return true, nil
	case err == nil && n == 0:
		return false, io.EOF
	}
	b.in.have += max(n, 0)
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

// call wakes the reader, which waits in the callback of its connection.
func (b *bridge) call() { _ = b.tcp.SetReadDeadline(time.Unix(1, 0)) }

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
func (b *bridge) write(in []byte, wait bool) (done int, err error) {
	used := b.ahead
	for {
		if rest := b.out.bytes(); b.sent < len(rest) {
			n, err := b.driver.write(rest[b.sent:], wait)
			b.sent += n
			b.gone += n
			if err != nil {
				return done, err
			}
			if b.sent < len(rest) {
				b.ahead = used - done
				return done, nil
			}
		}
		done, b.sent = used, 0
		if b.out != nil {
			b.conn.engine.buffers.put(b.out)
			b.out = nil
		}
		if b.wrote(); b.broken() {
			return done, errBroken
		}
		if used == len(in) {
			b.ahead = 0
			return done, nil
		}
		used += b.say(in[used:])
	}
}

func (b *bridge) broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tell.broken
}

// say has some frames said, and returns how many bytes these were.
func (b *bridge) say(in []byte) (used int) {
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
		b.tellReader()
	}
	return used
}

// wrote notes that all that was said is written: with the end of an answer, the
// next request may begin.
func (b *bridge) wrote() {
	if b.answered() {
		c := b.conn
		c.mu.Lock()
		defer c.mu.Unlock()
		c.final, c.closing = true, true
	}
}

// answered tells whether the connection ends with an answer that was written.
func (b *bridge) answered() (last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.busy || !b.tell.done {
		return false
	}
	b.busy, b.over = false, b.over || b.tell.close
	b.tellReader()
	return b.tell.close
}

// tellReader lets the reader look again. The caller holds mu.
func (b *bridge) tellReader() {
	b.news = true
	if b.hungry {
		b.hungry = false
		b.call()
	}
}

// cut implements wire. An answer that is not complete must not look so: it is
// broken off by a reset.
func (b *bridge) cut() {
	b.mu.Lock()
	partly := b.busy && b.tell.headed
	b.mu.Unlock()
	if partly {
		_ = b.tcp.SetLinger(0)
		_ = b.tcp.CloseRead()
	} else {
		b.driver.cut()
	}
	b.call()
}
