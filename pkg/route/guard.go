package route

import (
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// Guard decides who may call endpoints of one kind: those of the same workload
// identity, port and mode.
type Guard struct {
	// Mode is what becomes of calls that are not allowed. It is never AccessOff.
	Mode mesh.AccessMode
	// Account is the ServiceAccount of the endpoints; the zero Name where they
	// are no live workload, which nobody may call.
	Account mesh.Name
	permits map[mesh.Principal]*permit
	reads   Reads
}

// permit is what the grants together allow one principal.
type permit struct {
	connections bool // anything but HTTP requests
	requests    bool // every HTTP request
	matches     []*matcher
	grants      []*mesh.Grant // that say so
}

// Source is who calls.
type Source struct {
	// Workload is the live pod that calls, nil for none.
	Workload *mesh.Workload
	// Trusted is true of callers that may do everything.
	Trusted bool
	// Disputed is true of an address that several pods claim: nobody's.
	Disputed   bool
	principals []mesh.Principal
}

// Unknown is true while nothing is known of a caller. It may be a pod that the
// watch has not told of yet.
func (s *Source) Unknown() bool { return s.Workload == nil && !s.Trusted && !s.Disputed }

// Source looks up who calls from an address. A pod is never trusted for its
// address, only an address that no pod claims.
func (t *Table) Source(ip netip.Addr) Source {
	ip = ip.Unmap().WithZone("")
	w, claimed := t.workloads[ip]
	if w != nil {
		return Source{Workload: w, principals: w.Principals()}
	}
	if claimed {
		return Source{Disputed: true}
	}
	return Source{Trusted: slices.ContainsFunc(t.trusted, func(p netip.Prefix) bool { return p.Contains(ip) })}
}

// Allows tells whether a caller may make a call: a request, or anything else
// where r is nil. path is the request's in its plain form; nil where it has
// none, so that no expression holds for it.
func (g *Guard) Allows(s *Source, r Request, path []byte) bool {
	if s.Trusted {
		return true
	}
	for _, p := range s.principals {
		permit := g.permits[p]
		switch {
		case permit == nil:
		case r == nil:
			if permit.connections {
				return true
			}
		case permit.requests || anyOf(permit.matches, r, path):
			return true
		}
	}
	return false
}

// Grants are those that allow a caller anything at the endpoints, each once.
func (g *Guard) Grants(s *Source) []*mesh.Grant {
	var out []*mesh.Grant
	for _, p := range s.principals {
		if permit := g.permits[p]; permit != nil {
			for _, grant := range permit.grants {
				if !slices.Contains(out, grant) {
					out = append(out, grant)
				}
			}
		}
	}
	return out
}

// guardKey tells the kinds of endpoints apart.
type guardKey struct {
	mode          mesh.AccessMode
	workload      bool
	account       mesh.Name
	bindings      string
	service, port uint16
	transport     mesh.Transport
}

// guards makes the Guards of a cluster's endpoints, in their order; nil where
// access is off for all of them.
func (c *compilation) guards(s *mesh.Service, p *mesh.Port, endpoints []mesh.Endpoint) []*Guard {
	if !c.guarded {
		return nil
	}
	out := make([]*Guard, len(endpoints))
	some := false
	for i := range endpoints {
		out[i] = c.guard(s, p, &endpoints[i])
		some = some || out[i] != nil
	}
	if !some {
		return nil
	}
	return out
}

// guard is the Guard of one endpoint. Its address alone tells whose it is, as
// for a caller: what a slice says of it anyone may have written. Only a pod on
// its node's network must be believed, for it has no address of its own.
func (c *compilation) guard(s *mesh.Service, p *mesh.Port, e *mesh.Endpoint) *Guard {
	ip := e.Address.Addr().Unmap()
	w, claimed := c.table.workloads[ip]
	if !claimed && e.Workload != nil && slices.Contains(e.Workload.IPs, ip) {
		w = e.Workload
	}
	key := guardKey{mode: s.Access, service: p.Number, port: e.Address.Port(), transport: p.Transport}
	if w != nil {
		key.mode, key.workload = w.Access, true
		key.account = mesh.Name{Namespace: w.Name.Namespace, Name: w.ServiceAccount}
		for _, b := range w.Bindings {
			key.bindings += b.Name.Name + " "
		}
	}
	if key.mode == mesh.AccessOff {
		return nil
	}
	if known, ok := c.guardsBy[key]; ok {
		return known
	}
	g := &Guard{Mode: key.mode, Account: key.account, permits: map[mesh.Principal]*permit{}}
	if w != nil {
		for _, is := range w.Principals() {
			for _, grant := range c.grants[is] {
				c.permit(g, &key, grant)
			}
		}
	}
	for _, p := range g.permits {
		g.reads.add(p.matches)
	}
	c.guardsBy[key] = g
	return g
}

// permit adds what a grant allows at a kind of endpoints.
func (c *compilation) permit(g *Guard, key *guardKey, grant *mesh.Grant) {
	ports := &grant.TCP
	if key.transport == mesh.UDP {
		ports = &grant.UDP
	}
	if grant.Port != 0 && grant.Port != key.port && grant.Port != key.service || !covers(ports, key) {
		return
	}
	requests := grant.Requests && key.transport == mesh.TCP
	var matches []*matcher
	if requests {
		matches = c.all(grant.Matches)
	}
	for _, source := range grant.Sources {
		to := g.permits[source]
		if to == nil {
			to = &permit{}
			g.permits[source] = to
		}
		to.grants = append(to.grants, grant)
		if !requests {
			to.connections, to.requests = true, true
		}
		for _, m := range matches {
			if !slices.Contains(to.matches, m) {
				to.matches = append(to.matches, m)
			}
		}
	}
}

// covers tells whether ports hold the pod's port or the Service's.
func covers(ports *mesh.Ports, key *guardKey) bool {
	return ports.All || slices.Contains(ports.Only, key.port) || slices.Contains(ports.Only, key.service)
}
