package http1

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

const (
	// idleUpstream is how long an unused connection to an endpoint is kept:
	// shorter than what servers keep (Node.js: 5 s).
	idleUpstream = 4 * time.Second
	// idleLinks bounds the unused connections to one endpoint.
	idleLinks = 1024
)

// link is a connection to an endpoint. It belongs to the pool or to one conn.
type link struct {
	sock
	pool  *pool
	ready func(uintptr) bool // the conn's answer, bound once
	conn  *conn              // that uses it
	// used is when the last request was sent: the endpoint has been idle for at
	// most as long as that is ago.
	used   time.Duration
	reused bool // it has carried a request before
}

// pool is the unused connections to one endpoint, and what is known of how long
// it keeps them.
type pool struct {
	endpoint *upstream.Endpoint
	mu       sync.Mutex // guards idle
	idle     []*link    // the one used last is at the end
	patience patience
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

// take returns an unused connection, nil for none. twice tells that the request
// may be sent again should the connection turn out to be dead.
func (p *pool) take(twice bool, now time.Duration) *link {
	for {
		p.mu.Lock()
		last := len(p.idle) - 1
		if last < 0 || !twice && !p.patience.trusts(now-p.idle[last].used, now) {
			p.mu.Unlock()
			return nil
		}
		l := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		p.mu.Unlock()
		// However young it is: what an endpoint says without being asked would
		// answer somebody else.
		if !l.stale(now) {
			return l
		}
	}
}

// stale closes a connection that the endpoint has ended, or on which it spoke
// without being asked.
func (l *link) stale(now time.Duration) bool {
	readable, _ := l.poll(l.fd)
	if readable {
		l.pool.patience.sawClosed(now-l.used, now)
		_ = l.tcp.Close()
	}
	return readable
}

// put keeps a connection for later.
func (p *pool) put(l *link) {
	l.conn, l.reused = nil, true
	p.mu.Lock()
	keep := len(p.idle) < idleLinks && !p.endpoint.Gone()
	if keep {
		p.idle = append(p.idle, l)
	}
	p.mu.Unlock()
	if !keep {
		_ = l.tcp.Close()
	}
}

// sweep closes connections that are unused for too long or that the endpoint
// has closed, and learns how long it keeps them.
func (p *pool) sweep(now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, l := range p.idle {
		unused := now - l.used
		switch {
		case unused >= leastKept && l.stale(now):
		case unused >= idleUpstream:
			_ = l.tcp.Close()
		default:
			if unused >= leastKept {
				p.patience.sawOpen(unused)
			}
			kept = append(kept, l)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
}

// close closes what is unused.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.idle {
		_ = l.tcp.Close()
	}
	p.idle = nil
}

// pools holds the pools of all endpoints.
type pools struct {
	dialer upstream.Dialer
	all    sync.Map // *upstream.Endpoint → *pool
}

// of returns the pool of an endpoint. One that is gone keeps nothing.
func (p *pools) of(e *upstream.Endpoint) *pool {
	if found, ok := p.all.Load(e); ok {
		return found.(*pool)
	}
	found, _ := p.all.LoadOrStore(e, &pool{endpoint: e})
	if e.Gone() {
		// It left the Table meanwhile: nobody will come to forget it.
		p.all.Delete(e)
	}
	return found.(*pool)
}

// dial opens a new connection. Every error is a *upstream.DialError.
func (p *pools) dial(ctx context.Context, at *pool) (*link, error) {
	tcp, err := p.dialer.Dial(ctx, at.endpoint)
	if err != nil {
		return nil, err
	}
	l := &link{pool: at}
	if err := l.open(tcp); err != nil {
		_ = tcp.Close()
		return nil, &upstream.DialError{Endpoint: at.endpoint, Err: err}
	}
	l.ready = l.answer
	return l, nil
}

// answer lets the conn that uses the link go on.
func (l *link) answer(uintptr) bool { return l.conn.onUpstream() }

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
