package http2

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/policy"
)

// busy is how many streams a connection carries before a further one is made
// for another processor: fewer connections batch better.
const busy = 32

// pool is the connections to one endpoint, and the requests that wait for one.
type pool struct {
	engine   *Engine
	endpoint *upstream.Endpoint
	conns    atomic.Pointer[[]*conn] // those that take streams; the slice never changes
	length   atomic.Int32            // of waiting, and what serve has in hand
	limit    atomic.Int64            // how many streams a connection takes, as the endpoint said last; negative before that

	mu      sync.Mutex // guards what follows
	waiting []waiter
	dialing int
	serving bool
	again   bool // something became free while serve was looking
	closed  bool // the endpoint is gone: new connections end when unused
}

// waiter is a request that waits for a connection.
type waiter struct {
	conn *conn
	id   uint32
}

// wanted is how many connections to an endpoint are good: one for each processor.
func wanted() int { return runtime.GOMAXPROCS(0) }

// allowed is how many there may be: twice as many, and more only where the
// endpoint takes so few streams on each that its requests have no place.
func (p *pool) allowed() int {
	n := 2 * wanted()
	if limit := p.limit.Load(); limit > 0 {
		n = max(n, int((p.endpoint.Load()+limit-1)/limit))
	}
	return n
}

func newPool(e *Engine, endpoint *upstream.Endpoint) *pool {
	p := &pool{engine: e, endpoint: endpoint}
	p.limit.Store(-1)
	p.conns.Store(&[]*conn{})
	return p
}

// waits tells whether a request waits.
func (p *pool) waits() bool { return p.length.Load() > 0 }

// dispatch sends a request, or lets it wait. The caller holds c's mu.
func (p *pool) dispatch(w *work, c *conn, h *half) {
	conns := *p.conns.Load()
	if p.place(w, c, h, conns) {
		if len(conns) < wanted() && p.endpoint.Load() > busy {
			p.mu.Lock()
			p.dial(wanted())
			p.mu.Unlock()
		}
		return
	}
	if !h.call.policy.Wait() {
		c.refuse(w, h, refusal{reason: upstream.Overloaded, what: "as many requests wait for a connection as may"})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, waiter{c, h.id})
	p.length.Add(1)
	p.dial(p.allowed())
	w.wake(p) // a place may have become free meanwhile
}

// place begins a request on one of the connections, on that of its own
// processor first. The caller holds c's mu.
func (p *pool) place(w *work, c *conn, h *half, conns []*conn) bool {
	for i := range conns {
		if c.attach(w, h, conns[(c.client.shard+i)%len(conns)]) {
			return true
		}
	}
	return false
}

// dial begins to open a connection where there may be one more. The caller
// holds mu.
func (p *pool) dial(allowed int) {
	if p.dialing > 0 || len(*p.conns.Load())+p.dialing >= allowed {
		return
	}
	p.dialing++
	p.engine.running.Go(p.connect)
}

// connect opens one connection and begins to serve it.
func (p *pool) connect() {
	defer p.engine.guard("a connection to an endpoint failed by a fault of the proxy")
	conn, err := p.engine.config.Dialer.Open(p.engine.life, p.endpoint, upstream.ProtocolHTTP2, &p.engine.running)
	w := &work{engine: p.engine, now: time.Now()}
	if err != nil {
		p.failed(w, err)
		w.finish()
		return
	}
	// The connections of an endpoint are dealt out to the pollers as clients are.
	d, err := p.engine.newDriver(conn.Socket, len(*p.conns.Load()))
	if err != nil {
		_ = conn.Close()
		p.endpoint.Disconnected()
		p.failed(w, err)
		w.finish()
		return
	}
	c := newConn(p.engine, d, w.now)
	d.conn, d.relay, c.driver = c, conn.Relay, d
	c.pool, c.last, c.limit = p, 1, unknownLimit
	if limit := p.limit.Load(); limit >= 0 {
		c.limit = int(limit)
	}
	c.partial.Store(w.now.UnixNano())
	c.firstFrames(w)
	p.join(w, c)
	w.wake(p)
	d.start(w, nil)
}

// join adds a connection.
func (p *pool) join(w *work, c *conn) {
	p.engine.register(c)
	p.mu.Lock()
	p.dialing--
	closed := p.closed
	conns := append(slices.Clone(*p.conns.Load()), c)
	p.conns.Store(&conns)
	p.mu.Unlock()
	if closed {
		p.serve(w) // those that wait were promised this endpoint
		p.retire(w)
	}
}

// leave takes a connection out: it takes no more streams.
func (p *pool) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := slices.DeleteFunc(slices.Clone(*p.conns.Load()), func(o *conn) bool { return o == c })
	p.conns.Store(&conns)
}

// failed lets those that wait try elsewhere, unless there is a connection that
// will have a place for them.
func (p *pool) failed(w *work, err error) {
	p.mu.Lock()
	p.dialing--
	var losers []waiter
	if len(*p.conns.Load()) == 0 {
		losers, p.waiting = p.waiting, nil
		p.length.Add(-int32(len(losers)))
	}
	p.mu.Unlock()
	reason := upstream.ConnectFailed
	if refused := (*upstream.DialError)(nil); errors.As(err, &refused) {
		reason = refused.Reason()
	}
	for _, l := range losers {
		l.conn.unreachable(w, l.id, p, refusal{reason: reason, what: err.Error()})
	}
}

// unreachable takes it that a request's endpoint accepts no connection.
func (c *conn) unreachable(w *work, id uint32, p *pool, no refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[id]
	if h == nil || !h.call.waiting || h.call.endpoint != p.endpoint {
		return
	}
	x := &h.call
	other := x.try.Next()
	if other == nil {
		if c.retry(w, h, policy.Outcome{Kind: policy.ConnectFailed}) {
			return
		}
		c.refuse(w, h, no)
		return
	}
	x.endpoint.Release()
	x.endpoint = other
	c.dispatchAgain(w, h)
}

// serve begins the requests that wait, as far as there is room for them.
func (p *pool) serve(w *work) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.serving {
		p.again = true
		return
	}
	p.serving = true
	defer func() { p.serving = false }()
	for len(p.waiting) > 0 {
		next := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.again = false
		p.mu.Unlock()
		served := next.conn.begin(w, next.id, p)
		p.mu.Lock()
		if served {
			p.length.Add(-1)
			continue
		}
		p.waiting = slices.Insert(p.waiting, 0, next)
		if !p.again {
			p.dial(p.allowed())
			return
		}
	}
	p.waiting = nil
}

// begin attaches a request that waits; false means that there is no room. A
// fault ends the request's connection only: others are served by the caller.
func (c *conn) begin(w *work, id uint32, p *pool) (done bool) {
	sound := false
	defer func() {
		if done = done || !sound; !sound && c.driver != nil {
			c.locked(w, func(c *conn, _ *work) { c.kill() })
		}
	}()
	defer c.engine.guard("a request failed by a fault of the proxy")
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[id]
	done = h == nil || !h.call.waiting || h.call.endpoint != p.endpoint || p.place(w, c, h, *p.conns.Load())
	sound = true
	return done
}

// retire lets the connections end when they are unused.
func (p *pool) retire(w *work) {
	p.mu.Lock()
	p.closed = true
	conns := *p.conns.Load()
	p.conns.Store(&[]*conn{})
	p.mu.Unlock()
	for _, c := range conns {
		c.locked(w, (*conn).retire)
	}
}

// retire takes no new streams. The caller holds mu.
func (c *conn) retire(w *work) {
	c.leaving = true
	if len(c.halves) == 0 {
		c.end(w)
	}
}
