package http2

import (
	"errors"
	"net/http"
	"sync"
	"time"

	http1 "github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// askers lends askers.
type askers struct{ pool sync.Pool }

func (p *askers) get() *asker {
	if a, ok := p.pool.Get().(*asker); ok {
		return a
	}
	return &asker{}
}

func (p *askers) put(a *asker) {
	a.reset()
	a.block, a.trailer = modest(a.block), modest(a.trailer)
	p.pool.Put(a)
}

// digest passes on what was read, as far as it may be: requests that are
// answered at once let the next one begin.
func (b *bridge) digest(w *work) {
	w.now = time.Now()
	for again := true; again; again = b.hasNews() {
		b.listen()
		b.pull(w)
		w.flush()
	}
	b.account(w.now.UnixNano())
}

// pull passes on what was read, up to the end of a request.
func (b *bridge) pull(w *work) {
	if b.in.have == 0 {
		return
	}
	memory, used := (*b.in.memory)[:b.in.have], 0
	for {
		n, on := b.step(w, memory[used:])
		if used += n; !on {
			break
		}
	}
	b.in.have = copy(memory, memory[used:])
	b.conn.giveBack(w)
}

// listen forgets the news: what follows sees all there is.
func (b *bridge) listen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.news, b.hungry = false, false
}

func (b *bridge) hasNews() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}

// step does one thing with what was read; on tells that there may be more to do.
func (b *bridge) step(w *work, in []byte) (used int, on bool) {
	switch busy, over := b.state(); {
	case over:
		return len(in), false
	case b.ask != nil && b.ask.headed:
		return b.more(w, in)
	case busy || len(in) == 0:
		return 0, false
	}
	return b.open(w, in)
}

func (b *bridge) state() (busy, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.busy, b.over
}

// open begins a request once its head is complete.
func (b *bridge) open(w *work, in []byte) (used int, on bool) {
	if b.ask == nil {
		b.ask = b.conn.engine.askers.get()
		most := &b.conn.engine.config.Limits
		b.ask.request.Limits = http1.Limits{Bytes: most.HeadBytes, Fields: most.Fields}
		b.next += 2
	}
	a := b.ask
	n, f, err := a.head(in, b.next-1, b.conn.service)
	if err != nil {
		b.reject(w, err)
		return len(in), false
	}
	if n == 0 {
		return 0, false
	}
	r := &a.request
	b.begin(len(in)-n, terms{
		head: r.Head(), old: r.Old(), keepAlive: r.Old() && !r.Close(), expects: r.Expects(),
		close: r.Close() || b.next > highestStream-2,
	})
	b.pass(w, f)
	if r.Expects() {
		b.conn.goAhead(w, f.stream)
	}
	b.finished()
	return n, true
}

// begin notes that an answer is due. rest is how much came behind the head.
func (b *bridge) begin(rest int, a terms) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy, b.credit = true, b.conn.offered()
	b.tell.begin(b.ask.id, a)
	b.mark(rest)
}

// mark notes whether the request is whole. The caller holds mu.
func (b *bridge) mark(rest int) {
	b.whole, b.rest = !b.ask.headed, rest > 0
}

// more passes a piece of a body on.
func (b *bridge) more(w *work, in []byte) (used int, on bool) {
	used, f, ok, err := b.piece(in)
	if err != nil {
		b.reject(w, err)
		return len(in), false
	}
	if ok {
		b.pass(w, f)
		b.finished()
	}
	return used, ok
}

func (b *bridge) piece(in []byte) (used int, f frame, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	used, f, ok, err = b.ask.next(in, b.credit)
	if f.kind == frameData {
		b.credit -= len(f.payload)
	}
	b.mark(len(in) - used)
	return used, f, ok, err
}

// pass gives a frame to the conn, which does not expect less of a client of its
// own version.
func (b *bridge) pass(w *work, f frame) {
	if err := b.conn.frame(w, f); err != nil {
		code := internalError
		errors.As(err, &code)
		b.conn.fail(w, code)
	}
}

// finished gives the asker back where the request is whole.
func (b *bridge) finished() {
	if b.ask != nil && !b.ask.headed {
		b.conn.engine.askers.put(b.ask)
		b.ask = nil
	}
}

// reject refuses what is no request. Nothing that follows is read as one.
func (b *bridge) reject(w *work, err error) {
	no := refusal{reason: upstream.BadRequest, what: err.Error()}
	if what := (*http1.Error)(nil); errors.As(err, &what) {
		no.status = what.Status
	}
	if no.status == http.StatusMethodNotAllowed {
		no.reason = upstream.MethodRefused
	}
	b.mu.Lock()
	b.over = true
	if !b.busy {
		b.busy = true
		b.tell.begin(b.next-1, terms{close: true})
	}
	b.mu.Unlock()
	b.conn.reject(w, b.next-1, no)
	b.ask.headed = false
	b.finished()
}

// account notes since when the client owes something: the rest of a head, or
// the next bytes of a body; the first head is owed from the beginning.
func (b *bridge) account(now int64) {
	body := b.ask != nil && b.ask.headed
	if head := b.ask != nil && !body || b.next == 0; !head {
		b.conn.partial.Store(0)
	} else if b.conn.partial.Load() == 0 {
		b.conn.partial.Store(now)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !body || b.over || b.credit == 0 {
		now = 0
	}
	b.owes.Store(now)
}

// service is what an HTTP/1.0 request without a Host is for.
func (c *conn) service() string {
	if route := c.engine.config.Current().Route(c.client.at); route != nil {
		return route.Port.Service.Name + "." + route.Port.Service.Namespace
	}
	return "unknown"
}

// goAhead tells the client to send its body.
func (c *conn) goAhead(w *work, id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.halves[id]; h != nil && h.call.status == 0 {
		c.head(w, h, fields(":status", "100"), false)
	}
}

// reject refuses a request that has no place in HTTP/2: one that could not be
// read, or whose body cannot be read on.
func (c *conn) reject(w *work, id uint32, no refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.halves[id]
	switch {
	case h != nil && h.call.status != 0:
		c.abandon(w, h)
		h.call.reason = no.reason
		c.drop(w, h, protocolError)
		return
	case h != nil:
		c.abandon(w, h)
	case id <= c.last:
		return // its answer is complete
	default:
		c.last = id
		h = c.take(id)
		h.remoteEnd, h.call.started, h.call.grpcStatus = true, w.now, -1
		h.call.snapshot, h.call.route = c.client.current(c.engine.config.Current())
		if way := h.call.route; way != nil && c.engine.config.Events.Want(way.AccessLog()) {
			h.call.note = telemetry.NewNote(&c.bridge.ask.request)
		}
	}
	c.refuse(w, h, no)
}
