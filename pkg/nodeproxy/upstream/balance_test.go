package upstream

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// balanced is a cluster of so many endpoints under a policy.
func balanced(n int, edit func(*mesh.Policy)) *Cluster {
	spec := mesh.DefaultPolicy()
	edit(&spec)
	c := &Cluster{policies: newPolicies(&spec, nil)}
	for i := range n {
		c.endpoints = append(c.endpoints, newEndpoint(endpointKey{address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)}, new(time.Time)))
	}
	return c
}

// met counts what each endpoint gets of so many calls.
func met(c *Cluster, calls int, steer func(*Try, int)) map[*Endpoint]int {
	out := map[*Endpoint]int{}
	for i := range calls {
		t := c.Try(netip.MustParseAddr("10.1.1.1"))
		if steer != nil {
			steer(&t, i)
		}
		e := t.Next()
		out[e]++
		t.Answered(time.Now())
		e.Release()
	}
	return out
}

func TestRoundRobinIsEven(t *testing.T) {
	c := balanced(4, func(p *mesh.Policy) { p.LoadBalancer = "round-robin" })
	for e, n := range met(c, 400, nil) {
		if n != 100 {
			t.Errorf("%v got %d calls of 400; want 100", e.Address, n)
		}
	}
	c.endpoints[1].Failed()
	if n := met(c, 400, nil)[c.endpoints[1]]; n != 0 {
		t.Errorf("an endpoint that rests got %d calls", n)
	}
}

func TestRandomAndLeastRequestReachAll(t *testing.T) {
	for _, name := range []string{"random", "least-request"} {
		c := balanced(4, func(p *mesh.Policy) { p.LoadBalancer = name })
		for e, n := range met(c, 4000, nil) {
			if n < 800 || n > 1200 {
				t.Errorf("%s: %v got %d calls of 4000", name, e.Address, n)
			}
		}
	}
	c := balanced(2, func(p *mesh.Policy) { p.LoadBalancer = "least-request" })
	c.endpoints[0].load.Add(10)
	c.endpoints[1].latency.answered(1, int64(time.Second)) // which matters to ewma only
	if n := met(c, 100, nil)[c.endpoints[0]]; n > 0 {
		t.Errorf("the busy endpoint got %d calls", n)
	}
}

// fields are the header of a request.
type fields map[string]string

func (f fields) Header(name string, i int) ([]byte, bool) {
	value, ok := f[name]
	return []byte(value), ok && i == 0
}

func TestRingHashAndStickyHeader(t *testing.T) {
	for what, edit := range map[string]func(*mesh.Policy){
		"header": func(p *mesh.Policy) { p.LoadBalancer, p.LoadBalancerBy = "ring-hash", "header:x-user" },
		"cookie": func(p *mesh.Policy) { p.LoadBalancer, p.LoadBalancerBy = "ring-hash", "cookie:user" },
		"sticky": func(p *mesh.Policy) { p.StickyHeader = "x-user" },
	} {
		c := balanced(10, edit)
		call := Call{policies: c.policies}
		var chosen [200]*Endpoint
		place := func(i int) *Endpoint {
			t := c.Try(netip.MustParseAddr("10.1.1.1"))
			call.Steer(&t, fields{"x-user": strconv.Itoa(i), "cookie": fmt.Sprintf("a=b; user=%d", i)})
			e := t.Next()
			e.Release()
			return e
		}
		spread := map[*Endpoint]bool{}
		for i := range chosen {
			chosen[i] = place(i)
			spread[chosen[i]] = true
			if place(i) != chosen[i] {
				t.Fatalf("%s: one key leads to two endpoints", what)
			}
		}
		if len(spread) != 10 {
			t.Errorf("%s: 200 keys lead to %d of 10 endpoints", what, len(spread))
		}
		gone := c.endpoints[0]
		c.endpoints = c.endpoints[1:]
		for i := range chosen {
			if chosen[i] != gone && place(i) != chosen[i] {
				t.Errorf("%s: an endpoint that left moved the key of another", what)
			}
		}
	}
}

func TestStickyCookie(t *testing.T) {
	c := balanced(5, func(p *mesh.Policy) { p.StickyCookie = "pin" })
	call := Call{policies: c.policies}
	first := c.Try(netip.Addr{})
	call.Steer(&first, fields{})
	e := first.Next()
	set := call.Cookie(&first)
	pair, _, _ := strings.Cut(set, ";")
	// Another process: what it knows of the endpoints is new.
	c = balanced(5, func(p *mesh.Policy) { p.StickyCookie = "pin" })
	call = Call{policies: c.policies}
	for range 20 {
		again := c.Try(netip.Addr{})
		call.Steer(&again, fields{"cookie": "a=b; " + pair})
		if got := again.Next(); got.Address != e.Address || call.Cookie(&again) != "" {
			t.Fatalf("%q leads to %v, and sets %q; want %v", pair, got.Address, call.Cookie(&again), e.Address)
		}
	}
	c.endpoints = c.endpoints[:0]
	c.endpoints = append(c.endpoints, newEndpoint(endpointKey{address: netip.MustParseAddrPort("10.9.9.9:80")}, new(time.Time)))
	moved := c.Try(netip.Addr{})
	call.Steer(&moved, fields{"cookie": pair})
	if moved.Next(); call.Cookie(&moved) == "" {
		t.Error("a client whose endpoint is gone gets no new cookie")
	}
}

func TestSlowStart(t *testing.T) {
	for _, name := range []string{"ewma", "least-request", "round-robin", "random"} {
		c := balanced(4, func(p *mesh.Policy) { p.LoadBalancer, p.SlowStart = name, time.Hour })
		fresh := c.endpoints[3]
		fresh.joined = int64(time.Since(*fresh.epoch))
		if n := met(c, 4000, nil)[fresh]; n > 400 {
			t.Errorf("%s: an endpoint that has just joined got %d of 4000 calls; want about a tenth of 1000", name, n)
		}
		fresh.joined -= int64(2 * time.Hour)
		if n := met(c, 4000, nil)[fresh]; n < 600 {
			t.Errorf("%s: an endpoint whose slow start is over got %d of 4000 calls; want about 1000", name, n)
		}
	}
}
