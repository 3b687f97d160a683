package http2

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// count tells the metrics what became of a request. The caller holds mu.
func (c *conn) count(h *half, now time.Time) {
	x, metrics := &h.call, c.engine.config.Metrics
	if x.reason != "" {
		metrics.Refused(string(x.reason))
	}
	if x.route == nil {
		return
	}
	protocol, code := "http2", x.status
	switch {
	case x.grpc:
		protocol = "grpc"
	case c.bridge != nil:
		protocol = "http"
	}
	if x.reason == upstream.ClientGone {
		code = upstream.StatusClientGone
	}
	subject := upstream.Subject{
		Snapshot: x.snapshot, Route: x.route, Cluster: x.cluster, Endpoint: x.try.Last(), Protocol: protocol,
	}
	first := x.try.FirstByte()
	outcome := telemetry.Outcome{
		Code: code, GRPC: telemetry.GRPC(x.grpcStatus), Reason: string(x.reason),
		// Whoever ends it may have looked at the clock just before the answer came.
		Took: max(now.Sub(x.started), first), First: first, Received: uint64(h.got), Sent: h.delivered,
	}
	c.client.counter.Count(metrics, c.client.address, &subject, &outcome)
	if x.note != nil {
		c.engine.config.Events.Pass(subject.Event(c.client.address, x.note, &x.try, &outcome))
	}
}
