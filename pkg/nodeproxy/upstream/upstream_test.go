package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

var listen = Key{Listen: netip.MustParseAddrPort("127.0.0.1:10000")}

// share is one backend of a fixture: a Service with a weight and endpoints.
type share struct {
	service   string
	weight    int64
	endpoints []string
}

// table builds a Table of one port at listen, split among shares.
func table(affinity bool, shares ...share) *route.Table {
	p := &mesh.Port{Number: 80, Listen: listen.Listen, Affinity: affinity, Routes: []*mesh.Route{{}}}
	for _, s := range shares {
		b := mesh.Backend{Service: mesh.Name{Namespace: "shop", Name: s.service}, Weight: s.weight}
		for _, e := range s.endpoints {
			b.Endpoints = append(b.Endpoints, mesh.Endpoint{Address: netip.MustParseAddrPort(e)})
		}
		p.Routes[0].Backends = append(p.Routes[0].Backends, b)
	}
	return route.Compile(&mesh.Mesh{Services: []*mesh.Service{{Name: mesh.Name{Namespace: "shop", Name: "orders"}, Ports: []*mesh.Port{p}}}})
}

func bind(s *Set, t *route.Table) *Route {
	snapshot, _ := s.Bind(t)
	return snapshot.Route(listen)
}

func addresses(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1))
	}
	return out
}

func TestRotationIsExactInAnyWindow(t *testing.T) {
	for _, weights := range [][]int64{{9, 1}, {1, 1}, {5, 3, 2}, {97, 2, 1}, {1}, {7, 7, 7}} {
		var shares []share
		for i, w := range weights {
			shares = append(shares, share{fmt.Sprint("v", i), w, addresses(1)})
		}
		r := bind(&Set{}, table(false, shares...))
		sum := int64(0)
		for _, b := range r.Port.Rules[0].Backends {
			sum += b.Weight
		}
		var calls []string
		for range 5 * sum {
			calls = append(calls, r.choose(Requests, nil, nil).Service.Name)
		}
		for start := range calls[:4*sum] {
			counts := map[string]int64{}
			for _, c := range calls[start : start+int(sum)] {
				counts[c]++
			}
			for _, b := range r.Port.Rules[0].Backends {
				if counts[b.Cluster.Service.Name] != b.Weight {
					t.Fatalf("weights %v: window at %d gives %v", weights, start, counts)
				}
			}
		}
	}
}

func TestRotationIsExactUnderConcurrency(t *testing.T) {
	const callers, rounds = 8, 1000
	r := bind(&Set{}, table(false, share{"v1", 90, addresses(1)}, share{"v2", 10, addresses(1)}))
	var wg sync.WaitGroup
	got := make([]map[string]int, callers)
	for i := range callers {
		got[i] = map[string]int{}
		wg.Go(func() {
			for range 10 * rounds {
				got[i][r.choose(Requests, nil, nil).Service.Name]++
			}
		})
	}
	wg.Wait()
	sum := map[string]int{}
	for _, counts := range got {
		for service, n := range counts {
			sum[service] += n
		}
	}
	if sum["v1"] != 9*callers*rounds || sum["v2"] != callers*rounds {
		t.Errorf("%d calls were shared out as %v", 10*callers*rounds, sum)
	}
}

func TestRotationSurvivesASwapOfTables(t *testing.T) {
	set := &Set{}
	counts := map[string]int{}
	for i := range 100 {
		// Endpoints come and go; the weights stay.
		r := bind(set, table(false, share{"v1", 9, addresses(1 + i%3)}, share{"v2", 1, addresses(1)}))
		counts[r.choose(Requests, nil, nil).Service.Name]++
	}
	if counts["v2"] != 10 {
		t.Errorf("a table per call shares 100 calls out as %v", counts)
	}
}

func TestConnectionsDoNotDisturbTheShareOfRequests(t *testing.T) {
	r := bind(&Set{}, table(false, share{"v1", 9, addresses(1)}, share{"v2", 1, addresses(1)}))
	counts := map[string]int{}
	for range 100 {
		counts[r.choose(Requests, nil, nil).Service.Name]++
		r.choose(Connections, nil, nil)
	}
	if counts["v2"] != 10 {
		t.Errorf("100 requests were shared out as %v", counts)
	}
}

func TestBindForgetsWhatNoTableNames(t *testing.T) {
	set := &Set{}
	before, _ := set.Bind(table(false, share{"v1", 1, addresses(3)}))
	_, gone := set.Bind(table(false, share{"v1", 1, addresses(1)}))
	if len(gone) != 2 || !gone[0].Gone() {
		t.Errorf("%d endpoints are gone; want 2", len(gone))
	}
	if len(set.endpoints) != 1 || len(set.rotations) != 1 {
		t.Errorf("%d endpoints and %d rotations are kept; want one each", len(set.endpoints), len(set.rotations))
	}
	if n := len(before.Route(listen).rules[0].clusters[0].endpoints); n != 3 {
		t.Errorf("the Snapshot before has %d endpoints now; want 3", n)
	}
	kept := bind(set, table(false, share{"v1", 1, addresses(2)})).rules[0].clusters[0].endpoints[0]
	if kept != before.Route(listen).rules[0].clusters[0].endpoints[0] {
		t.Error("an endpoint in every Table lost its state")
	}
}

