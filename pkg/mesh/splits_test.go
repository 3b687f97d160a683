package mesh_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// route writes a port's route as "service=weight[endpoints] …".
func route(p *mesh.Port) (out []string) {
	if len(p.Routes) == 0 {
		return []string{"own"}
	}
	for _, b := range p.Routes[0].Backends {
		out = append(out, fmt.Sprint(b.Service.Name, "=", b.Weight/1000, len(b.Endpoints)))
	}
	return out
}

func reasons(problems []mesh.Problem) (out []string) {
	for _, p := range problems {
		out = append(out, p.Object.Name+" "+p.Reason)
	}
	return out
}

func TestSplits(t *testing.T) {
	whole := func() fixture {
		return newFixture().service("orders", "10.0.0.1", "10.0.0.2").service("orders-v1", "10.0.0.1").service("orders-v2", "10.0.0.2").service("empty")
	}
	for _, test := range []struct {
		name     string
		in       fixture
		want     []string
		problems []string
	}{
		{name: "none", in: whole(), want: []string{"own"}},
		{name: "two backends", in: whole().split("s", "orders", to("orders-v1", 90), to("orders-v2", 10)), want: []string{"orders-v1=90 1", "orders-v2=10 1"}},
		{name: "by full name", in: whole().split("s", "orders.shop.svc.cluster.local", to("orders-v1", 1)), want: []string{"orders-v1=1 1"}},
		{name: "by mesh name", in: whole().split("s", "orders.shop.mesh.", to("orders-v1", 1)), want: []string{"orders-v1=1 1"}},
		{name: "the root as a backend means its own endpoints", in: whole().split("s", "orders", to("orders", 1), to("orders-v2", 1)), want: []string{"orders=1 2", "orders-v2=1 1"}},
		{name: "a backend that is a root is not followed", in: whole().split("s", "orders", to("orders-v1", 1)).split("t", "orders-v1", to("orders-v2", 1)), want: []string{"orders-v1=1 1"}},
		{name: "foreign root", in: whole().split("s", "orders.other", to("orders-v1", 1)), want: []string{"own"}, problems: []string{"s RootForeign"}},
		{name: "unknown root", in: whole().split("s", "nothing", to("orders-v1", 1)), want: []string{"own"}, problems: []string{"s RootNotFound"}},
		{name: "unknown backend", in: whole().split("s", "orders", to("orders-v1", 1), to("gone", 9)), want: []string{"orders-v1=1 1"}, problems: []string{"s BackendNotFound"}},
		{name: "names nothing", in: whole().split("s", "orders", to("gone", 9)), want: []string{"own"}, problems: []string{"s BackendNotFound", "s SplitEmpty"}},
		{name: "no backends", in: whole().split("s", "orders"), want: []string{"own"}, problems: []string{"s SplitEmpty"}},
		{name: "a canary not yet made", in: whole().split("s", "orders", to("orders-v1", 0), to("gone", 100)), want: []string{"own"}, problems: []string{"s BackendNotFound", "s SplitEmpty"}},
		{name: "all weights zero", in: whole().split("s", "orders", to("orders-v1", 0), to("orders-v2", 0)), want: nil, problems: []string{"s AllWeightsZero"}},
		{name: "backend without endpoints", in: whole().split("s", "orders", to("orders-v1", 9), to("empty", 1)), want: []string{"empty=1 0", "orders-v1=9 1"}, problems: []string{"s BackendNoEndpoints"}},
		{name: "backend without endpoints and weight", in: whole().split("s", "orders", to("orders-v1", 9), to("empty", 0)), want: []string{"empty=0 0", "orders-v1=9 1"}},
		{name: "the oldest of two stands", in: whole().split("z", "orders", to("orders-v1", 1)).split("a", "orders", to("orders-v2", 1)), want: []string{"orders-v1=1 1"}, problems: []string{"a SplitConflict"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := mesh.Build(test.in.Inputs)
			if diff := cmp.Diff(test.want, route(port(t, m, "orders"))); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.problems, reasons(m.Problems)); diff != "" {
				t.Errorf("problems: %s", diff)
			}
		})
	}
}

