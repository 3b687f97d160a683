package smi

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The API groups of the Service Mesh Interface whose objects Weft reads. Kinds
// of the same name in other groups (TCPRoute of gateway.networking.k8s.io) are
// other kinds.
const (
	AccessGroup = "access.smi-spec.io"
	SpecsGroup  = "specs.smi-spec.io"
	SplitGroup  = "split.smi-spec.io"
)

// The kinds.
const (
	TrafficSplit    = "TrafficSplit"
	TrafficTarget   = "TrafficTarget"
	IdentityBinding = "IdentityBinding"
	HTTPRouteGroup  = "HTTPRouteGroup"
	TCPRoute        = "TCPRoute"
	UDPRoute        = "UDPRoute"
)

// Kind is one kind of objects.
type Kind struct {
	Group, Kind, Plural string
	Versions            []string // that Weft reads, newest first
}

// Kinds are all kinds that Weft reads, always in the same order.
func Kinds() []Kind {
	newest := func(n int) []string { return []string{"v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"}[:n] }
	return []Kind{
		{SplitGroup, TrafficSplit, "trafficsplits", newest(4)},
		{SpecsGroup, HTTPRouteGroup, "httproutegroups", newest(4)},
		{SpecsGroup, TCPRoute, "tcproutes", newest(4)},
		{SpecsGroup, UDPRoute, "udproutes", newest(1)},
		{AccessGroup, TrafficTarget, "traffictargets", newest(4)},
		{AccessGroup, IdentityBinding, "identitybindings", newest(1)},
	}
}

// Lookup finds a kind by its group and name.
func Lookup(group, kind string) (Kind, bool) {
	kinds := Kinds()
	at := slices.IndexFunc(kinds, func(k Kind) bool { return k.Group == group && k.Kind == kind })
	if at < 0 {
		return Kind{}, false
	}
	return kinds[at], true
}

// Owns tells whether all kinds of an API group are known to Kinds.
func Owns(group string) bool {
	return slices.ContainsFunc(Kinds(), func(k Kind) bool { return k.Group == group })
}

// Resource is the resource of the kind in one version.
func (k Kind) Resource(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: version, Resource: k.Plural}
}
