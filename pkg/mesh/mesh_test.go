package mesh_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/weft-mesh/weft/pkg/mesh"
)

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// fixture builds Inputs of one namespace, shop.
type fixture struct{ *mesh.Inputs }

func newFixture() fixture { return fixture{mesh.NewInputs()} }

func shop(name string) mesh.Name { return mesh.Name{Namespace: "shop", Name: name} }

// service adds a meshed Service with port 80 → 8080 and one ready endpoint per address.
func (f fixture) service(name string, addresses ...string) fixture {
	f.Services[shop(name)] = mesh.ServiceInput{
		Ref:   mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: name},
		Ports: []mesh.ServicePort{{Name: "http", Number: 80}},
	}
	f.Frontends[shop(name)] = mesh.Frontend{
		Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1")},
		Ports:     []mesh.FrontendPort{{Number: 80, Listen: netip.MustParseAddrPort("[::]:10001")}},
	}
	slice := mesh.SliceInput{Service: shop(name), Ports: []mesh.SlicePort{{Name: "http", Number: 8080}}}
	for _, a := range addresses {
		slice.Endpoints = append(slice.Endpoints, mesh.SliceEndpoint{Address: netip.MustParseAddr(a), Ready: true, Serving: true})
	}
	f.Slices[shop(name+"-abc")] = slice
	return f
}

// split adds a TrafficSplit; each later one is younger.
func (f fixture) split(name, root string, backends ...mesh.SplitBackend) fixture {
	f.Splits[shop(name)] = mesh.SplitInput{
		Ref:     mesh.Ref{Kind: "TrafficSplit", Namespace: "shop", Name: name},
		Created: time.Unix(int64(len(f.Splits)), 0), Root: root, Backends: backends,
	}
	return f
}

func to(service string, weight int64) mesh.SplitBackend {
	return mesh.SplitBackend{Service: service, Weight: weight * 1000}
}

func port(t *testing.T, m *mesh.Mesh, service string) *mesh.Port {
	t.Helper()
	for _, s := range m.Services {
		if s.Name == shop(service) {
			return s.Ports[0]
		}
	}
	t.Fatalf("service %s is not in the mesh", service)
	return nil
}

func addresses(endpoints []mesh.Endpoint) (out []string) {
	for _, e := range endpoints {
		out = append(out, e.Address.String())
	}
	return out
}

