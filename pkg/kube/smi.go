package kube

import (
	"context"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
)

// addSMI adds a kind of the Service Mesh Interface, whose CRD may come, go and
// change.
func (c *Cluster) addSMI(kind smi.Kind) {
	f := c.newFeed(kind.Group, kind.Kind)
	var current string
	var reflector *cache.Reflector
	f.open = func(ctx context.Context) (*cache.Reflector, error) {
		version, err := c.served(ctx, kind)
		if err != nil || version == "" {
			return nil, err
		}
		if version != current {
			client := c.config.Dynamic.Resource(kind.Resource(version))
			reflector = f.reflector(c.config.Dynamic, &unstructured.Unstructured{}, lister(client.List), client.Watch)
			current = version
		}
		return reflector, nil
	}
}

// served is the newest version of a kind that the API server serves, empty for
// none. An older one is looked for again from the newest on: the CRD may have
// come between the looks at two versions, and what is watched stays watched.
func (c *Cluster) served(ctx context.Context, kind smi.Kind) (string, error) {
	version, err := c.firstServed(ctx, kind)
	if err != nil || version == "" || version == kind.Versions[0] {
		return version, err
	}
	return c.firstServed(ctx, kind)
}

// firstServed looks once at each version, and ends at the first that is served.
// It asks for the objects, not for what is served: the right to read the
// objects is one that Weft has anyway.
func (c *Cluster) firstServed(ctx context.Context, kind smi.Kind) (string, error) {
	for _, version := range kind.Versions {
		client := c.config.Dynamic.Resource(kind.Resource(version))
		_, err := client.List(ctx, metav1.ListOptions{Limit: 1})
		switch {
		case err == nil:
			return version, nil
		case !apierrors.IsNotFound(err):
			return "", err
		}
	}
	return "", nil
}

// readSMI reads an object of the Service Mesh Interface. A split that cannot be
// read leaves traffic where it went. What says who may call whom is not held on
// to: a node that starts later would not know what was read before, and decide
// otherwise than the others.
func readSMI(o *unstructured.Unstructured) reading {
	switch o.GetKind() {
	case smi.HTTPRouteGroup:
		group, err := smi.DecodeHTTPRouteGroup(o)
		return rule(group.Ref, routeGroupPiece(group), err)
	case smi.TCPRoute:
		route, err := smi.DecodeTCPRoute(o)
		return rule(route.Ref, portRoutePiece(route), err)
	case smi.UDPRoute:
		route, err := smi.DecodeUDPRoute(o)
		return rule(route.Ref, portRoutePiece(route), err)
	case smi.TrafficTarget:
		target, err := smi.DecodeTrafficTarget(o)
		return rule(target.Ref, targetPiece(target), err)
	case smi.IdentityBinding:
		binding, err := smi.DecodeIdentityBinding(o)
		return rule(binding.Ref, bindingPiece(binding), err)
	}
	split, err := smi.DecodeTrafficSplit(o)
	if err != nil {
		return malformed(split.Ref, err)
	}
	return reading{ref: split.Ref, piece: splitPiece(split)}
}

// rule is the reading of an object that access rests on.
func rule(ref mesh.Ref, p piece, err error) reading {
	if err != nil {
		return reading{ref: ref, problem: &mesh.Problem{
			Object: ref, Reason: mesh.Malformed, Message: err.Error() + "; it grants nothing",
		}}
	}
	return reading{ref: ref, piece: p}
}
