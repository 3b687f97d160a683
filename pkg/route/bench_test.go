package route_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// BenchmarkTargets builds and compiles 10,000 TrafficTargets, each with two rules
// and two sources, for 1,000 Services with a pod and an account each.
func BenchmarkTargets(b *testing.B) {
	const services, targets = 1000, 10_000
	in := mesh.NewInputs()
	in.Access.Mode = mesh.AccessEnforce
	for i := range services {
		name := mesh.Name{Namespace: fmt.Sprint("ns-", i%100), Name: fmt.Sprint("service-", i)}
		ref := func(kind string) mesh.Ref { return mesh.Ref{Kind: kind, Namespace: name.Namespace, Name: name.Name} }
		ip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		in.Services[name] = mesh.ServiceInput{Ref: ref("Service"), Ports: []mesh.ServicePort{{Number: 80}}}
		in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Listen: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(10_000+i))}}}
		in.Slices[name] = mesh.SliceInput{Service: name, Ports: []mesh.SlicePort{{Number: 8080}}, Endpoints: []mesh.SliceEndpoint{{Address: ip, Ready: true, Pod: name.Name}}}
		in.Pods[name] = mesh.PodInput{IPs: []netip.Addr{ip}, ServiceAccount: name.Name}
		in.TCPRoutes[name] = mesh.PortRouteInput{Ref: ref("TCPRoute"), Ports: []uint16{80}}
		in.RouteGroups[name] = mesh.RouteGroupInput{Ref: ref("HTTPRouteGroup"), Matches: []mesh.RequestMatch{
			{Name: "read", Path: fmt.Sprintf("/v%d/items/[0-9]+", i), Methods: []string{"GET"}}, {Name: "write", Path: "/items/.*", Methods: []string{"PUT"}},
		}}
	}
	for i := range targets {
		at := i % services
		name := mesh.Name{Namespace: fmt.Sprint("ns-", at%100), Name: fmt.Sprint("target-", i)}
		in.Targets[name] = mesh.TargetInput{
			Ref:         mesh.Ref{Kind: "TrafficTarget", Namespace: name.Namespace, Name: name.Name},
			Destination: mesh.Subject{Kind: "ServiceAccount", Name: fmt.Sprint("service-", at)},
			Sources: []mesh.Subject{
				{Kind: "ServiceAccount", Namespace: fmt.Sprint("ns-", i%100), Name: fmt.Sprint("service-", i*7%services)},
				{Kind: "ServiceAccount", Namespace: "ns-1", Name: fmt.Sprint("caller-", i)},
			},
			Rules: []mesh.TargetRule{{Kind: "HTTPRouteGroup", Name: fmt.Sprint("service-", at)}, {Kind: "TCPRoute", Name: fmt.Sprint("service-", at)}},
		}
	}
	if m := mesh.Build(in); len(m.Access.Grants) != targets || len(m.Problems) > 0 {
		b.Fatalf("%d grants, problems %v", len(m.Access.Grants), m.Problems[:min(3, len(m.Problems))])
	}
	compiler := route.Compiler{}
	b.ReportAllocs()
	for b.Loop() {
		compiler.Compile(mesh.Build(in))
	}
}
