package mesh

import (
	"cmp"
	"slices"
)

// The kinds of SMI that rules name.
const (
	kindRouteGroup = "HTTPRouteGroup"
	kindTCPRoute   = "TCPRoute"
	kindUDPRoute   = "UDPRoute"
	kindAccount    = "ServiceAccount"
	kindBinding    = "IdentityBinding"
)

// targets turns the TrafficTargets into Grants. What is wrong with a target
// makes it grant less, never more.
func (b *builder) targets() []*Grant {
	grants := make([]*Grant, 0, len(b.in.Targets))
	for _, routes := range []map[Name]PortRouteInput{b.in.TCPRoutes, b.in.UDPRoutes} {
		for _, route := range routes {
			b.problems = append(b.problems, route.Problems...)
		}
	}
	for _, name := range sortedNames(b.in.Targets) {
		target := b.in.Targets[name]
		b.problems = append(b.problems, target.Problems...)
		if grant := b.grant(&target); grant != nil {
			grants = append(grants, grant)
		}
	}
	return grants
}

// grant is what a target allows, nil for nothing.
func (b *builder) grant(t *TargetInput) *Grant {
	destination, ok := b.destination(t)
	sources := b.sources(t)
	if !ok || len(sources) == 0 {
		return nil
	}
	if len(t.Rules) == 0 {
		b.problem(t.Ref, TargetEmpty, "the target has no rule and allows nothing")
		return nil
	}
	g := &Grant{Origin: t.Ref, Destination: destination, Sources: sources, Port: t.Port}
	known, tcpRules := true, false
	for i := range t.Rules {
		rule := &t.Rules[i]
		switch rule.Kind {
		case kindRouteGroup:
			g.Requests = true
			b.requests(g, t, rule)
		case kindTCPRoute:
			tcpRules = true
			b.addPorts(&g.TCP, b.in.TCPRoutes, t, rule)
		case kindUDPRoute:
			b.addPorts(&g.UDP, b.in.UDPRoutes, t, rule)
		default:
			known = false
			b.problem(t.Ref, UnknownKind, "rule %q has kind %q, which is none of HTTPRouteGroup, TCPRoute and UDPRoute; the target allows nothing", rule.Name, rule.Kind)
		}
	}
	if g.Requests && !tcpRules {
		g.TCP.All = true
	}
	if !known {
		return nil
	}
	return g
}

// destination is whose workloads a target is for: those of its own namespace.
func (b *builder) destination(t *TargetInput) (Principal, bool) {
	if ns := t.Destination.Namespace; ns != "" && ns != t.Ref.Namespace {
		b.problem(t.Ref, DestinationForeign, "the destination lies in namespace %s; a target is for workloads of its own namespace only and allows nothing else", ns)
		return Principal{}, false
	}
	return b.principal(t, "destination", Subject{Kind: t.Destination.Kind, Namespace: t.Ref.Namespace, Name: t.Destination.Name})
}

// sources are whose calls a target allows, sorted.
func (b *builder) sources(t *TargetInput) []Principal {
	out := make([]Principal, 0, len(t.Sources))
	for _, s := range t.Sources {
		if s.Namespace == "" {
			b.problem(t.Ref, SourceIncomplete, "source %q has no namespace and means nobody", s.Name)
			continue
		}
		if p, ok := b.principal(t, "source", s); ok {
			out = append(out, p)
		}
	}
	if len(t.Sources) == 0 {
		b.problem(t.Ref, TargetEmpty, "the target has no source and allows nothing")
	}
	slices.SortFunc(out, comparePrincipals)
	return slices.Compact(out)
}

func comparePrincipals(x, y Principal) int {
	if x.Binding != y.Binding {
		if x.Binding {
			return 1
		}
		return -1
	}
	return cmp.Compare(0, y.Name.Compare(x.Name))
}

// principal reads a subject whose namespace is known.
func (b *builder) principal(t *TargetInput, what string, s Subject) (Principal, bool) {
	name := Name{Namespace: s.Namespace, Name: s.Name}
	switch {
	case s.Name == "":
		b.problem(t.Ref, SourceIncomplete, "a %s has no name and means nobody", what)
	case s.Kind == kindAccount:
		return Principal{Name: name}, true
	case s.Kind == kindBinding:
		if _, ok := b.in.Bindings[name]; ok {
			return Principal{Name: name, Binding: true}, true
		}
		b.problem(t.Ref, SubjectNotFound, "%s: there is no IdentityBinding %s", what, name)
	default:
		b.problem(t.Ref, UnknownKind, "%s %q has kind %q, which is neither ServiceAccount nor IdentityBinding, and means nobody", what, s.Name, s.Kind)
	}
	return Principal{}, false
}

// requests adds what a rule says of HTTP requests. One that is broken adds none.
func (b *builder) requests(g *Grant, t *TargetInput, rule *TargetRule) {
	name := Name{Namespace: t.Ref.Namespace, Name: rule.Name}
	found := b.groups[name]
	switch {
	case found == nil:
		b.problem(t.Ref, RuleNotFound, "there is no HTTPRouteGroup %s; the rule allows nothing", name)
	case len(rule.Matches) == 0:
		g.Matches = append(g.Matches, found.matches...)
	}
	if found == nil {
		return
	}
	for _, wanted := range rule.Matches {
		match, known := found.names[wanted]
		if !known {
			b.problem(t.Ref, MatchNotFound, "HTTPRouteGroup %s has no match %q; the rest of the rule holds", name, wanted)
		}
		if match != nil {
			g.Matches = append(g.Matches, match)
		}
	}
}

// addPorts adds the ports of a TCPRoute or UDPRoute.
func (b *builder) addPorts(to *Ports, routes map[Name]PortRouteInput, t *TargetInput, rule *TargetRule) {
	name := Name{Namespace: t.Ref.Namespace, Name: rule.Name}
	found, ok := routes[name]
	switch {
	case !ok:
		b.problem(t.Ref, RuleNotFound, "there is no %s %s; the rule allows nothing", rule.Kind, name)
	case len(found.Ports) == 0:
		to.All = true
	default:
		to.Only = append(to.Only, found.Ports...)
	}
}
