//lint:file-ignore SA1019 Files may still hold the old Endpoints objects; a cluster is read by slices only.

package kube

import (
	"fmt"
	"net/netip"

	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// trimmer reads objects into pieces. It has one owner.
type trimmer struct {
	namespace string // Weft's own, where Services are shadow Services; empty for none
	node      string // that this process is on; empty where it is not known
	names     interner
	labels    labelSets
	zones     zoneSets
}

func newTrimmer(namespace string) *trimmer {
	return &trimmer{namespace: namespace, names: interner{}, labels: labelSets{}, zones: zoneSets{}}
}

// read reads an object of any kind that Weft knows; nothing is kept of others.
// Typed objects need no TypeMeta: clients strip it.
func (t *trimmer) read(object metav1.Object) reading {
	var r reading
	var err error
	switch o := object.(type) {
	case *corev1.Service:
		r.ref = t.ref("v1", "Service", o)
		r.piece, err = t.service(r.ref, o)
	case *discoveryv1.EndpointSlice:
		r.ref = t.ref("discovery.k8s.io/v1", "EndpointSlice", o)
		r.piece, err = t.slice(o)
	case *corev1.Endpoints:
		r.ref = t.ref("v1", "Endpoints", o)
		r.piece, err = t.endpoints(o)
	case *corev1.Pod:
		r.ref = t.ref("v1", "Pod", o)
		r.piece = t.pod(o)
	case *corev1.Namespace:
		r.ref = t.ref("v1", "Namespace", o)
		r.piece = t.space(r.ref, o)
	case *corev1.Secret:
		r.ref = t.ref("v1", "Secret", o)
		r.piece = ca(o)
	case *unstructured.Unstructured:
		return readSMI(o)
	}
	if err != nil {
		return malformed(r.ref, err)
	}
	return r
}

func (t *trimmer) ref(apiVersion, kind string, object metav1.Object) mesh.Ref {
	return mesh.Ref{
		APIVersion: apiVersion, Kind: kind,
		Namespace: t.names.of(object.GetNamespace()), Name: object.GetName(), UID: string(object.GetUID()),
	}
}

// service reads a Service, or the shadow Service that stands for one.
func (t *trimmer) service(ref mesh.Ref, s *corev1.Service) (piece, error) {
	switch {
	case t.namespace != "" && s.Namespace == t.namespace:
		return t.frontend(s)
	case s.Labels[mesh.LabelManagedBy] == mesh.ManagedBy:
		return nil, nil
	}
	input := mesh.ServiceInput{
		Ref:         ref,
		External:    s.Spec.Type == corev1.ServiceTypeExternalName,
		Affinity:    s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP,
		Annotations: annotations.Own(s.Annotations), Policies: annotations.Policies(ref, s.Annotations),
	}
	for i := range s.Spec.Ports {
		port, err := t.servicePort(&s.Spec.Ports[i])
		if err != nil {
			return nil, fmt.Errorf("spec.ports[%d].%w", i, err)
		}
		input.Ports = append(input.Ports, port)
	}
	return servicePiece(input), nil
}

// space reads a Namespace. Of most there is nothing to keep.
func (t *trimmer) space(ref mesh.Ref, n *corev1.Namespace) piece {
	own := annotations.Own(n.Annotations)
	if own == nil {
		return nil
	}
	return namespacePiece{Ref: ref, Annotations: own, Policies: annotations.Policies(ref, n.Annotations)}
}

func (t *trimmer) servicePort(p *corev1.ServicePort) (mesh.ServicePort, error) {
	number, err := portNumber("port", p.Port)
	if err != nil {
		return mesh.ServicePort{}, err
	}
	transport, supported := mesh.ParseTransport(string(p.Protocol))
	port := mesh.ServicePort{Name: t.names.of(p.Name), Number: number, Transport: transport, Unsupported: !supported}
	if p.AppProtocol != nil {
		port.AppProtocol = t.names.of(*p.AppProtocol)
	}
	return port, nil
}

// frontend reads a shadow Service. Another Service of Weft's is nothing.
func (t *trimmer) frontend(s *corev1.Service) (piece, error) {
	of := mesh.Name{Namespace: t.names.of(s.Labels[mesh.LabelNamespace]), Name: s.Labels[mesh.LabelService]}
	if of.Name == "" || of.Namespace == "" || s.Labels[mesh.LabelManagedBy] != mesh.ManagedBy {
		return nil, nil
	}
	piece := frontendPiece{service: of}
	ips := s.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{s.Spec.ClusterIP}
	}
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip); err == nil {
			piece.frontend.Addresses = append(piece.frontend.Addresses, a.Unmap())
		}
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		transport, supported := mesh.ParseTransport(string(p.Protocol))
		if !supported || p.TargetPort.Type != intstr.Int {
			continue
		}
		number, err := portNumber("port", p.Port)
		if err != nil {
			return nil, fmt.Errorf("spec.ports[%d].%w", i, err)
		}
		target, err := portNumber("targetPort", p.TargetPort.IntVal)
		if err != nil {
			return nil, fmt.Errorf("spec.ports[%d].%w", i, err)
		}
		piece.frontend.Ports = append(piece.frontend.Ports, mesh.FrontendPort{
			Number: number, Transport: transport, Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), target),
		})
	}
	return piece, nil
}

// portNumber keeps a number that is no port from becoming another. The API
// server lets none in, a file may hold any.
func portNumber(field string, n int32) (uint16, error) {
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("%s is %d; want 1 to 65535", field, n)
	}
	return uint16(n), nil
}
