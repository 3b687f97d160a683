package shadow

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mostEndpoints is how many names one slice holds, so that one change is one
// small write.
const mostEndpoints = 100

// sliceChange is an EndpointSlice that should stand, beside what stands or nil.
type sliceChange struct {
	have, want *discoveryv1.EndpointSlice
}

// differs tells whether there is anything to write.
func (c *sliceChange) differs() bool { return c.have == nil || mergeSlice(c.have, c.want) != nil }

// planSlices spreads the names of one namespace over slices. A name stays in
// the slice it is in; new ones fill what has room. Returned are all slices that
// should stand, and those that should go.
func planSlices(own, namespace string, services map[string][]string, have []*discoveryv1.EndpointSlice) (want []sliceChange, dead []*discoveryv1.EndpointSlice) {
	have = slices.SortedFunc(slices.Values(have), func(x, y *discoveryv1.EndpointSlice) int { return cmp.Compare(x.Name, y.Name) })
	taken := map[string]bool{}
	for _, s := range have {
		taken[s.Name] = true
	}
	for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		spread := spread{own: own, namespace: namespace, family: family, names: ofFamily(services, family)}
		for _, s := range have {
			if s.AddressType == family {
				spread.keep(s)
			}
		}
		spread.fill(taken)
		for _, c := range spread.out {
			if len(c.want.Endpoints) == 0 {
				dead = append(dead, c.have)
				continue
			}
			want = append(want, c)
		}
	}
	for _, s := range have {
		if s.AddressType != discoveryv1.AddressTypeIPv4 && s.AddressType != discoveryv1.AddressTypeIPv6 {
			dead = append(dead, s)
		}
	}
	return want, dead
}

// ofFamily picks each Service's address of a family, where it has one.
func ofFamily(services map[string][]string, family discoveryv1.AddressType) map[string]string {
	out := make(map[string]string, len(services))
	for name, ips := range services {
		for _, ip := range ips {
			address, err := netip.ParseAddr(ip)
			if err == nil && address.Is4() == (family == discoveryv1.AddressTypeIPv4) {
				out[name] = ip
			}
		}
	}
	return out
}

// spread is the names of one namespace and family on their way into slices.
type spread struct {
	own, namespace string
	family         discoveryv1.AddressType
	names          map[string]string // what is not in a slice yet: Service to address
	out            []sliceChange
}

// keep leaves in a slice what is in it and still a name.
func (s *spread) keep(have *discoveryv1.EndpointSlice) {
	want := s.slice(have.Name)
	for i := range have.Endpoints {
		host := have.Endpoints[i].Hostname
		if host == nil || len(want.Endpoints) == mostEndpoints {
			continue
		}
		if address, ok := s.names[*host]; ok {
			want.Endpoints = append(want.Endpoints, endpoint(*host, address))
			delete(s.names, *host)
		}
	}
	s.out = append(s.out, sliceChange{have: have, want: want})
}

// fill puts the names that are in no slice where there is room, then in new
// slices. It adds the names of those to taken.
func (s *spread) fill(taken map[string]bool) {
	rest := slices.Sorted(maps.Keys(s.names))
	for at := 0; len(rest) > 0; at++ {
		if at == len(s.out) {
			s.out = append(s.out, sliceChange{want: s.slice(s.freeName(taken))})
		}
		want := s.out[at].want
		n := min(mostEndpoints-len(want.Endpoints), len(rest))
		for _, host := range rest[:n] {
			want.Endpoints = append(want.Endpoints, endpoint(host, s.names[host]))
		}
		rest = rest[n:]
	}
	for _, c := range s.out {
		slices.SortFunc(c.want.Endpoints, func(x, y discoveryv1.Endpoint) int { return cmp.Compare(*x.Hostname, *y.Hostname) })
	}
}

func (s *spread) freeName(taken map[string]bool) string {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s-%s-%d", s.namespace, map[discoveryv1.AddressType]string{discoveryv1.AddressTypeIPv4: "v4", discoveryv1.AddressTypeIPv6: "v6"}[s.family], n)
		if !taken[name] {
			taken[name] = true
			return name
		}
	}
}

// slice is an empty slice. The headless label spares kube-proxy the watch.
func (s *spread) slice(name string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.own,
			Name:      name,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: s.namespace,
				discoveryv1.LabelManagedBy:   mesh.ManagedBy,
				corev1.IsHeadlessService:     "",
			},
		},
		AddressType: s.family,
	}
}

func endpoint(host, address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses:  []string{address},
		Hostname:   new(host),
		Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
	}
}

// mergeSlice returns have as it should be, or nil when it already is.
func mergeSlice(have, want *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	out := have.DeepCopy()
	out.Labels = mergeLabels(have.Labels, want.Labels)
	out.Endpoints, out.Ports = want.Endpoints, nil
	if equality.Semantic.DeepEqual(out, have) {
		return nil
	}
	return out
}

// managedSlice tells whether an EndpointSlice is ours.
func managedSlice(s *discoveryv1.EndpointSlice) bool {
	return s.Labels[discoveryv1.LabelManagedBy] == mesh.ManagedBy
}
