package mesh

import (
	"net/netip"
	"time"
)

// Mesh is the whole picture: which Services are meshed, where they are reached
// and by what they are served; who the workloads are; what is wrong. Everything
// is sorted; nothing in it is edited after Build has returned it.
type Mesh struct {
	Services  []*Service  `json:"services"`
	Workloads []*Workload `json:"workloads"`
	Access    Access      `json:"access"`
	Guards    []*Guard    `json:"guards,omitempty"` // the guarded namespaces
	Problems  []Problem   `json:"problems"`
}

// Service is one meshed Service.
type Service struct {
	Name      Name         `json:"name"`
	Addresses []netip.Addr `json:"addresses"` // mesh addresses
	Ports     []*Port      `json:"ports"`     // by number, then transport; those with a listener only
	Access    AccessMode   `json:"access"`    // of its endpoints that are no workload
}

// Port is one port of a meshed Service: where it is listened for and what
// becomes of its calls.
type Port struct {
	Name      string         `json:"name,omitempty"`
	Number    uint16         `json:"number"`
	Transport Transport      `json:"transport"`
	Protocol  Protocol       `json:"protocol"` // of a TCP port
	Listen    netip.AddrPort `json:"listen"`
	// Affinity keeps a client's address on one endpoint (sessionAffinity: ClientIP).
	Affinity bool `json:"affinity,omitempty"`
	// Endpoints are the Service's own: the ready ones or, when there are none,
	// the terminating ones that still serve. By address.
	Endpoints []Endpoint `json:"endpoints"`
	// Looped is true where there is none because all lead back to the mesh.
	Looped bool `json:"looped,omitempty"`
	// Policy is what is done for its calls; nil where nothing is configured.
	Policy *Policy `json:"policy,omitempty"`
	// TLS is how its endpoints, and all others that its calls go to, are spoken
	// to; nil for none.
	TLS *TLS `json:"tls,omitempty"`
	// Failover serves calls while nothing else can; nil for none. Mirror is sent
	// copies of requests; nil for none.
	Failover *Backend `json:"failover,omitempty"`
	Mirror   *Backend `json:"mirror,omitempty"`
	// Routes are asked in this order; the first that means a call has it. What
	// none means goes to the Endpoints.
	Routes []*Route `json:"routes,omitempty"`
}

// Route sends the calls that it means to weighted backends. No backend means
// that each of them is refused.
type Route struct {
	Origin Ref `json:"origin"` // the object that asks for it
	// Matches say which requests are meant: those that any holds for. None
	// means all. They say nothing about calls that are no HTTP requests: these
	// are meant always.
	Matches  []*RequestMatch `json:"matches,omitempty"`
	Backends []Backend       `json:"backends"`
}

// Backend is one Service behind a Route with its share and its endpoints on the
// routed port. A weight of 0 takes no traffic.
type Backend struct {
	Service   Name       `json:"service"`
	Weight    int64      `json:"weight"` // relative; thousandths of what the split says
	Endpoints []Endpoint `json:"endpoints"`
	Looped    bool       `json:"looped,omitempty"` // as a Port's
}

// Endpoint is one address that serves a port.
type Endpoint struct {
	Address netip.AddrPort `json:"address"`
	Node    string         `json:"node,omitempty"`
	Zone    string         `json:"zone,omitempty"`
	// Near is true where hints mean it for callers of this process's zone; it is
	// false of all endpoints of a port where not all have hints.
	Near     bool      `json:"near,omitempty"`
	Workload *Workload `json:"-"` // nil where no live pod holds the address
}

// Workload is a live pod as the mesh sees it.
type Workload struct {
	Name           Name         `json:"name"`
	IPs            []netip.Addr `json:"ips"`
	ServiceAccount string       `json:"serviceAccount"`
	Bindings       []Principal  `json:"bindings,omitempty"` // the IdentityBindings it is in, by name
	Access         AccessMode   `json:"access"`             // of calls that it is the destination of
	Node           string       `json:"node,omitempty"`
	OwnerKind      string       `json:"ownerKind"` // Deployment, StatefulSet, …; Pod where nothing owns it
	OwnerName      string       `json:"ownerName"`
	Created        time.Time    `json:"created"`
}