func TestLessLoadedOfTwoIsChosen(t *testing.T) {
	cluster := bind(&Set{}, table(false, share{"v1", 1, addresses(2)})).choose(Connections, nil, nil)
	for range 100 {
		try := cluster.TryConnection(netip.Addr{})
		try.Next()
	}
	one, other := cluster.endpoints[0].Load(), cluster.endpoints[1].Load()
	if one != 50 || other != 50 {
		t.Errorf("100 calls in flight lie as %d and %d", one, other)
	}
}

func TestLoadIsEvenOverManyEndpoints(t *testing.T) {
	cluster := bind(&Set{}, table(false, share{"v1", 1, addresses(20)})).choose(Connections, nil, nil)
	for range 2000 {
		try := cluster.TryConnection(netip.Addr{})
		try.Next()
	}
	for _, e := range cluster.endpoints {
		if e.Load() < 95 || e.Load() > 105 {
			t.Errorf("%s has %d of 2000 calls; want about 100", e.Address, e.Load())
		}
	}
}

// A call is tried at each endpoint once: at eight where they refuse it quickly, as
// most do at once when a Service is scaled down; at three where that takes time.
func TestTryMeetsEachEndpointOnce(t *testing.T) {
	for takes, most := range map[time.Duration]int{0: 8, 300 * time.Millisecond: 4, 5 * time.Second: 3} {
		for _, n := range []int{1, 2, 3, 10} {
			for _, affinity := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					cluster := bind(&Set{}, table(affinity, share{"v1", 1, addresses(n)})).choose(Requests, nil, nil)
					try, met := cluster.Try(netip.MustParseAddr("10.1.1.1")), map[*Endpoint]bool{}
					for e := try.Next(); e != nil; e = try.Next() {
						met[e] = true
						<-time.After(takes)
					}
					if want := min(n, most); len(met) != want {
						t.Errorf("%d endpoints that take %v each, affinity %v: %d were tried; want %d", n, takes, affinity, len(met), want)
					}
				})
			}
		}
	}
}

func TestRestingEndpointsComeLast(t *testing.T) {
	for _, affinity := range []bool{false, true} {
		cluster := bind(&Set{}, table(affinity, share{"v1", 1, addresses(10)})).choose(Requests, nil, nil)
		for _, e := range cluster.endpoints[1:] {
			e.Failed()
		}
		for i := range 100 {
			try := cluster.Try(netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}))
			if e := try.Next(); e != cluster.endpoints[0] {
				t.Fatalf("affinity %v: %s was chosen, which just refused a connection", affinity, e.Address)
			}
		}
	}
}

func TestAffinityHoldsAndMovesOnlyWhatItMust(t *testing.T) {
	set := &Set{}
	chosen := func(n int) (out []netip.AddrPort) {
		cluster := bind(set, table(true, share{"v1", 1, addresses(n)})).choose(Requests, nil, nil)
		random := rand.New(rand.NewPCG(1, 2))
		for range 1000 {
			v := random.Uint32()
			try := cluster.Try(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}))
			out = append(out, try.Next().Address)
		}
		return out
	}
	ten, again, nine := chosen(10), chosen(10), chosen(9)
	left := netip.MustParseAddrPort(addresses(10)[9])
	per := map[netip.AddrPort]int{}
	for i := range ten {
		per[ten[i]]++
		if ten[i] != again[i] {
			t.Fatal("a client moved without a reason")
		}
		if ten[i] != nine[i] && ten[i] != left {
			t.Fatalf("a client of %s moved because %s left", ten[i], left)
		}
	}
	for e, n := range per {
		if n < 60 || n > 140 {
			t.Errorf("%s has %d of 1000 clients; want about 100", e, n)
		}
	}
}

func TestDialRemembersHowItWent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(endpointKey{address: netip.MustParseAddrPort(l.Addr().String())}, new(time.Time))
	c, err := Dialer{}.Dial(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = l.Close()
	_, err = Dialer{Timeout: time.Second}.Dial(context.Background(), e)
	refused, ok := err.(*DialError)
	if !ok || refused.Reason() != ConnectFailed || !e.resting() {
		t.Errorf("a closed port gives %v, resting %v", err, e.resting())
	}
	e.connected()
	if e.resting() {
		t.Error("an endpoint that answers again still rests")
	}
	_, err = Dialer{Timeout: time.Nanosecond}.Dial(context.Background(), e)
	if late, ok := err.(*DialError); !ok || late.Reason() != UpstreamTimeout {
		t.Errorf("too late gives %v", err)
	}
}

func BenchmarkBind(b *testing.B) {
	for _, services := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("%d services, 10 endpoints each", services), func(b *testing.B) {
			m := &mesh.Mesh{}
			for i := range services {
				p := &mesh.Port{Number: 80, Listen: netip.AddrPortFrom(listen.Listen.Addr(), uint16(10000+i))}
				for j := range 10 {
					p.Endpoints = append(p.Endpoints, mesh.Endpoint{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(j)}), 80)})
				}
				m.Services = append(m.Services, &mesh.Service{Name: mesh.Name{Namespace: "shop", Name: fmt.Sprint("s", i)}, Ports: []*mesh.Port{p}})
			}
			t, set := route.Compile(m), &Set{}
			b.ReportAllocs()
			for b.Loop() {
				set.Bind(t)
			}
		})
	}
}

func BenchmarkPick(b *testing.B) {
	r := bind(&Set{}, table(false, share{"v1", 9, addresses(100)}, share{"v2", 1, addresses(10)}))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			try := r.choose(Requests, nil, nil).Try(netip.Addr{})
			e := try.Next()
			try.Answered(time.Now())
			e.Release()
		}
	})
}
