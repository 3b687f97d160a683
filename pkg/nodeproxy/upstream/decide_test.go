package upstream

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// asked is a request in a test.
type asked struct {
	method, path string
	headers      map[string][]string
}

func (a asked) Method() []byte { return []byte(a.method) }

func (a asked) Path() []byte { return []byte(a.path) }

func (a asked) Header(name string, i int) ([]byte, bool) {
	if i >= len(a.headers[name]) {
		return nil, false
	}
	return []byte(a.headers[name][i]), true
}

// world is a Service orders with one endpoint for each account.
func world(mode mesh.AccessMode, grants []*mesh.Grant, accounts ...string) *mesh.Mesh {
	pod := func(ip, account string) *mesh.Workload {
		return &mesh.Workload{Name: mesh.Name{Namespace: "shop", Name: account}, IPs: []netip.Addr{netip.MustParseAddr(ip)}, ServiceAccount: account, Access: mode}
	}
	m := &mesh.Mesh{Workloads: []*mesh.Workload{pod("10.1.0.1", "web"), pod("10.1.0.2", "other")}, Access: mesh.Access{Grants: grants}}
	p := &mesh.Port{Number: 80, Listen: listen.Listen}
	for i, account := range accounts {
		ip := netip.AddrFrom4([4]byte{10, 2, 0, byte(i)})
		m.Workloads = append(m.Workloads, pod(ip.String(), account))
		p.Endpoints = append(p.Endpoints, mesh.Endpoint{Address: netip.AddrPortFrom(ip, 8080)})
	}
	m.Services = []*mesh.Service{{Name: mesh.Name{Namespace: "shop", Name: "orders"}, Access: mode, Ports: []*mesh.Port{p}}}
	return m
}

func account(name string) mesh.Principal { return mesh.Account("shop", name) }

func decide(m *mesh.Mesh, client string, r route.Request) Decision {
	snapshot, _ := new(Set).Bind(route.Compile(m))
	caller := Caller{Address: netip.MustParseAddr(client)}
	return caller.Decide(snapshot, snapshot.Route(listen), r)
}

func TestAccessIsDecidedAtTheEndpointsAccount(t *testing.T) {
	reads := []*mesh.RequestMatch{{Name: "read", Path: "/items/.*", Methods: []string{"GET"}}}
	web := &mesh.Grant{Destination: account("orders"), Sources: []mesh.Principal{account("web")}, TCP: mesh.Ports{All: true}, Requests: true, Matches: reads}
	for _, test := range []struct {
		name     string
		mode     mesh.AccessMode
		accounts []string
		client   string
		request  route.Request
		want     Reason
	}{
		{"allowed", mesh.AccessEnforce, []string{"orders"}, "10.1.0.1", asked{method: "GET", path: "/items/1"}, ""},
		{"another method", mesh.AccessEnforce, []string{"orders"}, "10.1.0.1", asked{method: "PUT", path: "/items/1"}, AccessDenied},
		{"another path", mesh.AccessEnforce, []string{"orders"}, "10.1.0.1", asked{method: "GET", path: "/admin"}, AccessDenied},
		{"a path with two readings", mesh.AccessEnforce, []string{"orders"}, "10.1.0.1", asked{method: "GET", path: "/items/../admin"}, PathAmbiguous},
		{"another source", mesh.AccessEnforce, []string{"orders"}, "10.1.0.2", asked{method: "GET", path: "/items/1"}, AccessDenied},
		{"nobody", mesh.AccessEnforce, []string{"orders"}, "10.9.0.1", asked{method: "GET", path: "/items/1"}, AccessDenied},
		{"a connection, where requests are granted", mesh.AccessEnforce, []string{"orders"}, "10.1.0.1", nil, AccessDenied},
		{"another destination", mesh.AccessEnforce, []string{"stock"}, "10.1.0.1", asked{method: "GET", path: "/items/1"}, AccessDenied},
		{"off", mesh.AccessOff, []string{"orders"}, "10.9.0.1", asked{method: "PUT", path: "//admin"}, ""},
		{"audit", mesh.AccessAudit, []string{"orders"}, "10.9.0.1", asked{method: "PUT", path: "//admin"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decide(world(test.mode, []*mesh.Grant{web}, test.accounts...), test.client, test.request)
			if got.Reason != test.want || (got.Cluster == nil) != (test.want != "") {
				t.Errorf("%+v; want %q", got, test.want)
			}
		})
	}
}

