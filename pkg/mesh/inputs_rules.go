package mesh

import "time"

// NamespaceInput is what Weft reads of a Namespace.
type NamespaceInput struct {
	Ref Ref
	// Annotations of the weft.mesh/ prefix only.
	Annotations map[string]string
	// Policies are the defaults for the Services in it.
	Policies Policies
}

// RouteGroupInput is an HTTPRouteGroup of any version, decoded by package smi.
type RouteGroupInput struct {
	Ref      Ref
	Matches  []RequestMatch
	Problems []Problem
}

// RequestMatch is one match of an HTTPRouteGroup: all that it says must hold. A
// match that says nothing but its name holds for every request.
type RequestMatch struct {
	Name string `json:"name"`
	// Path is a regular expression (RE2) on the path, anchored at its start;
	// empty means any path.
	Path string `json:"path,omitempty"`
	// Methods are those that match, in upper case; empty means any, and so
	// does one that is "*".
	Methods []string      `json:"methods,omitempty"`
	Headers []HeaderMatch `json:"headers,omitempty"`
}

// HeaderMatch is what one request header must be: a regular expression (RE2)
// on the whole value.
type HeaderMatch struct {
	Name  string `json:"name"` // in lower case
	Value string `json:"value"`
}

// PortRouteInput is a TCPRoute or a UDPRoute of any version.
type PortRouteInput struct {
	Ref      Ref      // its Kind says which of both
	Ports    []uint16 // empty means all
	Problems []Problem
}

// TargetInput is a TrafficTarget of any version.
type TargetInput struct {
	Ref         Ref
	Created     time.Time
	Destination Subject
	Port        uint16 // v1alpha1 and v1alpha2 only; 0 means all
	Rules       []TargetRule
	Sources     []Subject
	Problems    []Problem
}

// Subject names workloads: those of a ServiceAccount, or those of an
// IdentityBinding. An empty Namespace was not written.
type Subject struct{ Kind, Namespace, Name string }

// TargetRule refers to an HTTPRouteGroup, a TCPRoute or a UDPRoute in the
// target's namespace.
type TargetRule struct {
	Kind, Name string
	Matches    []string // of an HTTPRouteGroup; empty means all of them
}

// BindingInput is an IdentityBinding (access v1alpha4): workloads of its own
// namespace that are any of what it says.
type BindingInput struct {
	Ref            Ref
	ServiceAccount string            // empty means none
	PodLabels      map[string]string // all must be on the pod; empty means none
	SPIFFE         []string
	Problems       []Problem
}
