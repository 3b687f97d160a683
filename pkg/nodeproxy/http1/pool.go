package http1

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/tlsrelay"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

const (
	// idleUpstream is how long an unused connection to an endpoint is kept where
	// no policy says, unless the endpoint closes it before (Node.js: after 5 s).
	idleUpstream = 30 * time.Second
	// idleLinks bounds the unused connections to one endpoint at one poller.
	idleLinks = 1024
	// farthest is how far a link is looked for that need not be looked at.
	farthest = 16
)

// link is a connection to an endpoint. It belongs to the pool or to one conn,
// which hears of what happens to it.
type link struct {
	poll.Socket
	pool  *pool
	shelf int                  // where it is put, and its poller's number
	owner atomic.Pointer[conn] // nil while it is in the pool
	// used is when the last request was sent: the endpoint has been idle for at
	// most as long as that is ago. idleSince is used of the request before.
	used, idleSince time.Duration
	reused          bool // it has carried a request before
	// relay is behind the socket where TLS is spoken, else nil. forwarded is what
	// had gone through it when the last request was sent.
	relay     *tlsrelay.Relay
	forwarded int64
}

// close closes the connection.
func (l *link) close() {
	l.Socket.Close()
	if l.relay != nil {
		l.relay.Close()
	}
	l.pool.endpoint.Disconnected()
}

// Silent tells that there is nothing to read, not even an end; with TLS, neither
// before it nor behind it.
func (l *link) Silent() bool {
	return l.Socket.Silent() && (l.relay == nil || l.relay.Silent())
}

// Receive reads what is there, as a Socket's does. With TLS only an end that the
// endpoint has said is io.EOF.
func (l *link) Receive(b []byte, batch *poll.Batch) (n int, err error) {
	if n, err = batch.Receive(&l.Socket, b); err == io.EOF && l.relay != nil {
		err = l.relay.End()
	}
	return n, err
}

// undelivered tells that nothing of the last request has left this process.
func (l *link) undelivered() bool { return l.relay != nil && l.relay.Refused(l.forwarded) }

// Rests is asked by the poller.
func (l *link) Rests() bool { return l.owner.Load() == nil }

// Happened is told by the poller. What happens to an idle link is the end of it.
func (l *link) Happened(e poll.Events, batch *poll.Batch) {
	for {
		c := l.owner.Load()
		if c == nil {
			if e&^poll.Writable == 0 || l.pool.suspect(l) || l.owner.Load() == nil {
				return
			}
			continue // it was taken meanwhile
		}
		bits, mine := c.turn.Claim(uint32(e) << linkShift)
		heard := mine && c.link == l
		if mine {
			c.run(bits, batch)
		}
		if heard || l.owner.Load() == c {
			return
		}
		// Whoever worked on it had let the link go before it was told.
	}
}

// pool is the unused connections to one endpoint, and what is known of how long
// it keeps them.
type pool struct {
	engine   *Engine
	endpoint *upstream.Endpoint
	shelves  []shelf // one for each poller, whose conns look there first
	patience patience
}

// shelf is the unused connections that one poller watches.
type shelf struct {
	mu   sync.Mutex // guards idle
	idle []rested   // the one used last is at the end
}

// rested is an unused connection and since when it is that.
type rested struct {
	*link
	since uint32 // a moment of its poller
}

// patience is how long an endpoint keeps unused connections open, as observed.
// A request that must not be sent twice is sent on a used connection only well
// within it: else it could cross the endpoint's close, and nobody could tell
// whether it was processed (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
type patience struct {
	kept     atomic.Int64 // the longest that one was seen open
	closed   atomic.Int64 // the shortest after which one was seen closed; 0 for none
	closedAt atomic.Int64 // when that was seen last
}

const (
	// leastKept is what an endpoint must have been seen to keep at least.
	leastKept = 100 * time.Millisecond
	// leastClosed is what the shortest close must be, for any trust at all.
	leastClosed = time.Second
	// closesForgotten is how long closes matter after the last.
	closesForgotten = time.Minute
)

// trusts tells whether a connection that was unused for so long will not be
// closed by the endpoint right now.
func (p *patience) trusts(unused, now time.Duration) bool {
	kept := time.Duration(p.kept.Load())
	if kept < leastKept || unused > kept/2 {
		return false
	}
	closed := time.Duration(p.closed.Load())
	if closed == 0 || now-time.Duration(p.closedAt.Load()) > closesForgotten {
		return true
	}
	return closed >= leastClosed && unused <= closed/2
}

// sawOpen notes that a connection is open after it was unused for so long.
func (p *patience) sawOpen(unused time.Duration) {
	for kept := p.kept.Load(); int64(unused) > kept; kept = p.kept.Load() {
		if p.kept.CompareAndSwap(kept, int64(unused)) {
			return
		}
	}
}