func TestOfSeveralAccountsOnlyThoseThatAllowAreCalled(t *testing.T) {
	web := &mesh.Grant{Destination: account("orders"), Sources: []mesh.Principal{account("web")}, TCP: mesh.Ports{All: true}}
	m := world(mesh.AccessEnforce, []*mesh.Grant{web}, "stock", "orders", "stock", "orders")
	for range 20 {
		got := decide(m, "10.1.0.1", asked{method: "GET", path: "/"})
		if got.Cluster == nil {
			t.Fatal(got.What)
		}
		try := got.Cluster.Try(netip.MustParseAddr("10.1.0.1"))
		for e := try.Next(); e != nil; e = try.Next() {
			if last := e.Address.Addr().As4()[3]; last%2 == 0 {
				t.Fatalf("%v was called, whose account allows nobody", e.Address)
			}
		}
	}
}

func TestOnlyMatchingRequestsAreSplit(t *testing.T) {
	m := world(mesh.AccessOff, nil, "orders")
	p := m.Services[0].Ports[0]
	beta := mesh.Backend{Service: mesh.Name{Namespace: "shop", Name: "beta"}, Weight: 1, Endpoints: p.Endpoints}
	p.Routes = []*mesh.Route{{Matches: []*mesh.RequestMatch{{Path: "/v2", Headers: []mesh.HeaderMatch{{Name: "x-user", Value: "a.*"}}}}, Backends: []mesh.Backend{beta}}}
	for _, test := range []struct {
		request route.Request
		want    string
	}{
		{asked{path: "/v2", headers: map[string][]string{"x-user": {"anne"}}}, "beta"},
		{asked{path: "/%76%32", headers: map[string][]string{"x-user": {"anne"}}}, "beta"},
		{asked{path: "/v2", headers: map[string][]string{"x-user": {"bob"}}}, "orders"},
		{asked{path: "/v2", headers: map[string][]string{"x-user": {"anne", "bob"}}}, "orders"},
		{asked{path: "/v2"}, "orders"},
		{asked{path: "/v1", headers: map[string][]string{"x-user": {"anne"}}}, "orders"},
		{nil, "orders"},
	} {
		got := decide(m, "10.1.0.1", test.request)
		if got.Cluster == nil || got.Cluster.Service.Name != test.want {
			t.Errorf("%+v: %+v; want %s", test.request, got, test.want)
		}
	}
	if got := decide(m, "10.1.0.1", asked{path: "/v1/../v2"}); got.Reason != PathAmbiguous {
		t.Errorf("%+v", got)
	}
}

// BenchmarkDecide is a decision at the destination of 100 TrafficTargets that are
// all the caller's, of which the last allows the request.
func BenchmarkDecide(b *testing.B) {
	var grants []*mesh.Grant
	for i := range 100 {
		grants = append(grants, &mesh.Grant{
			Destination: account("orders"), Sources: []mesh.Principal{account("web")}, TCP: mesh.Ports{All: true}, Requests: true,
			Matches: []*mesh.RequestMatch{{Path: fmt.Sprintf("/api/v1/things-%02d/.*", i), Methods: []string{"GET"}}},
		})
	}
	for _, mode := range []mesh.AccessMode{mesh.AccessOff, mesh.AccessEnforce} {
		b.Run(mode.String(), func(b *testing.B) {
			snapshot, _ := new(Set).Bind(route.Compile(world(mode, grants, "orders")))
			caller := Caller{Address: netip.MustParseAddr("10.1.0.1")}
			r, request := snapshot.Route(listen), &bytesAsked{method: []byte("GET"), path: []byte("/api/v1/things-99/17")}
			b.ReportAllocs()
			for b.Loop() {
				if caller.Decide(snapshot, r, request).Cluster == nil {
					b.Fatal("refused")
				}
			}
		})
	}
}

// bytesAsked is a request as the engines show it.
type bytesAsked struct{ method, path []byte }

func (a *bytesAsked) Method() []byte { return a.method }

func (a *bytesAsked) Path() []byte { return a.path }

func (a *bytesAsked) Header(string, int) ([]byte, bool) { return nil, false }

// An expression that holds for the empty text does not hold for a path that has
// no plain form.
func TestNoExpressionHoldsForAnAmbiguousPath(t *testing.T) {
	for _, expression := range []string{".*", "[^x]*$", "(/public)?", "$", "a*"} {
		web := &mesh.Grant{
			Destination: account("orders"), Sources: []mesh.Principal{account("web")}, TCP: mesh.Ports{All: true}, Requests: true,
			Matches: []*mesh.RequestMatch{{Path: expression}},
		}
		if got := decide(world(mesh.AccessEnforce, []*mesh.Grant{web}, "orders"), "10.1.0.1", asked{path: "/x/../y"}); got.Reason != PathAmbiguous {
			t.Errorf("%s: %+v", expression, got)
		}
	}
}
