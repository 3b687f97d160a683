package mesh

import (
	"net/netip"
	"time"
)

// Inputs are the objects a Mesh is built from, each trimmed at the edge to what
// Weft reads. One goroutine owns them. Make them with NewInputs; the zero value
// may be read, not written to.
type Inputs struct {
	Services  map[Name]ServiceInput
	Slices    map[Name]SliceInput
	Endpoints map[Name]SliceInput // the subsets of the old Endpoints objects, by names of their own; used where a Service has no slice
	Pods      map[Name]PodInput
	Splits    map[Name]SplitInput
	// RouteGroups, TCPRoutes and UDPRoutes say which calls are meant; Targets
	// who may make them; Bindings who that is.
	RouteGroups map[Name]RouteGroupInput
	TCPRoutes   map[Name]PortRouteInput
	UDPRoutes   map[Name]PortRouteInput
	Targets     map[Name]TargetInput
	Bindings    map[Name]BindingInput
	Namespaces  map[string]NamespaceInput
	// CAs are those of the Secrets that policies name, by the Secret.
	CAs map[Name]CAInput
	// Access is set by whoever owns the Inputs, before the first build.
	Access AccessSettings
	// Frontends say where each meshed Service is reached, by the Service's name.
	Frontends map[Name]Frontend
	// Zones say in which zone this process's node is, by the slices of Weft's
	// own that say so; none where it is not known.
	Zones map[Name]string
	// Own is what is Weft itself.
	Own OwnSettings
	// Problems of objects that could not be read at all, by object.
	Problems map[Ref]Problem
}

// NewInputs returns Inputs with empty maps.
func NewInputs() *Inputs {
	return &Inputs{
		Services:    map[Name]ServiceInput{},
		Slices:      map[Name]SliceInput{},
		Endpoints:   map[Name]SliceInput{},
		Pods:        map[Name]PodInput{},
		Splits:      map[Name]SplitInput{},
		RouteGroups: map[Name]RouteGroupInput{},
		TCPRoutes:   map[Name]PortRouteInput{},
		UDPRoutes:   map[Name]PortRouteInput{},
		Targets:     map[Name]TargetInput{},
		Bindings:    map[Name]BindingInput{},
		Namespaces:  map[string]NamespaceInput{},
		CAs:         map[Name]CAInput{},
		Frontends:   map[Name]Frontend{},
		Zones:       map[Name]string{},
		Problems:    map[Ref]Problem{},
	}
}

// Change is one step of a source.
type Change struct {
	// Apply edits the Inputs. It is called once, by the goroutine that owns
	// them, and keeps no reference to them. The values that it puts in are
	// never edited afterwards. Nil changes nothing.
	Apply func(*Inputs)
	// Synced is set on the change that completes the source's first full picture.
	Synced bool
}

// ServiceInput is what Weft reads of a Kubernetes Service.
type ServiceInput struct {
	Ref      Ref
	Ports    []ServicePort
	External bool // type ExternalName: not meshed
	// Annotations of the weft.mesh/ prefix only.
	Annotations map[string]string
	// Policies are what its annotations say, decoded by package annotations.
	Policies Policies
	// Affinity is sessionAffinity: ClientIP.
	Affinity bool
}

// Name of the Service.
func (s *ServiceInput) Name() Name { return Name{Namespace: s.Ref.Namespace, Name: s.Ref.Name} }

// ServicePort is one port of a Service. Its target is known from the slices only.
type ServicePort struct {
	Name        string
	Number      uint16
	Transport   Transport
	Unsupported bool   // neither TCP nor UDP (SCTP)
	AppProtocol string // empty where none is set
}

// SliceInput is what Weft reads of an EndpointSlice, or of an Endpoints subset.
type SliceInput struct {
	Service   Name
	Ports     []SlicePort
	Endpoints []SliceEndpoint
}

// SlicePort is one resolved port of a slice, joined with a Service's port by
// name and transport.
type SlicePort struct {
	Name      string
	Number    uint16
	Transport Transport
}

// SliceEndpoint is one address of a slice. The conditions are resolved: a nil
// condition was replaced by its documented default.
type SliceEndpoint struct {
	Address     netip.Addr
	Ready       bool
	Serving     bool
	Terminating bool
	Node, Zone  string
	ForZones    []string // that its hints mean it for; empty where they say nothing
	Pod         string   // name of the pod in the Service's namespace; empty where there is none
}

// PodInput is what Weft reads of a Pod: who a source address is.
type PodInput struct {
	IPs            []netip.Addr
	ServiceAccount string
	Labels         map[string]string
	Node           string
	OwnerKind      string // Deployment, StatefulSet, …; Pod where nothing owns it
	OwnerName      string
	HostNetwork    bool
	Finished       bool // Succeeded or Failed: its IP is no longer its own
	Created        time.Time
}

// SplitInput is a TrafficSplit of any version, decoded by package smi.
type SplitInput struct {
	Ref      Ref
	Created  time.Time
	Root     string // spec.service as written
	Backends []SplitBackend
	Matches  []Ref // HTTPRouteGroups; empty means all traffic
	Problems []Problem
}

// SplitBackend is one backend of a split. Weight counts thousandths, so that
// the quantities of v1alpha1 ("500m") keep their ratio; it is never negative.
type SplitBackend struct {
	Service string
	Weight  int64
}

// Frontend is where a meshed Service is reached: its mesh addresses and, per
// Service port, the address the proxy listens on. An unspecified IP means all
// of the proxy's addresses.
type Frontend struct {
	Addresses []netip.Addr
	Ports     []FrontendPort
}

// FrontendPort joins a Service's port to a listening address.
type FrontendPort struct {
	Number    uint16
	Transport Transport
	Listen    netip.AddrPort
}
