package http2

import "github.com/weft-mesh/weft/pkg/nodeproxy/upstream"

// holds tells whether a request at an endpoint is still allowed.
func (c *conn) holds(s *upstream.Snapshot, x *call) bool {
	from := c.client
	if x.from != nil {
		from = x.from
	}
	return s.Holds(from.at, from.address, x.endpoint, upstream.Proof{Request: true, By: x.by})
}

// Recheck ends the streams that are not allowed any more: with a refusal where
// no answer has begun, else by a reset.
func (e *Engine) Recheck(s *upstream.Snapshot) {
	e.each(func(c *conn, w *work) {
		for _, h := range c.halves {
			if x := &h.call; x.endpoint != nil && !c.holds(s, x) {
				c.revoke(w, h)
			}
		}
	})
}

// revoke ends one stream. The caller holds mu.
func (c *conn) revoke(w *work, h *half) {
	c.abandon(w, h)
	if h.call.status == 0 {
		c.refuse(w, h, refusal{reason: upstream.AccessDenied, what: "access was revoked"})
		return
	}
	h.call.reason = upstream.AccessDenied
	c.drop(w, h, cancelled)
}
