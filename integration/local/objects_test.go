package local

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// port is one port of a Service and where the test serves it.
type port struct {
	name        string
	number      int32
	udp         bool
	appProtocol string
	at          []netip.AddrPort
}

func (p *port) protocol() corev1.Protocol {
	if p.udp {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

// service is a Service of namespace shop and its EndpointSlices, as kubectl
// prints them: one document after another.
func service(t *testing.T, name string, ports ...port) string {
	return annotated(t, name, nil, ports...)
}

func annotated(t *testing.T, name string, annotations map[string]string, ports ...port) string {
	t.Helper()
	s := corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: annotations},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.7", IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}},
	}
	out := []string{}
	for i := range ports {
		p := &ports[i]
		from := corev1.ServicePort{Name: p.name, Port: p.number, Protocol: p.protocol()}
		if p.appProtocol != "" {
			from.AppProtocol = &p.appProtocol
		}
		s.Spec.Ports = append(s.Spec.Ports, from)
		for j, at := range p.at {
			out = append(out, document(t, slice(fmt.Sprintf("%s-%d-%d", name, i, j), name, p, at)))
		}
	}
	return document(t, s) + strings.Join(out, "")
}

// slice is an EndpointSlice of one endpoint, whose port is its own.
func slice(name, service string, p *port, at netip.AddrPort) discoveryv1.EndpointSlice {
	yes, number, protocol := true, int32(at.Port()), p.protocol()
	return discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{at.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: &p.name, Port: &number, Protocol: &protocol}},
	}
}

func document(t *testing.T, object any) string {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return "---\n" + string(text)
}

// split is a TrafficSplit of namespace shop; backends are "service=weight".
func split(name, root string, backends ...string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "---\napiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata:\n  name: %s\n  namespace: shop\n", name)
	fmt.Fprintf(&out, "spec:\n  service: %s\n  backends:\n", root)
	for _, b := range backends {
		backend, weight, _ := strings.Cut(b, "=")
		fmt.Fprintf(&out, "  - service: %s\n    weight: %s\n", backend, weight)
	}
	return out.String()
}
