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
	matches     []*Matcher
	tree        *forest       // of the matches, where they are many
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
// none, so that no expression holds for it. by is the Matcher that a request is
// allowed by, nil where the caller may make every request.
func (g *Guard) Allows(s *Source, r Request, path []byte) (by *Matcher, ok bool) {
	if s.Trusted {
		return nil, true
	}
	for _, p := range s.principals {
		permit := g.permits[p]
		switch {
		case permit == nil:
		case r == nil:
			if permit.connections {
				return nil, true
			}
		case permit.requests:
			return nil, true
		default:
			if by = permit.match(r, path); by != nil {
				return by, true
			}
		}
	}
	return nil, false
}

// ReadsPaths tells whether it depends on the path what a caller may do.
func (g *Guard) ReadsPaths(s *Source) bool {
	return g.reads.Paths && slices.ContainsFunc(s.principals, func(p mesh.Principal) bool {
		permit := g.permits[p]
		return permit != nil && slices.ContainsFunc(permit.matches, func(m *Matcher) bool { return m.path != nil })
	})
}

// Still tells whether a caller may go on with a request that was allowed by a
// Matcher, perhaps of an earlier Table; or with one that nothing is known of,
// where by is nil.
func (g *Guard) Still(s *Source, by *Matcher) bool {
	if s.Trusted {
		return true
	}
	for _, p := range s.principals {
		permit := g.permits[p]
		if permit != nil && (permit.requests || by != nil && slices.ContainsFunc(permit.matches, by.same)) {
			return true
		}
	}
	return false
}

// match returns a Matcher that allows a request, nil for none.
func (p *permit) match(r Request, path []byte) *Matcher {
	if p.tree != nil {
		return p.tree.find(r, path)
	}
	return anyOf(p.matches, r, path)
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

// Enforces tells whether there is any Guard that refuses.
func (t *Table) Enforces() bool { return t.enforces }

// Guard returns what decides now about an endpoint, whether or not a port leads
// to it: nil where everybody may call it. p is the port that its calls came by.
func (t *Table) Guard(p *Port, endpoint netip.AddrPort) *Guard {
	for _, r := range p.Rules {
		for i := range r.Backends {
			if g, found := r.Backends[i].Cluster.guard(endpoint); found {
				return g
			}
		}
	}
	w := t.workloads[endpoint.Addr().Unmap()]
	key := keyOf(w, p.Access)
	key.service, key.port, key.transport = p.Number, endpoint.Port(), p.Transport
	if key.mode == mesh.AccessOff {
		return nil
	}
	if known, ok := t.guards[key]; ok {
		return known
	}
	c := compilation{table: t, expressions: &expressions{now: map[expressionKey]*pattern{}}, matchers: map[*mesh.RequestMatch]*Matcher{}}
	return c.newGuard(w, &key)
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
	key := keyOf(w, s.Access)
	key.service, key.port, key.transport = p.Number, e.Address.Port(), p.Transport
	if key.mode == mesh.AccessOff {
		return nil
	}
	g, ok := c.table.guards[key]
	if !ok {
		g = c.newGuard(w, &key)
		c.table.guards[key] = g
	}
	return g
}

// guard finds the Guard of one of the cluster's endpoints.
func (c *Cluster) guard(endpoint netip.AddrPort) (g *Guard, found bool) {
	at, found := slices.BinarySearchFunc(c.Endpoints, endpoint, func(e mesh.Endpoint, a netip.AddrPort) int { return e.Address.Compare(a) })
	if found && c.Guards != nil {
		g = c.Guards[at]
	}
	return g, found
}

// keyOf begins the key of a workload's endpoints; otherwise is the mode where w
// is nil.
func keyOf(w *mesh.Workload, otherwise mesh.AccessMode) guardKey {
	if w == nil {
		return guardKey{mode: otherwise}
	}
	key := guardKey{mode: w.Access, workload: true, account: mesh.Name{Namespace: w.Name.Namespace, Name: w.ServiceAccount}}
	for _, b := range w.Bindings {
		key.bindings += b.Name.Name + " "
	}
	return key
}

func (c *compilation) newGuard(w *mesh.Workload, key *guardKey) *Guard {
	g := &Guard{Mode: key.mode, Account: key.account, permits: map[mesh.Principal]*permit{}}
	if w != nil {
		for _, is := range w.Principals() {
			for _, grant := range c.table.grants[is] {
				c.permit(g, key, grant)
			}
		}
	}
	for _, p := range g.permits {
		g.reads.add(p.matches)
		if len(p.matches) > fewMatchers {
			p.tree = grow(p.matches)
		}
	}
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
	var matches []*Matcher
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
