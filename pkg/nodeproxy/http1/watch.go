package http1

import (
	"sync"
	"time"
)

const (
	// watchEvery is how often the watch looks: a client that left is found
	// within twice as long.
	watchEvery = 50 * time.Millisecond
	// idleLongEnough is how old an idle connection is that Quiesce closes.
	idleLongEnough = 2 * time.Second
	// atOnce is how many connections are inspected while the lock is held.
	atOnce = 256
	// mostLooks is how many connections are looked at in one turn, with two or
	// three system calls each: about a tenth of one core.
	mostLooks = 4096
)

// watch knows all connections of clients.
type watch struct {
	mu    sync.Mutex // guards conns, at and each conn's place
	conns []*conn
	at    int // where the next walk begins
}

func (w *watch) add(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.place = len(w.conns)
	w.conns = append(w.conns, c)
}

func (w *watch) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.conns) - 1
	w.conns[c.place] = w.conns[last]
	w.conns[c.place].place = c.place
	w.conns[last] = nil
	w.conns = w.conns[:last]
}

// each calls f with every connection.
func (w *watch) each(f func(*conn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		f(c)
	}
}

// walk calls f with one connection after the other, going on where it stopped
// before, until it has been with all of them or f has looked at as many
// descriptors as a turn may. The lock is let go in between: connections come
// and go meanwhile.
func (w *watch) walk(f func(*conn) (looked int)) {
	budget := mostLooks
	for left := w.count(); left > 0 && budget > 0; left -= atOnce {
		budget -= w.part(min(left, atOnce), f)
	}
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// part calls f with the next few connections.
func (w *watch) part(few int, f func(*conn) (looked int)) (looked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range min(few, len(w.conns)) {
		if w.at >= len(w.conns) {
			w.at = 0
		}
		looked += f(w.conns[w.at])
		w.at++
	}
	return looked
}

// observe is the watch's goroutine.
func (e *Engine) observe() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-e.life.Done():
			return
		}
		now := e.now()
		e.watch.walk(func(c *conn) int { return c.inspect(now) })
		e.pools.sweep(now)
	}
}

// inspect ends a connection that has waited for too long, or in vain. It returns
// 1 where that took system calls.
func (c *conn) inspect(now time.Duration) (looked int) {
	word, p, since := c.in.load()
	age := now - since
	limits := &c.engine.config
	switch p {
	case idle:
		if age > limits.IdleTimeout || c.engine.quiet.Load() && age > idleLongEnough {
			c.kill(&c.in, word)
		}
	case inHead:
		if age > limits.HeadTimeout {
			c.kill(&c.in, word)
		}
	case inBody:
		if age > limits.ProgressTimeout {
			c.kill(&c.in, word)
		}
	case uploading:
		looked = 1
		if age > limits.ProgressTimeout || age >= watchEvery/2 && c.left() {
			c.kill(&c.in, word)
		}
	}
	word, p, since = c.out.load()
	age = now - since
	switch p {
	case waiting:
		if age >= watchEvery/2 {
			looked = 1
			c.look(word)
		}
	case answering:
		if age > limits.ProgressTimeout {
			c.kill(&c.out, word)
		}
	}
	return looked
}

// look looks at both sides of a connection whose endpoint works: the client may
// have left; and the endpoint's end may have come just before the poller was
// asked about it.
func (c *conn) look(word int64) {
	if c.left() {
		c.kill(&c.out, word)
		return
	}
	if l := c.link.Load(); l != nil {
		if _, ended := l.poll(l.fd); ended && c.out.turn(word, nudged) {
			l.wake()
		}
	}
}

// left tells that the client has closed, or that the connection was closed
// under its goroutine's feet. A client that ended its stream with its request
// still waits for the answer.
func (c *conn) left() bool {
	if c.raw.Control(nothing) != nil {
		return true
	}
	if c.half.Load() {
		return false
	}
	_, ended := c.poll(c.fd)
	return ended
}

// kill ends a phase and wakes whoever waits in it.
func (c *conn) kill(s *slot, word int64) {
	if !s.turn(word, killed) {
		return
	}
	c.wake()
	if l := c.link.Load(); l != nil {
		l.wake()
	}
}

// nothing is done with a descriptor, to see whether there is one.
func nothing(uintptr) {}
