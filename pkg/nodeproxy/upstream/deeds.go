package upstream

import (
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Count counts a deed of the policies.
func (p *Policies) Count(d telemetry.Deed) {
	if p != nil {
		p.deeds[d].Add(1)
	}
}

// deeds are what the policies may do as they are configured.
func deeds(spec *mesh.Policy) (out []telemetry.Deed) {
	for _, one := range []struct {
		asked bool
		deeds []telemetry.Deed
	}{
		{spec.RetryAttempts > 1, []telemetry.Deed{telemetry.Retried, telemetry.RetryOverBudget}},
		{ejects(spec), []telemetry.Deed{telemetry.Ejected}},
		{spec.Failover != "", []telemetry.Deed{telemetry.FailedOver}},
		{spec.Mirror != "", []telemetry.Deed{telemetry.Mirrored, telemetry.MirrorDropped}},
		{spec.FaultDelay > 0, []telemetry.Deed{telemetry.Delayed}},
		{spec.FaultAbort > 0, []telemetry.Deed{telemetry.Aborted}},
		{spec.RatelimitAverage > 0, []telemetry.Deed{telemetry.ByRateLimit}},
		{spec.CircuitBreakerExpression != "", []telemetry.Deed{telemetry.ByCircuitBreaker}},
		{spec.MaxRequests > 0, []telemetry.Deed{telemetry.ByMaxRequests}},
		{spec.MaxPending > 0, []telemetry.Deed{telemetry.ByMaxPending}},
		{spec.MaxConnections > 0, []telemetry.Deed{telemetry.ByMaxConnections}},
		{spec.MaxBody > 0, []telemetry.Deed{telemetry.ByMaxBody}},
		{spec.MaxHeaders > 0, []telemetry.Deed{telemetry.ByMaxHeaders}},
	} {
		if one.asked {
			out = append(out, one.deeds...)
		}
	}
	return out
}

func ejects(spec *mesh.Policy) bool {
	return spec.OutlierConsecutive5xx > 0 || spec.OutlierConsecutiveGateway > 0 || spec.OutlierSuccessRate
}

// Policies tells what the policies of each port do and have done.
func (s *Snapshot) Policies(now time.Time) (out []telemetry.Policies) {
	for _, r := range s.routes {
		if r.Policies == nil || r.Port.Transport != mesh.TCP {
			continue // UDP has no policies
		}
		told := telemetry.Policies{
			Service: r.Port.Service.Name, Namespace: r.Port.Service.Namespace, Port: r.Port.Number, Counts: map[telemetry.Deed]uint64{},
		}
		for _, deed := range deeds(&r.Policies.Spec) {
			told.Counts[deed] = r.Policies.deeds[deed].Load()
		}
		if r.Policies.breaker != nil {
			told.Breaker = r.Policies.breaker.State(now).String()
		}
		if told.Ejects = r.Policies.outliers != nil; told.Ejects {
			told.EjectedNow = r.ejected(now)
		}
		out = append(out, told)
	}
	return out
}

// each yields the endpoints of a route; one that stands in several of its
// clusters comes several times.
func (r *Route) each(yield func(*Endpoint) bool) {
	for i := range r.rules {
		for _, c := range r.rules[i].clusters {
			for _, e := range c.endpoints {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// ejected counts the endpoints of a route that are ejected.
func (r *Route) ejected(now time.Time) int {
	met := map[*Endpoint]bool{}
	for e := range r.each {
		met[e] = e.health.Ejected(now)
	}
	n := 0
	for _, out := range met {
		if out {
			n++
		}
	}
	return n
}
