package upstream

import (
	"net/netip"
	"sync"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// Set is the state that outlives Tables. Its zero value is empty and ready.
type Set struct {
	// Denials, where set, is told what is not allowed. It must be set before the
	// first Bind.
	Denials Denials

	system system

	mu         sync.Mutex // guards the rest
	epoch      time.Time  // since when latencies are timed: the first Bind
	endpoints  map[endpointKey]*Endpoint
	securities map[mesh.TLS]*security
	rotations  map[string]*rotation
	policies   map[policyKey]*Policies
}

// endpointKey names an endpoint over all Tables. One address may be spoken to in
// several ways, by Services that say so: connections of one way are not used for
// another.
type endpointKey struct {
	address netip.AddrPort
	tls     *security
}

// Key is a listening address with its transport.
type Key struct {
	Listen    netip.AddrPort
	Transport mesh.Transport
}

// Snapshot is a Table with the state of what it names.
type Snapshot struct {
	table   *route.Table
	routes  map[Key]*Route
	denials Denials
	// replaced is closed once another Snapshot decides.
	replaced chan struct{}
}

// Route is one port of the Table with its state.
type Route struct {
	Port *route.Port
	// Policies are those of the port; nil where nothing is configured.
	Policies *Policies
	failover *Cluster // nil for none
	mirror   *Cluster // nil for none
	rules    []rule   // as in Port.Rules
}

// rule is a route.Rule with its state.
type rule struct {
	*route.Rule
	rotation *rotation
	clusters []*Cluster // as in Backends
}

// Cluster is a set of endpoints with their state.
type Cluster struct {
	Service   mesh.Name
	port      uint16
	affinity  bool
	looped    bool // without endpoints, for all would lead back to the mesh
	endpoints []*Endpoint
	near, far []*Endpoint  // the endpoints that hints mean for this zone, and the others; nil where one of both would be empty
	policies  *Policies    // of the port that leads to it
	guard     *route.Guard // who may call them, nil for everybody; of no use where there are parts
	parts     []*Cluster   // the endpoints by their guards, where they have several
}

// Bind joins a Table with what is known of its endpoints and forgets those that
// it does not name; they are returned as gone. The Snapshot of the Table before
// stays usable for what still holds it. Where two ports claim one listening
// address, the first in the Table's order has it.
func (s *Set) Bind(t *route.Table) (snapshot *Snapshot, gone []*Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch.IsZero() {
		s.epoch = time.Now()
	}
	b := binder{
		old: s, endpoints: make(map[endpointKey]*Endpoint, len(s.endpoints)), rotations: make(map[string]*rotation, len(s.rotations)),
		policies: map[policyKey]*Policies{}, securities: map[mesh.TLS]*security{}, connect: map[*Endpoint]time.Duration{}, idle: map[*Endpoint]time.Duration{},
	}
	snapshot = &Snapshot{table: t, denials: s.Denials, replaced: make(chan struct{}), routes: make(map[Key]*Route, len(t.Ports()))}
	for _, p := range t.Ports() {
		key := Key{Listen: p.Listen, Transport: p.Transport}
		if _, taken := snapshot.routes[key]; !taken {
			snapshot.routes[key] = b.route(p)
		}
	}
	for key, e := range s.endpoints {
		if _, kept := b.endpoints[key]; !kept {
			e.gone.Store(true)
			gone = append(gone, e)
		}
	}
	for _, e := range b.endpoints {
		if said := int64(b.connect[e]); said != e.connect.Load() {
			e.connect.Store(said)
		}
		if said := int64(b.idle[e]); said != e.idle.Load() {
			e.idle.Store(said)
		}
	}
	s.endpoints, s.securities, s.rotations, s.policies = b.endpoints, b.securities, b.rotations, b.policies
	return snapshot, gone
}

// binder is the scratch of one Bind: what the new Table names.
type binder struct {
	old        *Set
	endpoints  map[endpointKey]*Endpoint
	securities map[mesh.TLS]*security
	rotations  map[string]*rotation
	policies   map[policyKey]*Policies
	connect    map[*Endpoint]time.Duration // how long attempts to connect may take
	idle       map[*Endpoint]time.Duration // how long unused connections are kept
}

func (b *binder) route(p *route.Port) *Route {
	r := &Route{Port: p, rules: make([]rule, len(p.Rules)), Policies: b.policiesOf(p)}
	for i, from := range p.Rules {
		to := &r.rules[i]
		to.Rule, to.rotation = from, b.rotation(from)
		for j := range from.Backends {
			to.clusters = append(to.clusters, b.cluster(r, from.Backends[j].Cluster))
		}
	}
	if p.Failover != nil {
		r.failover = b.cluster(r, p.Failover)
	}
	if p.Mirror != nil {
		r.mirror = b.cluster(r, p.Mirror)
	}
	return r
}

func (b *binder) cluster(r *Route, from *route.Cluster) *Cluster {
	p := r.Port
	c := &Cluster{Service: from.Service, port: p.Number, affinity: p.Affinity, looped: from.Looped, endpoints: make([]*Endpoint, len(from.Endpoints)), policies: r.Policies}
	tls := b.security(p.TLS)
	for i := range from.Endpoints {
		c.endpoints[i] = b.endpoint(endpointKey{from.Endpoints[i].Address, tls})
		c.endpoints[i].workload.Store(from.Endpoints[i].Workload)
		b.limit(c.endpoints[i], p.Policy)
	}
	c.divide(from.Endpoints)
	if len(from.Guards) == 0 {
		return c
	}
	parts, endpoints := map[*route.Guard]*Cluster{}, map[*Cluster][]mesh.Endpoint{}
	for i, guard := range from.Guards {
		part := parts[guard]
		if part == nil {
			part = &Cluster{Service: c.Service, port: c.port, affinity: c.affinity, policies: c.policies, guard: guard}
			parts[guard] = part
			c.parts = append(c.parts, part)
		}
		part.endpoints = append(part.endpoints, c.endpoints[i])
		endpoints[part] = append(endpoints[part], from.Endpoints[i])
	}
	for _, part := range c.parts {
		part.divide(endpoints[part])
	}
	if len(c.parts) == 1 {
		return c.parts[0]
	}
	return c
}

func (b *binder) endpoint(key endpointKey) *Endpoint {
	e, ok := b.endpoints[key]
	if !ok {
		if e, ok = b.old.endpoints[key]; !ok {
			e = newEndpoint(key, &b.old.epoch)
			if b.old.endpoints != nil {
				e.joined = max(int64(time.Since(b.old.epoch)), 1)
			}
		}
		b.endpoints[key] = e
	}
	return e
}

func (b *binder) rotation(rule *route.Rule) *rotation {
	r, ok := b.rotations[rule.Key]
	if !ok {
		if r, ok = b.old.rotations[rule.Key]; !ok {
			r = newRotation(len(rule.Backends))
		}
		b.rotations[rule.Key] = r
	}
	return r
}

// Route returns what becomes of calls that arrive at a listening address, nil
// where the Table no longer names it.
func (s *Snapshot) Route(k Key) *Route { return s.routes[k] }

// Replace tells those who wait for it that another Snapshot decides now. It is
// called once.
func (s *Snapshot) Replace() { close(s.replaced) }

// Replaced is closed by Replace.
func (s *Snapshot) Replaced() <-chan struct{} { return s.replaced }

// Enforces tells whether any call may be refused for want of access.
func (s *Snapshot) Enforces() bool { return s.table.Enforces() }

// Unknown tells whether a caller is refused at a listening address only because
// nothing is known of it.
func (s *Snapshot) Unknown(at Key, client netip.Addr) bool {
	r := s.routes[at]
	if r == nil || !r.Port.Guarded {
		return false
	}
	source := s.table.Source(client)
	return source.Unknown()
}

// Source names who owns the workload at a client's address: its namespace and
// the Deployment, StatefulSet, … The zero Name means nobody known.
func (s *Snapshot) Source(client netip.Addr) mesh.Name {
	w := s.table.Workload(client)
	if w == nil {
		return mesh.Name{}
	}
	return mesh.Name{Namespace: w.Name.Namespace, Name: w.OwnerName}
}

// choose returns the cluster whose turn it is of the rule that means a call, and
// takes its rotation one step on; nil where the rule has no backend.
func (r *Route) choose(u Unit, request route.Request, path []byte) *Cluster {
	rule := r.rule(request, path)
	if len(rule.clusters) == 0 {
		return nil
	}
	return rule.clusters[rule.rotation.next(u, rule.Backends)]
}

// rule returns the rule that means a call; the last means every call.
func (r *Route) rule(request route.Request, path []byte) *rule {
	last := len(r.rules) - 1
	for i := range last {
		if r.rules[i].Means(request, path) {
			return &r.rules[i]
		}
	}
	return &r.rules[last]
}

// Empty is true of a cluster without endpoints.
func (c *Cluster) Empty() bool { return len(c.endpoints) == 0 }

// open is true of a cluster that everybody may call.
func (c *Cluster) open() bool { return c.guard == nil && len(c.parts) == 0 }
