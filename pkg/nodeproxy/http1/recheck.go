package http1

import "github.com/weft-mesh/weft/pkg/nodeproxy/upstream"

// Recheck breaks off the exchanges and tunnels that are not allowed any more.
func (e *Engine) Recheck() {
	e.watch.walk(func(few []*conn) {
		for _, c := range few {
			c.post(doubted, nil)
		}
	})
}

// mayStill tells whether the conn may go on with what it does.
func (c *conn) mayStill() bool {
	if c.x == nil || c.x.endpoint == nil || c.holds(c.x) {
		return true
	}
	c.engine.config.Metrics.Refused(string(upstream.AccessDenied))
	return false
}

// holds tells whether a request at an endpoint is allowed by the Snapshot of now.
func (c *conn) holds(x *exchange) bool {
	proof := upstream.Proof{Request: true, By: x.decision.By}
	return c.engine.config.Current().Holds(c.at, c.client, x.endpoint, proof)
}
