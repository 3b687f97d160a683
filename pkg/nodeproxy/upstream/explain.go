package upstream

import (
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// Question is a call that nobody makes: what would become of it?
type Question struct {
	// From is the caller's address; the zero Addr is nobody's.
	From      netip.Addr
	To        mesh.Name
	Port      uint16 // of the Service
	Transport mesh.Transport
	// Request is the HTTP request, nil for a connection or a UDP session.
	Request *Asked
}

// Asked is the request of a Question.
type Asked struct {
	Verb, Target string
	Fields       []Field // "host" among them
}

// Field is one header field, its name in lower case.
type Field struct{ Name, Value string }

// Method is the method.
func (a *Asked) Method() []byte { return []byte(a.Verb) }

// Path is the path of the target, without the query.
func (a *Asked) Path() []byte {
	path, _, _ := strings.Cut(a.Target, "?")
	return []byte(path)
}

// Header returns the i-th field of a name.
func (a *Asked) Header(name string, i int) (value []byte, ok bool) {
	for _, f := range a.Fields {
		if f.Name != name {
			continue
		}
		if i == 0 {
			return []byte(f.Value), true
		}
		i--
	}
	return nil, false
}

// Explanation is what would become of a call.
type Explanation struct {
	Source ExplainedSource `json:"source"`
	// Listen is where the call arrives.
	Listen   netip.AddrPort `json:"listen"`
	Protocol mesh.Protocol  `json:"protocol"`
	// Path is the form of the request's path that rules see; empty where none
	// looks at it, or it has no such form.
	Path string `json:"path,omitempty"`
	// Rules are asked in this order, up to the one that means the call.
	Rules []ExplainedRule `json:"rules"`
	// Policies are those of the port that the call meets, in this order.
	Policies []ExplainedPolicy `json:"policies,omitempty"`
	// Outcomes are what may happen: one of them, each as often as its weight
	// says.
	Outcomes []Outcome `json:"outcomes"`
}

// ExplainedSource is who calls, as far as it is known.
type ExplainedSource struct {
	Pod            *mesh.Name `json:"pod,omitempty"`
	ServiceAccount string     `json:"serviceAccount,omitempty"`
	Node           string     `json:"node,omitempty"`
	Trusted        bool       `json:"trusted,omitempty"`
	Disputed       bool       `json:"disputed,omitempty"`
}

// ExplainedRule is one rule that was asked.
type ExplainedRule struct {
	Origin  *mesh.Ref            `json:"origin,omitempty"` // nil for the Service's own endpoints
	Matches []*mesh.RequestMatch `json:"matches,omitempty"`
	Means   bool                 `json:"means"`
}

// Outcome is one thing that may happen to the call.
type Outcome struct {
	Weight  int64      `json:"weight"`
	Service *mesh.Name `json:"service,omitempty"` // nil where none was chosen
	// Reason, What and the status are those of a refusal; empty where the call is
	// served.
	Reason Reason `json:"reason,omitempty"`
	What   string `json:"what,omitempty"`
	Status int    `json:"status,omitempty"`
	// Endpoints are those that may serve it.
	Endpoints []netip.AddrPort `json:"endpoints,omitempty"`
	// Access is what was decided for each kind of endpoints that somebody guards.
	Access []ExplainedAccess `json:"access,omitempty"`
}

// ExplainedAccess is what was decided for endpoints of one identity.
type ExplainedAccess struct {
	Mode      mesh.AccessMode  `json:"mode"`
	Account   mesh.Name        `json:"account"` // zero where the endpoints are no pods
	Allowed   bool             `json:"allowed"`
	Grants    []mesh.Ref       `json:"grants,omitempty"` // that allow the caller anything here
	Endpoints []netip.AddrPort `json:"endpoints"`
}

// Explain answers a Question by what Decide does, for each cluster in turn
// instead of the one whose turn it is, and counts nothing. It is not ok where no
// port of the Service is listened for.
func (s *Snapshot) Explain(q Question) (e Explanation, ok bool) {
	r := s.find(q)
	if r == nil {
		return Explanation{}, false
	}
	quiet := *s
	quiet.denials = nil
	c := Caller{Address: q.From.Unmap().WithZone("")}
	c.lookup(&quiet)
	e = Explanation{Source: explainSource(&c.source), Listen: r.Port.Listen, Protocol: r.Port.Protocol}
	var request route.Request
	if q.Request != nil {
		request = q.Request
	}
	path, ok := c.read(r, request)
	if !ok {
		e.refuse(ambiguous())
		return e, true
	}
	e.Path = string(path)
	rule := r.rule(request, path)
	e.asked(r, rule)
	if len(rule.clusters) == 0 {
		e.refuse(unserved())
	}
	for i, cluster := range rule.clusters {
		o := c.outcome(&quiet, r.standIn(cluster), request, path)
		o.Weight = rule.Backends[i].Weight
		e.Outcomes = append(e.Outcomes, o)
	}
	e.Policies = r.policies(&quiet, &c, q)
	if p := certain(e.Policies); p != nil {
		e.Outcomes = []Outcome{{Weight: 1, Reason: p.Reason, Status: p.Status, What: "the " + p.Name + " of the Service lets none through"}}
	}
	return e, true
}

// find returns the Route of a Service's port.
func (s *Snapshot) find(q Question) *Route {
	for _, r := range s.routes {
		if p := r.Port; p.Service == q.To && p.Number == q.Port && p.Transport == q.Transport {
			return r
		}
	}
	return nil
}

func explainSource(s *route.Source) ExplainedSource {
	out := ExplainedSource{Trusted: s.Trusted, Disputed: s.Disputed}
	if w := s.Workload; w != nil {
		out.Pod, out.ServiceAccount, out.Node = &w.Name, w.ServiceAccount, w.Node
	}
	return out
}

// asked tells the rules up to the one that means the call.
func (e *Explanation) asked(r *Route, chosen *rule) {
	for i := range r.rules {
		rule := &r.rules[i]
		step := ExplainedRule{Means: rule == chosen}
		if rule.Route != nil {
			step.Origin, step.Matches = &rule.Route.Origin, rule.Route.Matches
		}
		e.Rules = append(e.Rules, step)
		if step.Means {
			return
		}
	}
}

func (e *Explanation) refuse(d Decision) {
	e.Outcomes = []Outcome{{Weight: 1, Reason: d.Reason, Status: d.Reason.Status(), What: d.What}}
}

// outcome is what happens at one cluster.
func (c *Caller) outcome(s *Snapshot, cluster *Cluster, request route.Request, path []byte) Outcome {
	d := c.at(s, cluster, request, path)
	o := Outcome{Service: &cluster.Service, Reason: d.Reason, What: d.What}
	if d.Reason != "" {
		o.Status = d.Reason.Status()
	}
	kinds := cluster.parts
	if len(kinds) == 0 {
		kinds = []*Cluster{cluster}
	}
	for _, kind := range kinds {
		addresses := make([]netip.AddrPort, len(kind.endpoints))
		for i, e := range kind.endpoints {
			addresses[i] = e.Address
		}
		if d.Cluster != nil && c.at(s, kind, request, path).Cluster != nil {
			o.Endpoints = append(o.Endpoints, addresses...)
		}
		g := kind.guard
		if g == nil {
			continue
		}
		_, allowed := g.Allows(&c.source, request, path)
		a := ExplainedAccess{Mode: g.Mode, Account: g.Account, Allowed: allowed, Endpoints: addresses}
		for _, grant := range g.Grants(&c.source) {
			a.Grants = append(a.Grants, grant.Origin)
		}
		o.Access = append(o.Access, a)
	}
	return o
}
