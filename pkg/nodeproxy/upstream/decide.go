package upstream

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Caller is who makes the calls of one connection. Address is required; the
// rest is looked up once for each Snapshot that decides. It belongs to one
// goroutine at a time.
type Caller struct {
	// Address is the client's: unmapped, without a zone.
	Address netip.Addr

	snapshot *Snapshot // the one that source is of; nil for none
	source   route.Source
	path     []byte // scratch
}

// Decision is what becomes of a call.
type Decision struct {
	// Cluster serves the call, nil where it is refused.
	Cluster *Cluster
	// By is what allows a request, for Proof; nil where nothing had to.
	By *route.Matcher
	// Reason and What say why it is refused: the word and a line for people.
	Reason Reason
	What   string
}

// Decide says what becomes of a call that arrives by a Route of a Snapshot: an
// HTTP request, or a connection or UDP session where request is nil. Each
// Decide takes a turn of the route's rotation. It allocates nothing for a call
// that is not refused.
func (c *Caller) Decide(s *Snapshot, r *Route, request route.Request) Decision {
	path, ok := c.read(r, request)
	if !ok {
		return ambiguous()
	}
	unit := Connections
	if request != nil {
		unit = Requests
	}
	cluster := r.choose(unit, request, path)
	if cluster == nil {
		return unserved()
	}
	serving := r.standIn(cluster)
	if serving != cluster {
		r.Policies.Count(telemetry.FailedOver)
	}
	return c.at(s, serving, request, path)
}

// standIn is the cluster that serves in the place of one: itself, or the
// failover's while only that has an endpoint that does not rest.
func (r *Route) standIn(cluster *Cluster) *Cluster {
	if r.failover != nil && !cluster.serves() && r.failover.serves() {
		return r.failover
	}
	return cluster
}

// read returns the path of a request in the form that rules see, where they
// look at paths. It is not ok where it has several readings and a rule could
// be evaded by that.
func (c *Caller) read(r *Route, request route.Request) (path []byte, ok bool) {
	if request == nil || !r.Port.Reads.Paths {
		return nil, true
	}
	plain, grown, ok := route.Plain(request.Path(), c.path)
	c.path = grown
	if ok {
		return plain, true
	}
	return nil, !r.Port.Plain
}

func ambiguous() Decision {
	return Decision{Reason: PathAmbiguous, What: "its path can be read in more than one way, and rules depend on it"}
}

func unserved() Decision {
	return Decision{Reason: NoBackend, What: "its route has no backend that takes traffic"}
}

// Mirror says which cluster gets a copy of a request that was allowed: none, or
// one that its caller may call, too.
func (c *Caller) Mirror(s *Snapshot, r *Route, request route.Request) Decision {
	if r.mirror == nil || rand.IntN(100) >= r.Policies.Spec.MirrorPercent {
		return Decision{}
	}
	path, ok := c.read(r, request)
	if !ok {
		return ambiguous()
	}
	return c.at(s, r.mirror, request, path)
}

// serves tells whether a cluster has an endpoint that does not rest.
func (c *Cluster) serves() bool {
	return !allRest(c.endpoints)
}

// at says what becomes of a call at one cluster.
func (c *Caller) at(s *Snapshot, cluster *Cluster, request route.Request, path []byte) Decision {
	switch {
	case cluster.looped:
		return Decision{Reason: Loop, What: "the endpoints of " + cluster.Service.String() + " are the mesh itself"}
	case cluster.Empty():
		return Decision{Reason: NoEndpoints, What: "nothing is ready to serve " + cluster.Service.String()}
	case cluster.open():
		return Decision{Cluster: cluster}
	}
	c.lookup(s)
	return c.pass(s, cluster, request, path)
}