// sawClosed notes that the endpoint closed one that was unused for so long at most.
func (p *patience) sawClosed(unused, now time.Duration) {
	p.closedAt.Store(int64(now))
	for closed := p.closed.Load(); closed == 0 || int64(unused) < closed; closed = p.closed.Load() {
		if p.closed.CompareAndSwap(closed, max(int64(unused), 1)) {
			return
		}
	}
}

// take gives an unused connection to a conn; it returns nil for none. twice
// tells that the request may be sent again should it turn out to be dead.
func (p *pool) take(c *conn, twice bool) *link {
	for i := range p.shelves {
		at := (c.shelf + i) % len(p.shelves)
		for {
			l, looked := p.shelves[at].take(p, c, twice, &p.engine.pollers[at])
			if l == nil {
				break
			}
			// However young it is: what an endpoint says without being asked
			// would answer somebody else. The event that tells it may not be
			// heard yet; what is behind TLS the poller does not see.
			if looked && l.relay == nil || l.Silent() {
				return l
			}
			p.patience.sawClosed(c.now-l.used, c.now)
			l.close()
		}
	}
	return nil
}

// take takes the connection that was used last. A request that may be sent
// twice rather gets one that the poller has looked at meanwhile, which saves
// another look.
func (s *shelf) take(p *pool, c *conn, twice bool, by *poll.Poller) (l *link, looked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 || !twice && !p.patience.trusts(c.now-s.idle[last].used, c.now) {
		return nil, false
	}
	at := last
	for i := last; twice && i >= 0 && i > last-farthest; i-- {
		if by.HasLookedSince(s.idle[i].since) {
			at, looked = i, true
			break
		}
	}
	l = s.idle[at].link
	s.idle = slices.Delete(s.idle, at, at+1)
	l.owner.Store(c)
	return l, looked
}

// put keeps a connection for later. What was posted about it to its conn until
// now is looked after: nobody else will.
func (p *pool) put(c *conn, l *link) {
	l.reused = true
	s := &p.shelves[l.shelf]
	s.mu.Lock()
	keep := len(s.idle) < idleLinks && !p.endpoint.Gone()
	if keep {
		l.owner.Store(nil)
		s.idle = append(s.idle, rested{l, p.engine.pollers[l.shelf].Now()})
	}
	s.mu.Unlock()
	switch {
	case !keep:
		l.close()
	case c.turn.Untaken()&(uint32(poll.Readable|poll.Ended|poll.Broken)<<linkShift) != 0:
		p.suspect(l)
	}
}

// suspect looks at a link to which something has happened. It is closed where
// the endpoint has ended it, or spoke without being asked. False means that it
// is not in the pool.
func (p *pool) suspect(l *link) bool {
	s := &p.shelves[l.shelf]
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.idle, func(r rested) bool { return r.link == l })
	if i < 0 || l.Silent() {
		return i >= 0
	}
	now := p.engine.now()
	p.patience.sawClosed(now-l.used, now)
	s.idle = slices.Delete(s.idle, i, i+1)
	l.close()
	return true
}

// sweep closes connections that are unused for too long, and learns how long
// the endpoint keeps them.
func (p *pool) sweep(now time.Duration) {
	most := p.endpoint.Idle(idleUpstream)
	p.cull(func(l *link) bool {
		unused := now - l.used
		if unused < most && unused >= leastKept {
			p.patience.sawOpen(unused)
		}
		return unused >= most
	})
}

// close closes what is unused.
func (p *pool) close() { p.cull(func(*link) bool { return true }) }

// cull closes the unused connections for which over is true.
func (p *pool) cull(over func(*link) bool) {
	for i := range p.shelves {
		s := &p.shelves[i]
		s.mu.Lock()
		s.idle = slices.DeleteFunc(s.idle, func(r rested) bool {
			if over(r.link) {
				r.close()
				return true
			}
			return false
		})
		s.mu.Unlock()
	}
}

// pools holds the pools of all endpoints.
type pools struct {
	engine *Engine
	all    sync.Map // *upstream.Endpoint → *pool
}

// of returns the pool of an endpoint. One that is gone keeps nothing.
func (p *pools) of(e *upstream.Endpoint) *pool {
	if found, ok := p.all.Load(e); ok {
		return found.(*pool)
	}
	found, _ := p.all.LoadOrStore(e, &pool{engine: p.engine, endpoint: e, shelves: make([]shelf, len(p.engine.pollers))})
	if e.Gone() {
		// It left the Table meanwhile: nobody will come to forget it.
		p.all.Delete(e)
	}
	return found.(*pool)
}

// forget drops endpoints; what is in flight goes on.
func (p *pools) forget(gone []*upstream.Endpoint) {
	for _, e := range gone {
		if found, ok := p.all.LoadAndDelete(e); ok {
			found.(*pool).close()
		}
	}
}

func (p *pools) sweep(now time.Duration) {
	p.all.Range(func(_, found any) bool {
		found.(*pool).sweep(now)
		return true
	})
}

func (p *pools) close() {
	p.all.Range(func(e, found any) bool {
		p.all.Delete(e)
		found.(*pool).close()
		return true
	})
}
