package mesh_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// No slice leads a call to the mesh itself or to what only its machine may
// reach; the other endpoints are called.
func TestSomeEndpointsAreNeverCalled(t *testing.T) {
	for _, test := range []struct {
		name      string
		own       mesh.OwnSettings
		addresses []string
		left      int
		looped    bool
	}{
		{"ordinary", mesh.OwnSettings{Cluster: true}, []string{"10.0.0.1"}, 1, false},
		{"local endpoints in local mode", mesh.OwnSettings{}, []string{"127.0.0.1"}, 1, false},
		{"a proxy's loopback", mesh.OwnSettings{Cluster: true}, []string{"127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.2"}, 1, false},
		{"link-local", mesh.OwnSettings{Cluster: true}, []string{"169.254.169.254", "fe80::1"}, 0, false},
		{"unspecified", mesh.OwnSettings{}, []string{"0.0.0.0", "::", "224.0.0.1"}, 0, false},
		{"the admin API", mesh.OwnSettings{Listens: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")}}, []string{"127.0.0.1"}, 0, true},
		{"the same, mapped", mesh.OwnSettings{Listens: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")}}, []string{"::ffff:127.0.0.1"}, 0, true},
		{"an admin API everywhere", mesh.OwnSettings{Listens: []netip.AddrPort{netip.MustParseAddrPort("[::]:8080")}}, []string{"127.0.0.5", "10.0.0.1"}, 1, false},
		{"another port than the admin API's", mesh.OwnSettings{Listens: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:15000")}}, []string{"127.0.0.1"}, 1, false},
		{"a node proxy", mesh.OwnSettings{Cluster: true, Namespace: "weft"}, []string{"10.0.0.99"}, 0, true},
		{"a mesh address", mesh.OwnSettings{Cluster: true}, []string{"10.96.0.9"}, 0, true},
		{"a mesh address and a pod", mesh.OwnSettings{Cluster: true}, []string{"10.96.0.9", "10.0.0.1"}, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture().service("orders", test.addresses...)
			f.Own = test.own
			f.Pods[mesh.Name{Namespace: "weft", Name: "weft-node-x"}] = mesh.PodInput{IPs: []netip.Addr{netip.MustParseAddr("10.0.0.99")}}
			f.Frontends[shop("orders")] = mesh.Frontend{
				Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.9")},
				Ports:     []mesh.FrontendPort{{Number: 80, Listen: netip.MustParseAddrPort("[::]:10017")}},
			}
			m := mesh.Build(f.Inputs)
			p := port(t, m, "orders")
			if len(p.Endpoints) != test.left || p.Looped != test.looped {
				t.Errorf("%d endpoints left, looped %v; want %d, %v", len(p.Endpoints), p.Looped, test.left, test.looped)
			}
			if diff := cmp.Diff(len(test.addresses)-test.left, len(m.Problems)); diff != "" {
				t.Errorf("problems: %v", m.Problems)
			}
			for _, problem := range m.Problems {
				if problem.Reason != mesh.EndpointForbidden || problem.Object.Name != "orders" || !strings.Contains(problem.Message, "never called") {
					t.Errorf("problem %+v", problem)
				}
			}
		})
	}
}
