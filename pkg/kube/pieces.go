package kube

import (
	"reflect"
	"strconv"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
)

type (
	servicePiece mesh.ServiceInput
	slicePiece   mesh.SliceInput
	podPiece     mesh.PodInput
	splitPiece   mesh.SplitInput
	// The kinds that access rests on.
	routeGroupPiece mesh.RouteGroupInput
	portRoutePiece  mesh.PortRouteInput
	targetPiece     mesh.TargetInput
	bindingPiece    mesh.BindingInput
	namespacePiece  mesh.NamespaceInput
	// zonePiece is the zone of this process's node, as a slice says it.
	zonePiece string
	caPiece   mesh.CAInput
	// endpointsPiece has one entry per subset of an Endpoints object.
	endpointsPiece []mesh.SliceInput
	// frontendPiece is a shadow Service, kept under the Service it stands for.
	frontendPiece struct {
		service  mesh.Name
		frontend mesh.Frontend
	}
)

func (p servicePiece) put(in *mesh.Inputs, name mesh.Name) {
	in.Services[name] = mesh.ServiceInput(p)
}
func (p servicePiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Services, name) }

func (p slicePiece) put(in *mesh.Inputs, name mesh.Name)  { in.Slices[name] = mesh.SliceInput(p) }
func (p slicePiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Slices, name) }

func (p podPiece) put(in *mesh.Inputs, name mesh.Name)  { in.Pods[name] = mesh.PodInput(p) }
func (p podPiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Pods, name) }

func (p splitPiece) put(in *mesh.Inputs, name mesh.Name)  { in.Splits[name] = mesh.SplitInput(p) }
func (p splitPiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Splits, name) }

func (p routeGroupPiece) put(in *mesh.Inputs, name mesh.Name) {
	in.RouteGroups[name] = mesh.RouteGroupInput(p)
}
func (p routeGroupPiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.RouteGroups, name) }

func (p portRoutePiece) put(in *mesh.Inputs, name mesh.Name) {
	p.of(in)[name] = mesh.PortRouteInput(p)
}
func (p portRoutePiece) drop(in *mesh.Inputs, name mesh.Name) { delete(p.of(in), name) }

// of is where routes of its kind are.
func (p portRoutePiece) of(in *mesh.Inputs) map[mesh.Name]mesh.PortRouteInput {
	if p.Ref.Kind == smi.UDPRoute {
		return in.UDPRoutes
	}
	return in.TCPRoutes
}

func (p targetPiece) put(in *mesh.Inputs, name mesh.Name)  { in.Targets[name] = mesh.TargetInput(p) }
func (p targetPiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Targets, name) }

func (p bindingPiece) put(in *mesh.Inputs, name mesh.Name) {
	in.Bindings[name] = mesh.BindingInput(p)
}
func (p bindingPiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Bindings, name) }

func (p namespacePiece) put(in *mesh.Inputs, name mesh.Name) {
	in.Namespaces[name.Name] = mesh.NamespaceInput(p)
}
func (p namespacePiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Namespaces, name.Name) }

func (p zonePiece) put(in *mesh.Inputs, name mesh.Name)  { in.Zones[name] = string(p) }
func (p zonePiece) drop(in *mesh.Inputs, name mesh.Name) { delete(in.Zones, name) }
func (p caPiece) put(in *mesh.Inputs, name mesh.Name)    { in.CAs[name] = mesh.CAInput(p) }
func (p caPiece) drop(in *mesh.Inputs, name mesh.Name)   { delete(in.CAs, name) }

func (p endpointsPiece) put(in *mesh.Inputs, name mesh.Name) {
	for i, subset := range p {
		in.Endpoints[subsetName(name, i)] = subset
	}
}

func (p endpointsPiece) drop(in *mesh.Inputs, name mesh.Name) {
	for i := range p {
		delete(in.Endpoints, subsetName(name, i))
	}
}

// subsetName is the object's own name for the first subset; the others get
// names that no object can have.
func subsetName(name mesh.Name, i int) mesh.Name {
	if i > 0 {
		name.Name += "/" + strconv.Itoa(i)
	}
	return name
}

func (p frontendPiece) put(in *mesh.Inputs, _ mesh.Name) { in.Frontends[p.service] = p.frontend }

// drop leaves the frontend of another shadow Service that has taken over.
func (p frontendPiece) drop(in *mesh.Inputs, _ mesh.Name) {
	if reflect.DeepEqual(in.Frontends[p.service], p.frontend) {
		delete(in.Frontends, p.service)
	}
}
