package upstream

import (
	"net/netip"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// Proof is why a call was allowed.
type Proof struct {
	// Request is true of an HTTP request.
	Request bool
	// By is what allows the request; nil where nothing had to.
	By *route.Matcher
}

// Holds tells whether a call that goes to an endpoint, and was allowed by an
// earlier Snapshot, is still allowed: what a request said is not known any more,
// so that it must be allowed by the same Matcher, or whatever it says. Whoever
// asks after it began what it asks about misses no Snapshot.
func (s *Snapshot) Holds(at Key, client netip.Addr, e *Endpoint, proof Proof) bool {
	if !s.table.Enforces() {
		return true
	}
	r := s.routes[at]
	if r == nil {
		// Whose it was is not known any more: none but a pod that says so is open.
		r = &Route{Port: &route.Port{Transport: at.Transport, Access: mesh.AccessEnforce}}
	}
	g := s.table.Guard(r.Port, e.Address)
	if g == nil || g.Mode != mesh.AccessEnforce {
		return true
	}
	source := s.table.Source(client)
	if proof.Request {
		return g.Still(&source, proof.By)
	}
	_, ok := g.Allows(&source, nil, nil)
	return ok
}
