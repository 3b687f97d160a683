package smi

import (
	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// DecodeTCPRoute reads a TCPRoute of any version. One without matches, as all
// are before v1alpha4, and one with an empty list of ports stand for all ports.
//
// A route that cannot be read is an error that names the field, with only Ref
// read. So is one that has a field that is not known, or matches without ports:
// they may be misspelt, and to pass over them would stand for all ports.
func DecodeTCPRoute(object *unstructured.Unstructured) (mesh.PortRouteInput, error) {
	return portRoute(object, TCPRoute)
}

// DecodeUDPRoute reads a UDPRoute as DecodeTCPRoute reads a TCPRoute.
func DecodeUDPRoute(object *unstructured.Unstructured) (mesh.PortRouteInput, error) {
	return portRoute(object, UDPRoute)
}

func portRoute(whole *unstructured.Unstructured, kind string) (mesh.PortRouteInput, error) {
	h, err := head(whole, SpecsGroup, kind)
	route := mesh.PortRouteInput{Ref: h.ref}
	if err != nil {
		return route, err
	}
	if err := only("", whole.Object, "apiVersion", "kind", "metadata", "spec", "status"); err != nil {
		return route, err
	}
	route.Ports, err = routePorts(whole.Object["spec"])
	return route, err
}

func routePorts(value any) ([]uint16, error) {
	if value == nil {
		return nil, nil
	}
	spec, err := object("spec", value)
	if err != nil {
		return nil, err
	}
	if err := only("spec", spec, "matches"); err != nil {
		return nil, err
	}
	if spec["matches"] == nil {
		return nil, nil
	}
	matches, err := object("spec.matches", spec["matches"])
	if err != nil {
		return nil, err
	}
	if err := only("spec.matches", matches, "name", "ports"); err != nil {
		return nil, err
	}
	if matches["ports"] == nil {
		return nil, wrong("spec.matches.ports", nil, "a list, empty for all ports")
	}
	items, err := list("spec.matches.ports", matches["ports"])
	if err != nil || len(items) == 0 {
		return nil, err
	}
	ports := make([]uint16, len(items))
	for i, item := range items {
		if ports[i], err = port(index("spec.matches.ports", i), item); err != nil {
			return nil, err
		}
	}
	return ports, nil
}
