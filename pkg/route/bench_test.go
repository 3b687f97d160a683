package route_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// BenchmarkRebuild is the full rebuild after any change: Inputs → Mesh → Table,
// with a slice and ten pods per Service, a split on every tenth. At most 10 ms
// for 1,000 Services and 60 ms for 5,000 on one core (-cpu 1).
func BenchmarkRebuild(b *testing.B) {
	for _, services := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("services=%d/endpoints=%d", services, services*10), func(b *testing.B) {
			in := inputs(services, 10)
			b.ReportAllocs()
			for b.Loop() {
				table := route.Compile(mesh.Build(in))
				if len(table.Ports()) != services {
					b.Fatalf("%d ports; want %d", len(table.Ports()), services)
				}
			}
		})
	}
}

func inputs(services, endpoints int) *mesh.Inputs {
	in := mesh.NewInputs()
	for s := range services {
		service := mesh.Name{Namespace: fmt.Sprintf("ns-%02d", s%50), Name: fmt.Sprintf("service-%04d", s)}
		in.Services[service] = mesh.ServiceInput{
			Ref:   mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: service.Namespace, Name: service.Name},
			Ports: []mesh.ServicePort{{Name: "http", Number: 80}},
		}
		in.Frontends[service] = mesh.Frontend{
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(s >> 8), byte(s)})},
			Ports:     []mesh.FrontendPort{{Number: 80, Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(10000+s))}},
		}
		addPods(in, service, s*endpoints, endpoints)
		if s%10 == 0 {
			in.Splits[service] = mesh.SplitInput{
				Ref:  mesh.Ref{Kind: "TrafficSplit", Namespace: service.Namespace, Name: service.Name},
				Root: service.Name, Backends: []mesh.SplitBackend{{Service: service.Name, Weight: 1000}},
			}
		}
	}
	return in
}

func addPods(in *mesh.Inputs, service mesh.Name, first, count int) {
	slice := mesh.SliceInput{Service: service, Ports: []mesh.SlicePort{{Name: "http", Number: 8080}}}
	for n := first; n < first+count; n++ {
		ip := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
		pod := fmt.Sprintf("%s-%d", service.Name, n)
		in.Pods[mesh.Name{Namespace: service.Namespace, Name: pod}] = mesh.PodInput{
			IPs: []netip.Addr{ip}, ServiceAccount: "default", OwnerKind: "Deployment", OwnerName: service.Name, Created: time.Unix(int64(n), 0),
		}
		slice.Endpoints = append(slice.Endpoints, mesh.SliceEndpoint{Address: ip, Ready: true, Serving: true, Pod: pod})
	}
	in.Slices[mesh.Name{Namespace: service.Namespace, Name: service.Name + "-x"}] = slice
}
