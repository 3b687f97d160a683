// Package route compiles a Mesh into a Table: what one node proxy looks up for
// each connection and each request.
//
//	table := route.Compile(m)
//
// A Table is immutable. Everything that changes while traffic flows (pools,
// health, the position of a weighted rotation) lives in the data plane, keyed by
// what the Table names, so that a new Table forgets nothing.
package route

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// Table answers, without a lock: which ports to listen on, what a port's calls
// become, and which workload holds an address.
type Table struct {
	ports     []*Port                       // by listening address, then transport
	workloads map[netip.Addr]*mesh.Workload // nil for an address that several claim
	trusted   []netip.Prefix
	enforces  bool // somebody is refused somewhere, perhaps
	grants    map[mesh.Principal][]*mesh.Grant
	guards    map[guardKey]*Guard
}

// Port is one listening port and what becomes of its calls. It alone tells
// which Service a call is for, whatever the protocol or Host.
type Port struct {
	Service   mesh.Name
	Number    uint16 // the Service's port, not the listening one
	Transport mesh.Transport
	Protocol  mesh.Protocol
	Listen    netip.AddrPort
	// Affinity keeps a client address on one endpoint of a cluster.
	Affinity bool
	// Policy is what is done for its calls; nil where nothing is configured.
	Policy *mesh.Policy
	// TLS is how all endpoints are spoken to; nil for none.
	TLS *mesh.TLS
	// Failover serves calls while no other cluster can, and Mirror gets copies
	// of requests; nil for none.
	Failover, Mirror *Cluster
	// Rules are asked in this order; the first that means a call has it. The
	// last means every call.
	Rules []*Rule
	// Reads says what the Rules and their Guards look at.
	Reads Reads
	// Plain is true where a request whose path can be read in more than one way
	// must be refused: its endpoint could read it otherwise than the Rules do. The
	// Guards see to themselves: no expression of theirs holds for such a path.
	Plain bool
	// Guarded is true where a call of someone unknown is refused.
	Guarded bool
	// Access holds for endpoints that are no pod, also after they have left.
	Access mesh.AccessMode
}

// Rule shares calls out to clusters by weight. Weights are reduced by their
// greatest common divisor; none is zero. A Rule without backends refuses every
// call.
type Rule struct {
	// Key names the Rule over all Tables: two Rules with one Key share calls
	// out in the same way, so a rotation may go on from one to the other.
	Key      string
	Backends []Backend
	// Route is what asks for the Rule, nil for the Service's own endpoints.
	Route   *mesh.Route
	all     bool // it means every call
	matches []*Matcher
}

// Means tells whether the Rule is for a call: a request, or anything else where
// r is nil. path is the request's in its plain form, nil where it has none.
func (r *Rule) Means(q Request, path []byte) bool {
	return r.all || q != nil && anyOf(r.matches, q, path) != nil
}

// Backend is a cluster with its share.
type Backend struct {
	Weight  int64
	Cluster *Cluster
}

// Cluster is the set of endpoints that serves one port of one Service.
type Cluster struct {
	Service   mesh.Name
	Port      uint16
	Endpoints []mesh.Endpoint // by address; may be empty
	Looped    bool            // empty, for all would lead back to the mesh
	// Guards decide who may call the Endpoints, one for each, nil for one that
	// everybody may; nil where that is so for all of them.
	Guards []*Guard
}

// Compiler compiles one Mesh after the other and keeps what need not be compiled
// again. Its zero value is ready; it belongs to one goroutine.
type Compiler struct{ expressions expressions }

// Compile builds the Table of a Mesh.
func Compile(m *mesh.Mesh) *Table { return new(Compiler).Compile(m) }

// compilation is the scratch of one Compile.
type compilation struct {
	table       *Table
	expressions *expressions
	matchers    map[*mesh.RequestMatch]*Matcher
	guarded     bool // access is not off everywhere
}

// Compile builds the Table of a Mesh. The Table depends on nothing else, and it
// takes O(n).
func (compiler *Compiler) Compile(m *mesh.Mesh) *Table {
	compiler.expressions.turn()
	t := &Table{workloads: make(map[netip.Addr]*mesh.Workload, len(m.Workloads)), trusted: m.Access.Trusted}
	c := compilation{table: t, expressions: &compiler.expressions, matchers: map[*mesh.RequestMatch]*Matcher{}}
	disputed := map[netip.Addr]time.Time{}
	for _, w := range m.Workloads {
		for _, ip := range w.IPs {
			t.claim(ip.Unmap(), w, disputed)
		}
	}
	c.indexGrants(m)
	for _, s := range m.Services {
		for _, p := range s.Ports {
			t.ports = append(t.ports, c.port(s, p))
		}
	}
	slices.SortStableFunc(t.ports, func(p, q *Port) int {
		if c := p.Listen.Compare(q.Listen); c != 0 {
			return c
		}
		return int(p.Transport) - int(q.Transport)
	})
	return t
}

// claim gives an address to the youngest pod that says it holds it: an address
// is reused only after its former pod is gone, though the news of that may come
// late. Of two pods of one age neither is believed; disputed says how old they are.
func (t *Table) claim(ip netip.Addr, w *mesh.Workload, disputed map[netip.Addr]time.Time) {
	held, taken := t.workloads[ip]
	last := disputed[ip]
	if held != nil {
		last = held.Created
	}
	switch {
	case !taken || w.Created.After(last):
		t.workloads[ip] = w
	case w.Created.Equal(last):
		t.workloads[ip], disputed[ip] = nil, last
	}
}

