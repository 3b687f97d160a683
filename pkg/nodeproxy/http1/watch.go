package http1

import (
	"sync"
	"time"
)

const (
	// watchEvery is how often the watch looks: what waits for a time goes on at
	// most so much later.
	watchEvery = 50 * time.Millisecond
	// idleLongEnough is how old an idle connection is that Quiesce closes.
	idleLongEnough = 2 * time.Second
	// atOnce is how many connections are copied while the lock is held.
	atOnce = 256
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

// walk gives all connections to f, a few at a time. The lock is let go in
// between: connections come and go meanwhile.
func (w *watch) walk(f func(few []*conn)) {
	var few [atOnce]*conn
	for left := w.count(); left > 0; left -= atOnce {
		n := w.part(few[:min(left, atOnce)])
		f(few[:n])
	}
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// part copies the next few connections.
func (w *watch) part(few []*conn) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; n < min(len(few), len(w.conns)); n++ {
		if w.at >= len(w.conns) {
			w.at = 0
		}
		few[n] = w.conns[w.at]
		w.at++
	}
	return n
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
		e.watch.walk(func(few []*conn) {
			for _, c := range few {
				if overdue(e, c.due.Load(), now) {
					c.post(timeUp)
				}
			}
		})
		e.pools.sweep(now)
	}
}