// Connects tells whether the caller may open a connection for anything but
// requests at any endpoint of a Route. It takes no turn, and tells nobody.
func (c *Caller) Connects(s *Snapshot, r *Route) bool {
	if !r.Port.Guarded {
		return true
	}
	c.lookup(s)
	may := func(part *Cluster) bool {
		if part.guard == nil || part.guard.Mode != mesh.AccessEnforce {
			return true
		}
		_, ok := part.guard.Allows(&c.source, nil, nil)
		return ok
	}
	for i := range r.rules {
		for _, cluster := range r.rules[i].clusters {
			if len(cluster.parts) == 0 && may(cluster) || slices.ContainsFunc(cluster.parts, may) {
				return true
			}
		}
	}
	return false
}

// lookup finds out who calls, once for each Snapshot.
func (c *Caller) lookup(s *Snapshot) {
	if c.snapshot != s {
		c.snapshot, c.source = s, s.table.Source(c.Address)
	}
}

// pass finds the endpoints of a cluster that a call may reach. Where they
// differ in who may call them, the call goes to one kind that it may reach, each
// with the probability that its endpoints are chosen among all of these.
func (c *Caller) pass(s *Snapshot, cluster *Cluster, request route.Request, path []byte) Decision {
	if len(cluster.parts) == 0 {
		by, ok := cluster.guard.Allows(&c.source, request, path)
		if !ok {
			c.tell(s, cluster)
		}
		if !ok && cluster.guard.Mode == mesh.AccessEnforce {
			return c.denied(cluster, request, path)
		}
		return Decision{Cluster: cluster, By: by}
	}
	return c.passParts(s, cluster, request, path)
}

// passParts is pass for a cluster of several kinds of endpoints.
func (c *Caller) passParts(s *Snapshot, cluster *Cluster, request route.Request, path []byte) Decision {
	total, enforced, allowed := 0, false, false
	var chosen Decision
	for _, part := range cluster.parts {
		by, ok := (*route.Matcher)(nil), true
		if part.guard != nil {
			by, ok = part.guard.Allows(&c.source, request, path)
		}
		allowed = allowed || ok
		if !ok && part.guard.Mode == mesh.AccessEnforce {
			enforced = true
			continue
		}
		total += len(part.endpoints)
		if c.draw(cluster, total) < len(part.endpoints) {
			chosen = Decision{Cluster: part, By: by}
		}
	}
	if !allowed {
		c.tell(s, cluster.parts[0])
	}
	switch {
	case !enforced && request == nil:
		return Decision{Cluster: cluster}
	case chosen.Cluster == nil:
		return c.denied(cluster.parts[0], request, path)
	}
	return chosen
}

// draw returns a number below n: always the same for a client that is to stay
// with its endpoint.
func (c *Caller) draw(cluster *Cluster, n int) int {
	if !cluster.affinity {
		return rand.IntN(n)
	}
	ip := c.Address.As16()
	return int(hash(ip[:], uint64(n)) % uint64(n))
}

// denied refuses a call to endpoints of one kind.
func (c *Caller) denied(cluster *Cluster, request route.Request, path []byte) Decision {
	if request != nil && path == nil && cluster.guard.ReadsPaths(&c.source) {
		return ambiguous()
	}
	who := "endpoints that are no pods"
	if account := cluster.guard.Account; account != (mesh.Name{}) {
		who = "service account " + account.String()
	}
	return Decision{Reason: AccessDenied, What: "no TrafficTarget allows the caller to do this at " + who}
}

// tell tells of a call to endpoints of one kind that is not allowed.
func (c *Caller) tell(s *Snapshot, cluster *Cluster) {
	if s.denials != nil {
		s.denials.Denied(Denial{Source: c.source, Client: c.Address, Service: cluster.Service, Port: cluster.port, Guard: cluster.guard})
	}
}

// Denial is a call that no TrafficTarget allows.
type Denial struct {
	Source  route.Source
	Client  netip.Addr
	Service mesh.Name // that would have served it
	Port    uint16
	Guard   *route.Guard
}

// Denials is told of each call that is not allowed, also of those that pass
// because they are only audited.
type Denials interface{ Denied(Denial) }
