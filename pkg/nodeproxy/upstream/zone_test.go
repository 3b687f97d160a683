package upstream

import (
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// zoned is a cluster of so many endpoints, of which the first are near.
func zoned(n, near int, edit func(*mesh.Policy)) *Cluster {
	c := balanced(n, edit)
	hints := make([]mesh.Endpoint, n)
	for i := range near {
		hints[i].Near = true
	}
	c.divide(hints)
	return c
}

// rest lets endpoints be passed over.
func rest(endpoints []*Endpoint) {
	for _, e := range endpoints {
		e.Failed()
	}
}

// A zone keeps its calls while enough of its endpoints can be used, and gives
// away what they could not take.
func TestCallsStayInTheirZone(t *testing.T) {
	const calls = 4000
	for _, balancer := range []string{"ewma", "least-request", "round-robin", "random"} {
		for _, test := range []struct {
			name             string
			near, nearRest   int // of ten endpoints, so many are near, and so many of these rest
			farRest          int
			nearWant, others int // how many of 100 calls go where
		}{
			{"all can be used", 4, 0, 0, 100, 0},
			{"enough can be used", 4, 1, 0, 100, 0},
			{"half can be used", 4, 2, 0, 70, 30},
			{"one of four can be used", 4, 3, 0, 35, 65},
			{"none can be used", 4, 4, 0, 0, 100},
			{"nobody else can be used", 4, 3, 6, 100, 0},
			{"no hints", 0, 0, 0, 0, 100},
			{"all are near", 10, 0, 0, 100, 0},
		} {
			t.Run(balancer+" "+test.name, func(t *testing.T) {
				c := zoned(10, test.near, func(p *mesh.Policy) { p.LoadBalancer = balancer })
				rest(c.endpoints[:test.nearRest])
				rest(c.endpoints[10-test.farRest:])
				got := met(c, calls, nil)
				near := 0
				for _, e := range c.endpoints[:test.near] {
					near += got[e]
				}
				for _, e := range c.endpoints {
					if e.resting() && got[e] > 0 {
						t.Errorf("%v rests and got %d calls", e.Address, got[e])
					}
				}
				if share := 100 * float64(near) / calls; share < float64(test.nearWant)-4 || share > float64(test.nearWant)+4 {
					t.Errorf("%.1f %% of the calls stayed in the zone; want %d", share, test.nearWant)
				}
			})
		}
	}
}

// Another try leaves the zone once nothing in it is left to try.
func TestTriesLeaveTheZoneLast(t *testing.T) {
	c := zoned(6, 2, func(*mesh.Policy) {})
	for range 50 {
		try := c.Try(netip.MustParseAddr("10.1.1.1"))
		first, second, third := try.Next(), try.Next(), try.Next()
		for _, e := range []*Endpoint{first, second, third} {
			e.Release()
		}
		if first == second || first == third || second == third {
			t.Fatal("an endpoint was tried twice")
		}
		isNear := func(e *Endpoint) bool { return e == c.endpoints[0] || e == c.endpoints[1] }
		if !isNear(first) || !isNear(second) || isNear(third) {
			t.Fatalf("tried %v, %v, %v; want both of the zone, then another", first.Address, second.Address, third.Address)
		}
	}
}

// What keeps a caller on an endpoint goes before zones: it holds from everywhere.
func TestKeysGoBeforeZones(t *testing.T) {
	near := zoned(6, 3, func(p *mesh.Policy) { p.LoadBalancer, p.LoadBalancerBy = "ring-hash", "header:x-user" })
	other := balanced(6, func(p *mesh.Policy) { p.LoadBalancer, p.LoadBalancerBy = "ring-hash", "header:x-user" })
	met := map[netip.AddrPort]bool{}
	for i := range 100 {
		var at [2]netip.AddrPort
		for j, c := range []*Cluster{near, other} {
			try, call := c.Try(netip.Addr{}), Call{policies: c.policies}
			call.Steer(&try, fields{"x-user": string(rune('a' + i))})
			at[j] = try.Next().Address
		}
		if at[0] != at[1] {
			t.Fatalf("one key leads to %v and from another zone to %v", at[0], at[1])
		}
		met[at[0]] = true
	}
	if len(met) != 6 {
		t.Errorf("100 keys lead to %d of 6 endpoints", len(met))
	}
}
