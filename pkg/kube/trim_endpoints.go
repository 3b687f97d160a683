//lint:file-ignore SA1019 Files may still hold the old Endpoints objects; a cluster is read by slices only.

package kube

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slice reads an EndpointSlice. One of no Service, of names (FQDN) instead of
// addresses, or written by Weft itself, is nothing. Those of Weft's own Services
// say only in which zone this process's node is.
func (t *trimmer) slice(s *discoveryv1.EndpointSlice) (piece, error) {
	if t.namespace != "" && s.Namespace == t.namespace {
		return t.ownSlice(s), nil
	}
	service := s.Labels[discoveryv1.LabelServiceName]
	own := s.Labels[discoveryv1.LabelManagedBy] == mesh.ManagedBy
	if service == "" || s.AddressType == discoveryv1.AddressTypeFQDN || own {
		return nil, nil
	}
	input := mesh.SliceInput{
		Service:   mesh.Name{Namespace: t.names.of(s.Namespace), Name: t.names.of(service)},
		Endpoints: make([]mesh.SliceEndpoint, 0, len(s.Endpoints)),
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		transport, supported := mesh.ParseTransport(string(valueOr(p.Protocol, "")))
		if !supported || p.Port == nil {
			continue
		}
		number, err := portNumber("port", *p.Port)
		if err != nil {
			return nil, fmt.Errorf("ports[%d].%w", i, err)
		}
		input.Ports = append(input.Ports, mesh.SlicePort{Name: t.names.of(valueOr(p.Name, "")), Number: number, Transport: transport})
	}
	for i := range s.Endpoints {
		endpoint, err := t.sliceEndpoint(&s.Endpoints[i])
		if err != nil {
			return nil, fmt.Errorf("endpoints[%d].%w", i, err)
		}
		input.Endpoints = append(input.Endpoints, endpoint)
	}
	return slicePiece(input), nil
}

// ownSlice reads a slice of node proxies: in which zone the one is that is on
// this process's node. The API server's own controller writes there what the
// Node says, so nobody needs the right to read Nodes.
func (t *trimmer) ownSlice(s *discoveryv1.EndpointSlice) piece {
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		zone := valueOr(e.Zone, "")
		if t.node != "" && valueOr(e.NodeName, "") == t.node && zone != "" {
			return zonePiece(t.names.of(zone))
		}
	}
	return nil
}

// sliceEndpoint reads an endpoint. Its addresses are interchangeable by the
// API's contract, and the first is used, as kube-proxy does. The defaults of
// the conditions are the API's: ready if unknown, serving as ready.
func (t *trimmer) sliceEndpoint(e *discoveryv1.Endpoint) (mesh.SliceEndpoint, error) {
	if len(e.Addresses) == 0 {
		return mesh.SliceEndpoint{}, fmt.Errorf("addresses is empty")
	}
	address, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return mesh.SliceEndpoint{}, fmt.Errorf("addresses[0] is %q; want an IP address", e.Addresses[0])
	}
	ready := valueOr(e.Conditions.Ready, true)
	return mesh.SliceEndpoint{
		Address: address.Unmap(), Ready: ready,
		Serving:     valueOr(e.Conditions.Serving, ready),
		Terminating: valueOr(e.Conditions.Terminating, false),
		Node:        t.names.of(valueOr(e.NodeName, "")),
		Zone:        t.names.of(valueOr(e.Zone, "")),
		ForZones:    t.forZones(e.Hints),
		Pod:         podOf(e.TargetRef),
	}, nil
}

// forZones reads the zones that hints mean an endpoint for; nil for none.
func (t *trimmer) forZones(hints *discoveryv1.EndpointHints) []string {
	if hints == nil || len(hints.ForZones) == 0 {
		return nil
	}
	zones := make([]string, len(hints.ForZones))
	for i, zone := range hints.ForZones {
		zones[i] = t.names.of(zone.Name)
	}
	return t.zones.of(zones)
}

