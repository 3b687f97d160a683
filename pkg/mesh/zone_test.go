package mesh_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// Hints count as kube-proxy counts them.
func TestHintsMeanEndpointsForAZone(t *testing.T) {
	type hints [][]string // of each endpoint in turn
	for _, test := range []struct {
		name  string
		own   []string // what slices say of this node
		hints hints
		want  []int // the endpoints that are near
	}{
		{"by zone", []string{"a"}, hints{{"a"}, {"b"}, {"a"}}, []int{0, 2}},
		{"for several zones", []string{"a"}, hints{{"a", "b"}, {"b"}}, []int{0}},
		{"no zone is known", nil, hints{{"a"}, {"b"}}, nil},
		{"one has no hints", []string{"a"}, hints{{"a"}, nil}, nil},
		{"none for the zone", []string{"c"}, hints{{"a"}, {"b"}}, nil},
		{"slices agree", []string{"b", "b"}, hints{{"a"}, {"b"}}, []int{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture().service("orders")
			for i, zone := range test.own {
				f.Zones[mesh.Name{Namespace: "weft", Name: fmt.Sprint("s", i)}] = zone
			}
			slice := f.Slices[shop("orders-abc")]
			for i, zones := range test.hints {
				slice.Endpoints = append(slice.Endpoints, mesh.SliceEndpoint{
					Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), Ready: true, Serving: true, ForZones: zones,
				})
			}
			f.Slices[shop("orders-abc")] = slice
			var near []int
			for i, e := range port(t, mesh.Build(f.Inputs), "orders").Endpoints {
				if e.Near {
					near = append(near, i)
				}
			}
			if fmt.Sprint(near) != fmt.Sprint(test.want) {
				t.Errorf("near are %v; want %v", near, test.want)
			}
		})
	}
}

// What is not ready needs no hints, and has none that count.
func TestHintsOfWhatIsNotReady(t *testing.T) {
	f := newFixture().service("orders")
	f.Zones[mesh.Name{Namespace: "weft", Name: "s"}] = "a"
	slice := f.Slices[shop("orders-abc")]
	leaving := mesh.SliceEndpoint{Address: netip.MustParseAddr("10.0.0.2"), Serving: true, Terminating: true, ForZones: []string{"a"}}
	slice.Endpoints = []mesh.SliceEndpoint{
		{Address: netip.MustParseAddr("10.0.0.1"), Ready: true, Serving: true, ForZones: []string{"a"}},
		{Address: netip.MustParseAddr("10.0.0.3")}, leaving,
	}
	f.Slices[shop("orders-abc")] = slice
	if all := port(t, mesh.Build(f.Inputs), "orders").Endpoints; len(all) != 1 || !all[0].Near {
		t.Errorf("got %v; want the ready one, near", all)
	}
	slice.Endpoints = []mesh.SliceEndpoint{leaving}
	f.Slices[shop("orders-abc")] = slice
	if all := port(t, mesh.Build(f.Inputs), "orders").Endpoints; len(all) != 1 || all[0].Near {
		t.Errorf("got %v; want the one that leaves, not near", all)
	}
}
