package http2

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
)

// work is what a goroutine does between two waits: the connections it has
// written to, to be flushed at its end. It belongs to one goroutine; a poller's
// goroutine has one for all that came at once, so that what many clients ask of
// an endpoint goes out with one system call.
type work struct {
	engine  *Engine
	now     time.Time
	batch   *poll.Batch // of its poller; nil for none
	dirty   []*conn
	pools   []*pool
	retired []*conn   // to be taken out of their pools
	readers []*driver // that may read on
}

// wake has a pool look at what waits, when no lock is held any more.
func (w *work) wake(p *pool) { w.pools = append(w.pools, p) }

// finish does what is left. No lock may be held, and no one may be reading.
func (w *work) finish() {
	for w.flush(); len(w.readers) > 0; w.flush() {
		readers := w.readers
		w.readers = nil
		for _, d := range readers {
			d.post(w, news)
		}
	}
}

// round finishes what came of a poller's batch of events.
func (w *work) round() {
	defer w.engine.guard("requests failed by a fault of the proxy")
	w.finish()
}

// flush writes what is to be written. No lock may be held.
func (w *work) flush() {
	for len(w.dirty)+len(w.pools)+len(w.retired) > 0 {
		for i := 0; i < len(w.retired); i++ {
			w.retired[i].pool.leave(w.retired[i])
		}
		w.retired = w.retired[:0]
		for i := 0; i < len(w.pools); i++ {
			w.pools[i].serve(w)
		}
		w.pools = w.pools[:0]
		for i := 0; i < len(w.dirty); i++ {
			w.dirty[i].flush(w)
		}
		w.dirty = w.dirty[:0]
	}
}

// mostRounds is how often a goroutine writes what others have added meanwhile,
// before another goroutine takes that over.
const mostRounds = 16

// flush writes what is to be written, unless another goroutine does or the
// socket is full.
func (c *conn) flush(w *work) {
	c.mu.Lock()
	c.scheduled = false
	if c.writing || c.dead || c.stuck.Load() {
		c.mu.Unlock()
		return
	}
	c.writing, c.rounds = true, 0
	c.mu.Unlock()
	c.write(w)
}

// resume writes on: the socket may take bytes again.
func (c *conn) resume(w *work) {
	if !c.stuck.Load() {
		return
	}
	c.mu.Lock()
	if c.writing || c.dead {
		c.roomy = true
		c.mu.Unlock()
		return
	}
	c.writing, c.rounds = true, 0
	c.mu.Unlock()
	w.now = time.Now()
	c.write(w)
}

// Resume goes on with what the batch has written.
func (c *conn) Resume() { c.write(c.writer) }

// write writes what there is until there is no more, or the socket is full. The
// caller has set writing, which stays while the batch is asked. A fault ends this
// connection: nobody would write on.
func (c *conn) write(w *work) {
	sound := false
	defer func() {
		if !sound {
			c.broken()
		}
	}()
	defer c.engine.guard("a connection failed by a fault of the proxy")
	for ; c.hasMore(w); c.rounds++ {
		n, err := c.wire.write(w, c.unsent.b[c.from:])
		c.from += n
		if c.stuck.Load() {
			c.wrote(n)
		}
		if err == poll.ErrAsked {
			c.writer = w
			w.batch.Hold(c)
			sound = true
			return
		}
		if err != nil {
			sound = true
			c.refused(err)
			return
		}
		if c.from < len(c.unsent.b) {
			if c.isStuck() {
				sound = true
				return
			}
			continue
		}
		w.refund(c.unsent.credits)
		c.engine.buffers.put(c.unsent)
		c.unsent = nil
		if c.rounds >= mostRounds {
			sound = true
			c.engine.running.Go(func() {
				w := &work{engine: c.engine, now: time.Now()}
				defer w.finish()
				c.rounds = 0
				c.write(w)
			})
			return
		}
	}
	sound = true
}

// hasMore sees to it that unsent is what is to be written next. Where nothing is,
// writing ends.
func (c *conn) hasMore(w *work) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.dead:
		c.stopWriting()
		return false
	case c.unsent != nil:
		return true
	case c.out != nil:
		c.unsent, c.from = c.out, 0
		c.out, c.answers = nil, 0
		if c.stuck.Load() && !c.down() && c.pool.waits() {
			w.wake(c.pool)
		}
		return true
	}
	if c.stuck.Swap(false) {
		if c.driver != nil {
			w.readers = append(w.readers, c.driver)
		}
		if !c.down() && c.pool.waits() {
			w.wake(c.pool)
		}
	}
	if c.closing {
		c.progress = w.now
		c.wire.closeWrite()
	}
	c.stopWriting()
	return false
}

// isStuck takes it that the socket has taken less than there is, and ends the
// writing until it takes more. False means to write on: it may have room again.
func (c *conn) isStuck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stuck.Swap(true) {
		// Only from now on the poller's word is heard.
		c.progress, c.owes = time.Now(), c.portion()
		return false
	}
	if c.roomy {
		c.roomy = false
		return false
	}
	c.stopWriting()
	return true
}

// stopWriting lets others write, and closes a socket that nobody uses any more.
// The caller holds mu.
func (c *conn) stopWriting() {
	if c.writing = false; c.gone {
		c.driver.Close()
	}
}

// portion is how much a client must take in time.
func (c *conn) portion() int {
	if !c.down() {
		return 0 // of an endpoint any byte will do
	}
	return c.engine.config.Limits.BodyPortion()
}

// wrote takes it that a stuck connection took some bytes.
func (c *conn) wrote(n int) {
	if c.bridge != nil {
		n = c.bridge.moved()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owes -= n; c.owes <= 0 {
		c.progress, c.owes = time.Now(), c.portion()
	}
}

// refused notes that the peer takes nothing any more. What an endpoint has said
// before it reset the connection is read all the same, to the end.
func (c *conn) refused(err error) {
	if c.down() || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		c.broken()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out, c.unsent = nil, nil
	if c.closing {
		c.kill() // nothing is waited for, and the end may be our own
	}
	c.dead = true
	c.stopWriting()
}

// broken notes that nothing can be written any more; the reader ends the
// connection. The caller has set writing.
func (c *conn) broken() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out, c.unsent = nil, nil
	c.kill()
	c.stopWriting()
}

// kill ends a connection now. The reader takes it down. The caller holds mu.
func (c *conn) kill() {
	if !c.killed.Load() {
		c.dead = true
		c.killed.Store(true)
		c.wire.cut()
	}
}

// full tells the reader of a client's connection to wait: the client does not
// read what it asked for.
func (c *conn) full() bool {
	if !c.down() || !c.stuck.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stuck.Load() && !c.dead && len(c.out.bytes()) > mostUnwritten
}

// buffers lends what is written.
type buffers struct{ pool sync.Pool }

// largestKept is how large a buffer may be to be lent again.
const largestKept = 128 << 10

func (p *buffers) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, 0, 4<<10)}
}

func (p *buffers) put(b *buffer) {
	clear(b.credits)
	b.b, b.credits = b.b[:0], b.credits[:0]
	if cap(b.b) <= largestKept {
		p.pool.Put(b)
	}
}