func TestABackendWithoutThePortIsLeftOutOnThatPort(t *testing.T) {
	f := newFixture().service("orders", "10.0.0.1").service("orders-v2", "10.0.0.2")
	s := f.Services[shop("orders-v2")]
	s.Ports = []mesh.ServicePort{{Name: "http", Number: 81}}
	f.Services[shop("orders-v2")] = s
	f.split("s", "orders", to("orders", 1), to("orders-v2", 1))
	m := mesh.Build(f.Inputs)
	if diff := cmp.Diff([]string{"orders=1 1"}, route(port(t, m, "orders"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"s BackendPortMissing"}, reasons(m.Problems)); diff != "" {
		t.Error(diff)
	}
}

func TestASplitWithMatchesLeavesTheRootToItself(t *testing.T) {
	f := newFixture().service("orders", "10.0.0.1").split("s", "orders", to("orders", 1))
	split := f.Splits[shop("s")]
	split.Matches = []mesh.Ref{{Kind: "HTTPRouteGroup", Name: "beta"}}
	f.Splits[shop("s")] = split
	m := mesh.Build(f.Inputs)
	if got := route(port(t, m, "orders")); !cmp.Equal(got, []string{"own"}) {
		t.Errorf("route %v; want the root's own endpoints", got)
	}
	if diff := cmp.Diff([]string{"s RuleNotFound", "s SplitEmpty"}, reasons(m.Problems)); diff != "" {
		t.Error(diff)
	}
}

// Matches that count on no port of the root are a problem; that they say nothing
// on a further port of TCP is none.
func TestMatchesAreToldToSayNothingWhereNoPortIsHTTP(t *testing.T) {
	for _, test := range []struct {
		ports []string
		want  []string
	}{
		{[]string{"tcp"}, []string{"s MatchesNotApplied"}},
		{[]string{"tcp", "tcp-more"}, []string{"s MatchesNotApplied"}},
		{[]string{"http"}, nil},
		{[]string{"tcp", "http"}, nil},
		{[]string{"tcp", "detected"}, nil},
	} {
		f := newFixture().service("orders", "10.0.0.1").split("s", "orders", to("orders", 1))
		service, frontend, slice := f.Services[shop("orders")], f.Frontends[shop("orders")], f.Slices[shop("orders-abc")]
		service.Ports, frontend.Ports, slice.Ports = nil, nil, nil
		for i, name := range test.ports {
			number := uint16(80 + i)
			service.Ports = append(service.Ports, mesh.ServicePort{Name: name, Number: number})
			frontend.Ports = append(frontend.Ports, mesh.FrontendPort{Number: number, Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), 10000+number)})
			slice.Ports = append(slice.Ports, mesh.SlicePort{Name: name, Number: 8000 + number})
		}
		f.Services[shop("orders")], f.Frontends[shop("orders")], f.Slices[shop("orders-abc")] = service, frontend, slice
		split := f.Splits[shop("s")]
		split.Matches = []mesh.Ref{{Kind: "HTTPRouteGroup", Name: "beta"}}
		f.Splits[shop("s")] = split
		f.RouteGroups[shop("beta")] = mesh.RouteGroupInput{Ref: mesh.Ref{Kind: "HTTPRouteGroup", Namespace: "shop", Name: "beta"}, Matches: []mesh.RequestMatch{{Name: "a", Path: "/a"}}}
		if diff := cmp.Diff(test.want, reasons(mesh.Build(f.Inputs).Problems)); diff != "" {
			t.Errorf("%v: %s", test.ports, diff)
		}
	}
}

func TestTheSameInputsGiveAnEqualMeshThatLaterEditsDoNotReach(t *testing.T) {
	build := func() fixture {
		return newFixture().service("orders", "10.0.0.1").service("v2", "10.0.0.2").split("s", "orders", to("v2", 1), to("gone", 1))
	}
	f := build()
	held := mesh.Build(f.Inputs)
	again := mesh.Build(f.Inputs)
	if diff := cmp.Diff(held, again, compare); diff != "" {
		t.Errorf("the same inputs twice: %s", diff)
	}
	f.Frontends[shop("orders")].Addresses[0] = f.Frontends[shop("orders")].Addresses[0].Next()
	f.service("orders", "10.0.0.7")
	delete(f.Splits, shop("s"))
	if mesh.Build(f.Inputs); !cmp.Equal(held, mesh.Build(build().Inputs), compare) {
		t.Errorf("an edit of the inputs reached a published mesh: %s", cmp.Diff(mesh.Build(build().Inputs), held, compare))
	}
}
