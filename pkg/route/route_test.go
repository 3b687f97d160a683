package route_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

func endpoints(addresses ...string) (out []mesh.Endpoint) {
	for _, a := range addresses {
		out = append(out, mesh.Endpoint{Address: netip.MustParseAddrPort(a)})
	}
	return out
}

func name(s string) mesh.Name { return mesh.Name{Namespace: "shop", Name: s} }

func compileOne(p *mesh.Port) *route.Port {
	return route.Compile(&mesh.Mesh{Services: []*mesh.Service{{Name: name("orders"), Ports: []*mesh.Port{p}}}}).Ports()[0]
}

// shares writes a rule as "service=weight …".
func shares(r *route.Rule) (out []string) {
	for _, b := range r.Backends {
		out = append(out, fmt.Sprint(b.Cluster.Service.Name, "=", b.Weight))
	}
	return out
}

func TestRules(t *testing.T) {
	one, two := endpoints("10.0.0.1:80"), endpoints("10.0.0.2:80")
	backend := func(service string, weight int64, e []mesh.Endpoint) mesh.Backend {
		return mesh.Backend{Service: name(service), Weight: weight, Endpoints: e}
	}
	for _, test := range []struct {
		name   string
		routes []*mesh.Route
		want   []string
	}{
		{"no route: the Service itself", nil, []string{"orders=1"}},
		{"weights are reduced", []*mesh.Route{{Backends: []mesh.Backend{backend("v1", 90000, one), backend("v2", 10000, two)}}}, []string{"v1=9", "v2=1"}},
		{"weight 0 takes nothing", []*mesh.Route{{Backends: []mesh.Backend{backend("v1", 100, one), backend("v2", 0, two)}}}, []string{"v1=1"}},
		{"the share of an empty backend goes to the others", []*mesh.Route{{Backends: []mesh.Backend{backend("v1", 50, one), backend("v2", 50, nil)}}}, []string{"v1=1"}},
		{"all empty: shared all the same, to say so for each", []*mesh.Route{{Backends: []mesh.Backend{backend("v1", 50, nil), backend("v2", 50, nil)}}}, []string{"v1=1", "v2=1"}},
		{"an empty backend is not saved by one without weight", []*mesh.Route{{Backends: []mesh.Backend{backend("v1", 0, one), backend("v2", 50, nil)}}}, []string{"v2=1"}},
		{"no backend refuses", []*mesh.Route{{}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := compileOne(&mesh.Port{Number: 80, Routes: test.routes, Endpoints: one})
			if diff := cmp.Diff(test.want, shares(got.Rules[0])); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKeysNameTheShares(t *testing.T) {
	key := func(v1, v2 int64, e []mesh.Endpoint) string {
		return compileOne(&mesh.Port{Number: 80, Routes: []*mesh.Route{{Backends: []mesh.Backend{
			{Service: name("v1"), Weight: v1, Endpoints: e}, {Service: name("v2"), Weight: v2, Endpoints: e},
		}}}}).Rules[0].Key
	}
	one, two := endpoints("10.0.0.1:80"), endpoints("10.0.0.2:80", "10.0.0.3:80")
	if key(90, 10, one) != key(9, 1, two) {
		t.Error("the same shares over other endpoints have another key: a rotation would begin anew at each deployment")
	}
	if key(90, 10, one) == key(50, 50, one) {
		t.Error("other shares have the same key")
	}
}

func TestAnAddressBelongsToItsYoungestPod(t *testing.T) {
	ip := netip.MustParseAddr("10.0.0.1")
	pod := func(n string, age int64) *mesh.Workload {
		return &mesh.Workload{Name: name(n), IPs: []netip.Addr{ip}, Created: time.Unix(age, 0)}
	}
	old, young, twin, newest := pod("old", 1), pod("young", 2), pod("twin", 2), pod("newest", 3)
	for _, test := range []struct {
		pods []*mesh.Workload
		want *mesh.Workload
	}{
		{nil, nil},
		{[]*mesh.Workload{old}, old},
		{[]*mesh.Workload{old, young}, young},
		{[]*mesh.Workload{young, old}, young},
		{[]*mesh.Workload{young, twin}, nil},
		{[]*mesh.Workload{young, twin, old}, nil},
		{[]*mesh.Workload{young, twin, newest}, newest},
		{[]*mesh.Workload{newest, twin, young}, newest},
	} {
		table := route.Compile(&mesh.Mesh{Workloads: test.pods})
		if got := table.Workload(netip.MustParseAddr("::ffff:10.0.0.1")); got != test.want {
			t.Errorf("%v: %v; want %v", test.pods, got, test.want)
		}
	}
}

func TestPortsAreSortedByListeningAddress(t *testing.T) {
	p := func(listen string, transport mesh.Transport) *mesh.Port {
		return &mesh.Port{Listen: netip.MustParseAddrPort(listen), Transport: transport}
	}
	table := route.Compile(&mesh.Mesh{Services: []*mesh.Service{
		{Name: name("b"), Ports: []*mesh.Port{p("[::]:10003", mesh.TCP), p("[::]:10001", mesh.UDP)}},
		{Name: name("a"), Ports: []*mesh.Port{p("[::]:10001", mesh.TCP)}},
	}})
	var got []string
	for _, port := range table.Ports() {
		got = append(got, fmt.Sprint(port.Listen, port.Transport))
	}
	if diff := cmp.Diff([]string{"[::]:10001 TCP", "[::]:10001 UDP", "[::]:10003 TCP"}, got); diff != "" {
		t.Error(diff)
	}
}
