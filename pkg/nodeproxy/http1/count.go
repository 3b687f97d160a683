package http1

import (
	"sync"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// counters are the series of all requests, made once for each pair of caller
// and backend.
type counters struct {
	metrics *telemetry.Proxy
	all     sync.Map // telemetry.Call → *telemetry.Requests
}

func (k *counters) of(call telemetry.Call) *telemetry.Requests {
	if found, ok := k.all.Load(call); ok {
		return found.(*telemetry.Requests)
	}
	found, _ := k.all.LoadOrStore(call, k.metrics.Requests(call, "http"))
	return found.(*telemetry.Requests)
}

// seriesKept is how many backends a connection remembers the series of: those
// of a split.
const seriesKept = 4

// series are those that a connection used last. What they depend on is the
// Snapshot, which knows the caller, and the cluster.
type series struct {
	snapshot *upstream.Snapshot
	clusters [seriesKept]*upstream.Cluster
	requests [seriesKept]*telemetry.Requests
	used     int
}

// of returns the series of an exchange, whose route is known.
func (s *series) of(c *conn, x *exchange) *telemetry.Requests {
	if s.snapshot != x.snapshot {
		*s = series{snapshot: x.snapshot}
	}
	for i := range min(s.used, seriesKept) {
		if s.clusters[i] == x.cluster {
			return s.requests[i]
		}
	}
	found := c.engine.counters.of(call(c, x))
	s.clusters[s.used%seriesKept], s.requests[s.used%seriesKept] = x.cluster, found
	s.used++
	return found
}

func call(c *conn, x *exchange) telemetry.Call {
	source, service := x.snapshot.Source(c.client), x.route.Port.Service
	call := telemetry.Call{
		SourceWorkload: source.Name, SourceNamespace: source.Namespace,
		Service: service.Name, Namespace: service.Namespace,
	}
	if x.cluster != nil {
		call.Backend = x.cluster.Service.Name
	}
	return call
}

// count tells the metrics what became of a request. reason is empty for one
// that was answered by its endpoint.
func (c *conn) count(x *exchange, status int, reason upstream.Reason) {
	metrics := c.engine.config.Metrics
	if metrics == nil {
		return
	}
	if reason != "" {
		metrics.Refused(string(reason))
	}
	if x.route != nil {
		c.series.of(c, x).Count(status, c.now-x.started)
	}
}