// Ports returns all ports by listening address, then transport. The slice is
// the Table's own.
func (t *Table) Ports() []*Port { return t.ports }

// Workload returns the live pod that holds an address, nil for nobody.
func (t *Table) Workload(ip netip.Addr) *mesh.Workload { return t.workloads[ip.Unmap()] }

// indexGrants groups the Grants by destination, where anyone asks for them.
func (c *compilation) indexGrants(m *mesh.Mesh) {
	strictest := mesh.AccessOff
	for _, s := range m.Services {
		strictest = max(strictest, s.Access)
	}
	for _, w := range m.Workloads {
		strictest = max(strictest, w.Access)
	}
	c.guarded, c.table.enforces = strictest != mesh.AccessOff, strictest == mesh.AccessEnforce
	if !c.guarded {
		return
	}
	c.table.guards = map[guardKey]*Guard{}
	c.table.grants = make(map[mesh.Principal][]*mesh.Grant, len(m.Access.Grants))
	for _, g := range m.Access.Grants {
		c.table.grants[g.Destination] = append(c.table.grants[g.Destination], g)
	}
}

// other compiles a further Service that a port's policies name, nil for none.
func (c *compilation) other(s *mesh.Service, p *mesh.Port, b *mesh.Backend) *Cluster {
	if b == nil {
		return nil
	}
	return &Cluster{Service: b.Service, Port: p.Number, Endpoints: b.Endpoints, Looped: b.Looped, Guards: c.guards(s, p, b.Endpoints)}
}

func (c *compilation) port(s *mesh.Service, p *mesh.Port) *Port {
	out := &Port{
		Service: s.Name, Number: p.Number, Transport: p.Transport,
		Protocol: p.Protocol, Listen: p.Listen, Affinity: p.Affinity, Policy: p.Policy, TLS: p.TLS, Access: s.Access,
	}
	key := s.Name.String() + ":" + strconv.Itoa(int(p.Number)) + "/" + p.Transport.String()
	for _, r := range p.Routes {
		out.Rules = append(out.Rules, c.rule(key, s, p, r))
		if len(r.Matches) == 0 {
			break
		}
	}
	if len(out.Rules) == 0 || !out.Rules[len(out.Rules)-1].all {
		own := &Cluster{Service: s.Name, Port: p.Number, Endpoints: p.Endpoints, Looped: p.Looped, Guards: c.guards(s, p, p.Endpoints)}
		out.Rules = append(out.Rules, &Rule{Key: key, Backends: []Backend{{Weight: 1, Cluster: own}}, all: true})
	}
	out.Failover, out.Mirror = c.other(s, p, p.Failover), c.other(s, p, p.Mirror)
	out.survey()
	return out
}

// survey finds out what the rules of a port look at.
func (p *Port) survey() {
	for _, r := range p.Rules {
		p.Reads.add(r.matches)
	}
	p.Plain = p.Reads.Paths
	for _, r := range p.Rules {
		for i := range r.Backends {
			p.surveyGuards(r.Backends[i].Cluster.Guards)
		}
	}
	for _, other := range []*Cluster{p.Failover, p.Mirror} {
		if other != nil {
			p.surveyGuards(other.Guards)
		}
	}
	if names := p.Policy.Reads(); len(names) > 0 {
		p.Reads.join(&Reads{Requests: true, Headers: names})
	}
}

func (p *Port) surveyGuards(guards []*Guard) {
	var last *Guard
	for _, g := range guards {
		if g == nil || g == last {
			continue
		}
		last = g
		p.Reads.join(&g.reads)
		if g.Mode == mesh.AccessEnforce {
			p.Guarded = true
		}
	}
}

// rule keeps the backends that can take a share: those with a weight and,
// unless none has any, with endpoints. The share of a backend that has nothing
// to serve it so goes to the others instead of failing.
func (c *compilation) rule(key string, s *mesh.Service, p *mesh.Port, r *mesh.Route) *Rule {
	served := slices.ContainsFunc(r.Backends, func(b mesh.Backend) bool {
		return b.Weight > 0 && len(b.Endpoints) > 0
	})
	rule := &Rule{Route: r, all: len(r.Matches) == 0, matches: c.all(r.Matches)}
	var divisor int64
	var shares strings.Builder
	shares.WriteString(key)
	for _, m := range r.Matches {
		// Rules that mean other requests share them out apart.
		shares.WriteString(" " + r.Origin.Name + "/" + m.Name)
	}
	for i := range r.Backends {
		b := &r.Backends[i]
		if b.Weight == 0 || served && len(b.Endpoints) == 0 {
			continue
		}
		cluster := &Cluster{Service: b.Service, Port: p.Number, Endpoints: b.Endpoints, Looped: b.Looped, Guards: c.guards(s, p, b.Endpoints)}
		rule.Backends = append(rule.Backends, Backend{Weight: b.Weight, Cluster: cluster})
		divisor = gcd(divisor, b.Weight)
	}
	for i := range rule.Backends {
		b := &rule.Backends[i]
		b.Weight /= divisor
		shares.WriteString(" " + b.Cluster.Service.Name + "=" + strconv.FormatInt(b.Weight, 10))
	}
	rule.Key = shares.String()
	return rule
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
