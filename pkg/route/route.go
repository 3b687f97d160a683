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
	ports     []*Port // by listening address, then transport
	workloads map[netip.Addr]*mesh.Workload
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
	// Rule is what every call of the port follows.
	Rule *Rule
}

// Rule shares calls out to clusters by weight. Weights are reduced by their
// greatest common divisor; none is zero. A Rule without backends refuses every
// call.
type Rule struct {
	// Key names the Rule over all Tables: two Rules with one Key share calls
	// out in the same way, so a rotation may go on from one to the other.
	Key      string
	Backends []Backend
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
}

// Compile builds the Table of a Mesh. It is pure and O(n).
func Compile(m *mesh.Mesh) *Table {
	t := &Table{workloads: make(map[netip.Addr]*mesh.Workload, len(m.Workloads))}
	disputed := map[netip.Addr]time.Time{}
	for _, w := range m.Workloads {
		for _, ip := range w.IPs {
			t.claim(ip.Unmap(), w, disputed)
		}
	}
	for _, s := range m.Services {
		for _, p := range s.Ports {
			t.ports = append(t.ports, compilePort(s.Name, p))
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

func compilePort(service mesh.Name, p *mesh.Port) *Port {
	out := &Port{
		Service: service, Number: p.Number, Transport: p.Transport,
		Protocol: p.Protocol, Listen: p.Listen, Affinity: p.Affinity, Policy: p.Policy,
	}
	key := service.String() + ":" + strconv.Itoa(int(p.Number)) + "/" + p.Transport.String()
	if p.Route == nil {
		own := &Cluster{Service: service, Port: p.Number, Endpoints: p.Endpoints}
		out.Rule = &Rule{Key: key, Backends: []Backend{{Weight: 1, Cluster: own}}}
		return out
	}
	out.Rule = compileRoute(key, p)
	return out
}

// compileRoute keeps the backends that can take a share: those with a weight
// and, unless none has any, with endpoints. The share of a backend that has
// nothing to serve it so goes to the others instead of failing.
func compileRoute(key string, p *mesh.Port) *Rule {
	served := slices.ContainsFunc(p.Route.Backends, func(b mesh.Backend) bool {
		return b.Weight > 0 && len(b.Endpoints) > 0
	})
	rule := &Rule{}
	var divisor int64
	var shares strings.Builder
	shares.WriteString(key)
	for i := range p.Route.Backends {
		b := &p.Route.Backends[i]
		if b.Weight == 0 || served && len(b.Endpoints) == 0 {
			continue
		}
		cluster := &Cluster{Service: b.Service, Port: p.Number, Endpoints: b.Endpoints}
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
