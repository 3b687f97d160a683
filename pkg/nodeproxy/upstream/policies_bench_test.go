package upstream

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/policy"
)

// BenchmarkPolicies is what policies cost a request, from its begin over the
// choice of an endpoint to its end.
func BenchmarkPolicies(b *testing.B) {
	each := map[string]func(*mesh.Policy){
		"timeouts": func(p *mesh.Policy) { p.Timeout, p.PerTryTimeout = time.Minute, time.Minute },
		"retries":  func(p *mesh.Policy) { p.RetryAttempts = 3 },
		"ejection": func(p *mesh.Policy) { p.OutlierConsecutive5xx = 5 },
		"breaker": func(p *mesh.Policy) {
			p.CircuitBreakerExpression = "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50.0) > 1000"
		},
		"rate limit":  func(p *mesh.Policy) { p.RatelimitAverage = 1_000_000_000 },
		"caps":        func(p *mesh.Policy) { p.MaxRequests = 1000 },
		"round robin": func(p *mesh.Policy) { p.LoadBalancer = "round-robin" },
		"ring hash":   func(p *mesh.Policy) { p.LoadBalancer, p.LoadBalancerBy = "ring-hash", "header:x-user" },
	}
	b.Run("none", func(b *testing.B) {
		c := balanced(10, func(*mesh.Policy) {})
		c.policies = nil
		benchmarkCalls(b, c)
	})
	for name, edit := range each {
		b.Run(name, func(b *testing.B) { benchmarkCalls(b, balanced(10, edit)) })
	}
	b.Run("all", func(b *testing.B) {
		benchmarkCalls(b, balanced(10, func(p *mesh.Policy) {
			for _, edit := range each {
				edit(p)
			}
		}))
	})
}

func benchmarkCalls(b *testing.B, c *Cluster) {
	client, fields := netip.MustParseAddr("10.1.1.1"), fields{"x-user": "somebody"}
	answered := policy.Outcome{Kind: policy.Answered, Status: 200, GRPC: -1}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		var call Call
		if c.policies != nil {
			call, _ = c.policies.Begin(now, Request{Client: client, Idempotent: true, Fields: fields})
		}
		t := c.Try(client)
		if call.Active() {
			call.Steer(&t, fields)
		}
		e := t.Next()
		if call.Active() {
			call.Try(now)
		}
		t.Answered(time.Now())
		if call.Active() {
			t.Report(now, answered)
			call.Again(now, answered)
		}
		e.Release()
		call.End(now, 200)
	}
}
