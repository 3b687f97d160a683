package http2

import (
	"sync"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// counters are the series of all requests, made once for each pair of caller
// and backend and each protocol.
type counters struct {
	metrics *telemetry.Proxy
	all     sync.Map // counted → *telemetry.Requests
}

// counted is what one series is for.
type counted struct {
	call     telemetry.Call
	protocol string
}

func (k *counters) of(key counted) *telemetry.Requests {
	if found, ok := k.all.Load(key); ok {
		return found.(*telemetry.Requests)
	}
	found, _ := k.all.LoadOrStore(key, k.metrics.Requests(key.call, key.protocol))
	return found.(*telemetry.Requests)
}

// seriesKept is how many series a connection remembers: those of the backends
// of a split, as gRPC or not.
const seriesKept = 4

// counter is the series that a client's connection used last. What they depend
// on is the Snapshot, which knows the caller, the cluster and the protocol.
type counter struct {
	snapshot *upstream.Snapshot
	series   [seriesKept]series
	next     int
}

type series struct {
	cluster  *upstream.Cluster
	grpc     bool
	requests *telemetry.Requests
}

// count tells the metrics what became of a request. The caller holds c's mu.
func (k *counter) count(c *conn, x *call, now time.Time) {
	metrics := c.engine.config.Metrics
	if metrics == nil {
		return
	}
	if x.reason != "" {
		metrics.Refused(string(x.reason))
	}
	if x.route == nil {
		return
	}
	code := x.status
	if x.reason == upstream.ClientGone {
		code = upstream.StatusClientGone
	}
	k.of(c, x).Count(code, now.Sub(x.started))
}

func (k *counter) of(c *conn, x *call) *telemetry.Requests {
	if k.snapshot != x.snapshot {
		*k = counter{snapshot: x.snapshot}
	}
	for i := range k.series {
		if s := &k.series[i]; s.requests != nil && s.cluster == x.cluster && s.grpc == x.grpc {
			return s.requests
		}
	}
	protocol := "http2"
	switch {
	case x.grpc:
		protocol = "grpc"
	case c.bridge != nil:
		protocol = "http"
	}
	s := &k.series[k.next%seriesKept]
	*s = series{cluster: x.cluster, grpc: x.grpc, requests: c.engine.counters.of(counted{c.label(x), protocol})}
	k.next++
	return s.requests
}

func (c *conn) label(x *call) telemetry.Call {
	source, service := x.snapshot.Source(c.client.address), x.route.Port.Service
	call := telemetry.Call{
		SourceWorkload: source.Name, SourceNamespace: source.Namespace,
		Service: service.Name, Namespace: service.Namespace,
	}
	if x.cluster != nil {
		call.Backend = x.cluster.Service.Name
	}
	return call
}
