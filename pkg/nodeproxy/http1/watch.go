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
	mu    sync.Mutex // guards conns and each conn's place
	conns []*conn
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
// between: connections come and go meanwhile. It goes from the last to the first,
// since remove fills a gap with the last: one that is there all the time is
// never missed, though it may be met twice.
func (w *watch) walk(f func(few []*conn)) {
	var few [atOnce]*conn
	for at := w.count(); at > 0; {
		var n int
		n, at = w.part(few[:], at)
		f(few[:n])
	}
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// part copies the next few connections before a place; from tells where they
// begin.
func (w *watch) part(few []*conn, before int) (n, from int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before = min(before, len(w.conns))
	from = max(0, before-len(few))
	return copy(few, w.conns[from:before]), from
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
					c.post(timeUp, nil)
				}
			}
		})
		e.pools.sweep(now)
	}
}
