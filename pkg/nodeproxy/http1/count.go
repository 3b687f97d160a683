package http1

import (
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// count tells the metrics what became of a request. reason is empty for one
// that was answered by its endpoint.
func (c *conn) count(x *exchange, status int, reason upstream.Reason) {
	x.end(c, status, reason)
	metrics := c.engine.config.Metrics
	if reason != "" {
		metrics.Refused(string(reason))
	}
	if x.route == nil {
		return
	}
	outcome := telemetry.Outcome{
		Code: status, Reason: string(reason), Took: c.now - x.started, First: x.try.FirstByte(), Received: x.body.Passed(),
	}
	if x.headDone {
		outcome.Sent = x.rest.Passed()
	}
	subject := upstream.Subject{
		Snapshot: x.snapshot, Route: x.route, Cluster: x.cluster, Endpoint: x.try.Last(), Protocol: "http",
	}
	c.counter.Count(metrics, c.client, &subject, &outcome)
	if x.note != nil {
		c.engine.config.Events.Pass(subject.Event(c.client, x.note, &x.try, &outcome))
	}
}
