package http2

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// sayGoodbye tells a client to go; what it still begins is served. The caller
// holds mu.
func (c *conn) sayGoodbye(w *work) {
	if c.goodbye || c.dead {
		return
	}
	c.goodbye = true
	out := c.buffer(w)
	out.b = appendGoAway(out.b, highestStream, noError)
}

// sayLast tells a client to go and asks whether it has read that. The caller
// holds mu.
func (c *conn) sayLast(w *work) {
	if c.dead || c.final {
		return
	}
	c.sayGoodbye(w)
	out := c.buffer(w)
	out.b = appendFrameHeader(out.b, pingBytes, framePing, 0, 0)
	out.b = append(out.b, barrier...)
}

// refuseMore tells a client which stream was its last, and ends the connection
// with it. The caller holds mu.
func (c *conn) refuseMore(w *work) {
	if c.final || c.dead {
		return
	}
	c.final, c.goodbye = true, true
	out := c.buffer(w)
	out.b = appendGoAway(out.b, c.last, noError)
	if len(c.halves) == 0 {
		c.end(w)
	}
}

// fail ends a connection for what its peer did wrong.
func (c *conn) fail(w *work, code errorCode) {
	c.sayWrong(w, code)
	c.lose(w)
}

func (c *conn) sayWrong(w *work, code errorCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := uint32(0)
	if c.down() {
		last = c.last
	}
	if !c.dead && !c.closing {
		out := c.buffer(w)
		out.b = appendGoAway(out.b, last, code)
	}
	c.final, c.leaving = true, true
	c.end(w)
}

// lose ends all streams of a connection that carries no more of them.
func (c *conn) lose(w *work) {
	if !c.down() {
		losses := c.collect(w, 0)
		c.pool.leave(c)
		w.wake(c.pool)
		for _, l := range losses {
			l.to.lost(w, l.loss)
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.halves {
		c.abandon(w, h)
		h.call.left = true
		c.remove(w, h)
	}
}

// sweep is how often connections are looked after.
const sweep = time.Second

// watch looks after all connections until the engine ends.
func (e *Engine) watch() {
	ticker := time.NewTicker(sweep)
	defer ticker.Stop()
	for {
		select {
		case <-e.life.Done():
			return
		case now := <-ticker.C:
			e.sweep(now)
		}
	}
}

func (e *Engine) sweep(now time.Time) {
	defer e.guard("connections were not looked after by a fault of the proxy")
	w := &work{engine: e, now: now}
	defer w.finish()
	for _, c := range e.all() {
		c.look(w)
	}
}

// look ends a connection whose time is over.
func (c *conn) look(w *work) {
	most := &c.engine.config.Limits
	if began := c.partial.Load(); began != 0 && !c.stuck.Load() && w.now.UnixNano()-began > int64(most.HeadTimeout) {
		c.mu.Lock()
		c.kill()
		c.mu.Unlock()
		return
	}
	for _, l := range c.loseStalled(w) {
		if l.to != nil {
			l.to.lost(w, l.loss)
		}
	}
	c.engine.mu.Lock()
	quiescing := c.engine.quiescing
	c.engine.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down() && c.client.mirror {
		c.loseCopies(w)
		return
	}
	c.loseWaiting(w)
	c.loseSlow(w)
	idle := w.now.Sub(c.since)
	switch {
	case c.bridge != nil && c.bridge.late(w.now, most.BodyTimeout):
		c.kill()
	case c.stuck.Load() && w.now.Sub(c.progress) > most.BodyTimeout:
		c.kill()
	case c.closing && !c.writing && !c.stuck.Load() && !c.scheduled && w.now.Sub(c.progress) > sweep:
		c.kill()
	case c.bridge != nil && quiescing:
		if len(c.halves) == 0 && idle > 2*sweep {
			c.refuseMore(w) // hardly ever does this cross a request
		}
	case c.down() && quiescing && c.goodbye && !c.final && w.now.Sub(c.progress) > sweep:
		c.refuseMore(w)
	case c.down() && quiescing && !c.goodbye:
		c.sayLast(w)
	case len(c.halves) > 0:
	case c.down() && idle > most.IdleTimeout:
		c.refuseMore(w)
	case !c.down() && idle > c.pool.endpoint.Idle(c.engine.config.KeepTimeout) && !c.leaving:
		c.leaving = true
		w.retired = append(w.retired, c)
		c.end(w)
	}
}

// loseWaiting refuses what has waited too long for a place at its endpoint,
// whose connections are all full. The caller holds mu.
func (c *conn) loseWaiting(w *work) {
	for _, h := range c.halves {
		if h.call.waiting && h.call.resumeAt.IsZero() && w.now.Sub(h.call.dispatched) > c.engine.config.WaitTimeout {
			c.refuse(w, h, refusal{reason: upstream.UpstreamTimeout, what: "its endpoint takes no more requests at once, and none ended in time"})
		}
	}
}

// loseSlow ends requests whose client has said how long the body is, and does
// not send it at the least rate though it may. The caller holds mu.
func (c *conn) loseSlow(w *work) {
	most := &c.engine.config.Limits
	for _, h := range c.halves {
		switch {
		case !c.down() || h.remoteEnd || h.length <= 0 || h.window <= 0:
			h.dueSince = time.Time{}
		case h.dueSince.IsZero() || h.got-h.dueFrom >= int64(most.BodyPortion()):
			h.dueSince, h.dueFrom = w.now, h.got
		case w.now.Sub(h.dueSince) > most.BodyTimeout:
			c.abandon(w, h)
			h.call.left = true
			c.drop(w, h, cancelled)
		}
	}
}

// loseStalled ends streams whose receiver has given no window for what waits for
// it: within BodyTimeout a client must take its portion, an endpoint anything.
// What an endpoint's stream leads to is to be told when no lock is held.
func (c *conn) loseStalled(w *work) (losses []step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := &c.engine.config.Limits
	for i := len(c.blocked) - 1; i >= 0; i-- {
		h := c.blocked[i]
		switch {
		case h.stalledSince.IsZero() || h.delivered-h.stalledFrom >= uint64(max(1, c.portion())):
			h.stalledSince, h.stalledFrom = w.now, h.delivered
		case w.now.Sub(h.stalledSince) <= most.BodyTimeout:
		case c.down():
			c.abandon(w, h)
			h.call.left = true
			c.drop(w, h, cancelled)
		default:
			losses = append(losses, c.stalled(w, h))
		}
	}
	return losses
}

// stalled ends a stream of an endpoint that does not take the request's body.
// After a whole answer the rest of it is not wanted. The caller holds mu.
func (c *conn) stalled(w *work, h *half) step {
	on := c.next(h)
	on.lost, on.loss.reason = true, upstream.UpstreamTimeout
	if h.remoteEnd {
		on.loss.code = noError
	}
	c.drop(w, h, cancelled)
	return on
}