func TestEndpointsAreWhatKubeProxyWouldUse(t *testing.T) {
	ready := func(a string) mesh.SliceEndpoint {
		return mesh.SliceEndpoint{Address: netip.MustParseAddr(a), Ready: true, Serving: true}
	}
	dying := func(a string) mesh.SliceEndpoint {
		return mesh.SliceEndpoint{Address: netip.MustParseAddr(a), Serving: true, Terminating: true}
	}
	broken := mesh.SliceEndpoint{Address: netip.MustParseAddr("10.0.0.9")}
	for _, test := range []struct {
		name string
		in   []mesh.SliceEndpoint
		want []string
	}{
		{"ready ones, sorted, once each", []mesh.SliceEndpoint{ready("10.0.0.2"), ready("10.0.0.1"), ready("10.0.0.2")}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{"terminating ones are left while one is ready", []mesh.SliceEndpoint{dying("10.0.0.1"), ready("10.0.0.2")}, []string{"10.0.0.2:8080"}},
		{"terminating ones that serve when none is ready", []mesh.SliceEndpoint{dying("10.0.0.1"), broken}, []string{"10.0.0.1:8080"}},
		{"none", []mesh.SliceEndpoint{broken}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture().service("orders")
			slice := f.Slices[shop("orders-abc")]
			slice.Endpoints = test.in
			f.Slices[shop("orders-abc")] = slice
			got := addresses(port(t, mesh.Build(f.Inputs), "orders").Endpoints)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPortsAreJoinedByNameAndTransport(t *testing.T) {
	f := newFixture().service("dns")
	f.Services[shop("dns")] = mesh.ServiceInput{
		Ref:   mesh.Ref{Kind: "Service", Namespace: "shop", Name: "dns"},
		Ports: []mesh.ServicePort{{Name: "udp", Number: 53, Transport: mesh.UDP}, {Name: "tcp", Number: 53}, {Name: "sctp", Number: 54, Unsupported: true}},
	}
	f.Frontends[shop("dns")] = mesh.Frontend{Ports: []mesh.FrontendPort{
		{Number: 53, Transport: mesh.UDP, Listen: netip.MustParseAddrPort("[::]:10002")},
		{Number: 53, Listen: netip.MustParseAddrPort("[::]:10003")},
	}}
	f.Slices[shop("dns-abc")] = mesh.SliceInput{
		Service:   shop("dns"),
		Ports:     []mesh.SlicePort{{Name: "tcp", Number: 1053}, {Name: "udp", Number: 2053, Transport: mesh.UDP}},
		Endpoints: []mesh.SliceEndpoint{{Address: netip.MustParseAddr("10.0.0.1"), Ready: true}},
	}
	m := mesh.Build(f.Inputs)
	var got []string
	for _, p := range m.Services[0].Ports {
		got = append(got, fmt.Sprint(p.Transport, p.Listen, addresses(p.Endpoints)))
	}
	if diff := cmp.Diff([]string{"TCP [::]:10003 [10.0.0.1:1053]", "UDP [::]:10002 [10.0.0.1:2053]"}, got); diff != "" {
		t.Error(diff)
	}
	if len(m.Problems) != 1 || m.Problems[0].Reason != mesh.UnsupportedProtocol {
		t.Errorf("problems %v; want one %s", m.Problems, mesh.UnsupportedProtocol)
	}
}

func TestProtocolIsWhatThePortThenTheServiceThenTheNameSays(t *testing.T) {
	for _, test := range []struct {
		port       mesh.ServicePort
		annotation string
		want       mesh.Protocol
	}{
		{mesh.ServicePort{Number: 80}, "", mesh.Detect},
		{mesh.ServicePort{Number: 80, Name: "http-api"}, "", mesh.HTTP},
		{mesh.ServicePort{Number: 80, Name: "http-api"}, "tcp", mesh.Opaque},
		{mesh.ServicePort{Number: 80, Name: "http-api", AppProtocol: "kubernetes.io/h2c"}, "tcp", mesh.HTTP2},
		{mesh.ServicePort{Number: 80, Name: "grpc"}, "", mesh.HTTP2},
		{mesh.ServicePort{Number: 443, AppProtocol: "https"}, "", mesh.Opaque},
		{mesh.ServicePort{Number: 80, AppProtocol: "example.com/own"}, "http", mesh.HTTP},
		{mesh.ServicePort{Number: 80, Name: "web"}, "nonsense", mesh.Detect},
		{mesh.ServicePort{Number: 53, Name: "http", Transport: mesh.UDP}, "", mesh.Opaque},
	} {
		f := newFixture().service("orders")
		s := f.Services[shop("orders")]
		s.Ports = []mesh.ServicePort{test.port}
		if test.annotation != "" {
			s.Annotations = map[string]string{mesh.AnnotationProtocol: test.annotation}
		}
		f.Services[shop("orders")] = s
		f.Frontends[shop("orders")] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: test.port.Number, Transport: test.port.Transport}}}
		m := mesh.Build(f.Inputs)
		if got := port(t, m, "orders").Protocol; got != test.want {
			t.Errorf("%+v, annotation %q: %v; want %v", test.port, test.annotation, got, test.want)
		}
		if told := len(m.Problems) == 1 && m.Problems[0].Reason == mesh.BadAnnotation; told != (test.annotation == "nonsense") {
			t.Errorf("annotation %q: problems %v", test.annotation, m.Problems)
		}
	}
}

func TestOldEndpointsCountOnlyWithoutSlices(t *testing.T) {
	f := newFixture().service("orders", "10.0.0.1")
	f.Endpoints[shop("orders")] = mesh.SliceInput{
		Service: shop("orders"), Ports: []mesh.SlicePort{{Name: "http", Number: 8080}},
		Endpoints: []mesh.SliceEndpoint{{Address: netip.MustParseAddr("10.0.0.2"), Ready: true}},
	}
	if got := addresses(port(t, mesh.Build(f.Inputs), "orders").Endpoints); !cmp.Equal(got, []string{"10.0.0.1:8080"}) {
		t.Errorf("with a slice: %v", got)
	}
	delete(f.Slices, shop("orders-abc"))
	if got := addresses(port(t, mesh.Build(f.Inputs), "orders").Endpoints); !cmp.Equal(got, []string{"10.0.0.2:8080"}) {
		t.Errorf("without a slice: %v", got)
	}
}

func TestWorkloadsAreLivePodsWithTheirOwnAddress(t *testing.T) {
	f := newFixture().service("orders", "10.0.0.1")
	ip := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	f.Pods[shop("live")] = mesh.PodInput{IPs: ip, ServiceAccount: "orders", OwnerKind: "Deployment", OwnerName: "orders"}
	f.Pods[shop("done")] = mesh.PodInput{IPs: ip, Finished: true}
	f.Pods[shop("host")] = mesh.PodInput{IPs: ip, HostNetwork: true}
	f.Pods[shop("new")] = mesh.PodInput{}
	slice := f.Slices[shop("orders-abc")]
	slice.Endpoints[0].Pod = "live"
	m := mesh.Build(f.Inputs)
	if len(m.Workloads) != 1 || m.Workloads[0].Name != shop("live") {
		t.Fatalf("workloads %v; want shop/live only", m.Workloads)
	}
	if e := port(t, m, "orders").Endpoints[0]; e.Workload != m.Workloads[0] {
		t.Errorf("the endpoint's workload is %v; want shop/live", e.Workload)
	}
}
