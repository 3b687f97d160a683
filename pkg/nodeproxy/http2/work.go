package http2

import (
	"runtime"
	"sync"
	"time"
)

// work is what a goroutine does between two waits: the connections it has
// written to, to be flushed at its end. It belongs to one goroutine.
type work struct {
	engine  *Engine
	now     time.Time
	dirty   []*conn
	pools   []*pool
	retired []*conn // to be taken out of their pools
}

// wake has a pool look at what waits, when no lock is held any more.
func (w *work) wake(p *pool) { w.pools = append(w.pools, p) }

// finish does what is left. No lock may be held.
func (w *work) finish() {
	for len(w.dirty)+len(w.pools)+len(w.retired) > 0 {
		for i := 0; i < len(w.retired); i++ {
			w.retired[i].pool.leave(w.retired[i])
		}
		w.retired = w.retired[:0]
		for i := 0; i < len(w.pools); i++ {
			w.pools[i].serve(w)
		}
		w.pools = w.pools[:0]
		if w.shared() {
			// Whoever else has read a request meanwhile adds it to this write.
			runtime.Gosched()
		}
		for i := 0; i < len(w.dirty); i++ {
			w.dirty[i].flush(w)
		}
		w.dirty = w.dirty[:0]
	}
}

// shared tells whether something is to be written to an endpoint.
func (w *work) shared() bool {
	for _, c := range w.dirty {
		if !c.down() {
			return true
		}
	}
	return false
}

// mostRounds is how often a goroutine writes what others have added meanwhile,
// before another goroutine takes that over.
const mostRounds = 16

// flush writes what is to be written, unless another goroutine does.
func (c *conn) flush(w *work) {
	c.mu.Lock()
	c.scheduled = false
	if c.writing || c.dead {
		c.mu.Unlock()
		return
	}
	c.writing = true
	for round := 0; c.out != nil; round++ {
		out := c.out
		c.out, c.answers = nil, 0
		c.mu.Unlock()
		n, err := c.wire.write(out.b, false)
		if err != nil {
			c.broken()
			return
		}
		if n < len(out.b) || round == mostRounds {
			c.mu.Lock()
			c.progress, c.owes = time.Now(), c.portion()
			c.stuck.Store(true)
			c.mu.Unlock()
			c.engine.running.Go(func() { c.writeOn(out, n) })
			return
		}
		c.repay(w, out)
		c.mu.Lock()
	}
	c.written(w)
	c.mu.Unlock()
}

// repay gives credit for a buffer that was written. A fault in that ends this
// connection too: it would be written to no more.
func (c *conn) repay(w *work, out *buffer) {
	sound := false
	defer func() {
		if !sound {
			c.broken()
		}
	}()
	w.refund(out.credits)
	c.engine.buffers.put(out)
	sound = true
}

// written notes that nothing is to be written. The caller holds mu, and has
// written.
func (c *conn) written(w *work) {
	c.writing = false
	if c.closing {
		c.progress = w.now
		c.wire.closeWrite()
	}
}

// writeOn writes the rest of a buffer, and what is added meanwhile, waiting for
// the socket.
func (c *conn) writeOn(out *buffer, from int) {
	sound := false
	defer c.engine.guard("a connection failed by a fault of the proxy")
	defer func() {
		if !sound {
			c.broken() // nobody would write on
		}
	}()
	w := &work{engine: c.engine, now: time.Now()}
	defer w.finish()
	for out != nil {
		for from < len(out.b) {
			n, err := c.wire.write(out.b[from:], true)
			if err != nil {
				return
			}
			from += n
			c.wrote(n)
		}
		w.now = time.Now()
		w.refund(out.credits)
		c.engine.buffers.put(out)
		w.finish()
		c.mu.Lock()
		if out, c.out, c.answers, from = c.out, nil, 0, 0; out == nil {
			c.stuck.Store(false)
			c.written(w)
			c.room.Broadcast()
		}
		if !c.down() && c.pool.waits() {
			w.wake(c.pool)
		}
		c.mu.Unlock()
	}
	sound = true
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

// broken notes that nothing can be written any more; the reader ends the
// connection.
func (c *conn) broken() {
	c.mu.Lock()
	c.writing, c.out = false, nil
	c.kill()
	c.mu.Unlock()
}

// kill ends a connection now. The reader takes it down. The caller holds mu.
func (c *conn) kill() {
	c.dead = true
	c.killed.Store(true)
	c.room.Broadcast()
	c.wire.cut()
}

// awaitRoom lets the reader of a client's connection wait while the client does
// not read what it asked for.
func (c *conn) awaitRoom() {
	if !c.stuck.Load() || !c.down() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.stuck.Load() && !c.dead && len(c.out.bytes()) > mostUnwritten {
		c.room.Wait()
		if c.partial.Load() != 0 {
			c.partial.Store(time.Now().UnixNano()) // nothing was read meanwhile
		}
	}
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