// endpoints reads an Endpoints object, subset by subset: ports belong to their
// subset's addresses only.
func (t *trimmer) endpoints(e *corev1.Endpoints) (piece, error) {
	service := mesh.Name{Namespace: t.names.of(e.Namespace), Name: t.names.of(e.Name)}
	var piece endpointsPiece
	for i := range e.Subsets {
		subset, err := t.subset(&e.Subsets[i])
		if err != nil {
			return nil, fmt.Errorf("subsets[%d].%w", i, err)
		}
		subset.Service = service
		piece = append(piece, subset)
	}
	if piece == nil {
		return nil, nil
	}
	return piece, nil
}

func (t *trimmer) subset(s *corev1.EndpointSubset) (input mesh.SliceInput, err error) {
	for i := range s.Ports {
		transport, supported := mesh.ParseTransport(string(s.Ports[i].Protocol))
		if !supported {
			continue
		}
		number, err := portNumber("port", s.Ports[i].Port)
		if err != nil {
			return input, fmt.Errorf("ports[%d].%w", i, err)
		}
		input.Ports = append(input.Ports, mesh.SlicePort{Name: t.names.of(s.Ports[i].Name), Number: number, Transport: transport})
	}
	if err := t.addresses(&input, s.Addresses, true); err != nil {
		return input, fmt.Errorf("addresses%w", err)
	}
	if err := t.addresses(&input, s.NotReadyAddresses, false); err != nil {
		return input, fmt.Errorf("notReadyAddresses%w", err)
	}
	return input, nil
}

func (t *trimmer) addresses(input *mesh.SliceInput, addresses []corev1.EndpointAddress, ready bool) error {
	for i := range addresses {
		a := &addresses[i]
		ip, err := netip.ParseAddr(a.IP)
		if err != nil {
			return fmt.Errorf("[%d].ip is %q; want an IP address", i, a.IP)
		}
		input.Endpoints = append(input.Endpoints, mesh.SliceEndpoint{
			Address: ip.Unmap(), Ready: ready, Serving: ready,
			Node: t.names.of(valueOr(a.NodeName, "")), Pod: podOf(a.TargetRef),
		})
	}
	return nil
}

func podOf(target *corev1.ObjectReference) string {
	if target == nil || target.Kind != "Pod" {
		return ""
	}
	return target.Name
}

// pod reads a Pod.
func (t *trimmer) pod(p *corev1.Pod) piece {
	input := mesh.PodInput{
		ServiceAccount: t.names.of(p.Spec.ServiceAccountName),
		Node:           t.names.of(p.Spec.NodeName),
		HostNetwork:    p.Spec.HostNetwork,
		Finished:       p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed,
		Labels:         t.labels.of(p.Labels, t.names),
		Created:        p.CreationTimestamp.UTC(),
	}
	input.OwnerKind, input.OwnerName = t.owner(p)
	ips := p.Status.PodIPs
	if len(ips) == 0 {
		ips = []corev1.PodIP{{IP: p.Status.PodIP}}
	}
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			input.IPs = append(input.IPs, a.Unmap())
		}
	}
	return podPiece(input)
}

// owner is what controls the pod. A ReplicaSet whose name is that of the pod's
// template hash belongs to the Deployment that is called as the rest.
func (t *trimmer) owner(p *corev1.Pod) (kind, name string) {
	owner := metav1.GetControllerOfNoCopy(p)
	if owner == nil {
		return "Pod", p.Name
	}
	hash := p.Labels["pod-template-hash"]
	if deployment, ok := strings.CutSuffix(owner.Name, "-"+hash); ok && hash != "" && owner.Kind == "ReplicaSet" {
		return "Deployment", t.names.of(deployment)
	}
	return t.names.of(owner.Kind), t.names.of(owner.Name)
}

// valueOr is *p, or what nil stands for.
func valueOr[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}
