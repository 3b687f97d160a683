package mesh

import (
	"cmp"
	"slices"
	"strings"
)

// splits puts the TrafficSplits on the meshed ports of their roots: those with
// matches first, the oldest before (then the first by name). Of several that
// mean all traffic of one root the oldest stands; the others are told.
func (b *builder) splits() {
	standing := map[Name]Ref{}
	var rest []rooted
	for _, split := range b.splitsByAge() {
		b.problems = append(b.problems, split.Problems...)
		root, ok := b.rootOf(split)
		if !ok || !b.judgeBackends(split) {
			continue
		}
		if len(split.Matches) > 0 {
			if matches := b.splitMatches(split); len(matches) > 0 {
				b.split(root, split, matches)
			}
			continue
		}
		if winner, taken := standing[root]; taken {
			b.problem(split.Ref, SplitConflict, "%s splits %s already and goes before, by age or else by name; this split takes no effect", winner, root)
			continue
		}
		standing[root] = split.Ref
		rest = append(rest, rooted{root, split})
	}
	for _, r := range rest {
		b.split(r.root, r.split, nil)
	}
	b.settleConnections()
}

// rooted is a split with its root.
type rooted struct {
	root  Name
	split *SplitInput
}

// splitMatches are the requests that a split means. A broken reference means
// none: without it the split would mean more than was asked for.
func (b *builder) splitMatches(split *SplitInput) (out []*RequestMatch) {
	for _, ref := range split.Matches {
		name := Name{Namespace: split.Ref.Namespace, Name: ref.Name}
		switch found := b.groups[name]; {
		case ref.Kind != kindRouteGroup:
			b.problem(split.Ref, UnknownKind, "match %q has kind %q, which is not HTTPRouteGroup, and means no request", ref.Name, ref.Kind)
		case found == nil:
			b.problem(split.Ref, RuleNotFound, "there is no HTTPRouteGroup %s; the match means no request", name)
		default:
			out = append(out, found.matches...)
		}
	}
	if len(out) == 0 {
		b.problem(split.Ref, SplitEmpty, "no match can hold; the split takes no effect")
	}
	return out
}

// settleConnections leaves one route on each port that carries no HTTP: matches
// say nothing there. The split that means all goes before. Its author is told
// where that is so on every port; beside a port of HTTP it is what was meant.
func (b *builder) settleConnections() {
	heeded := map[Ref]bool{} // the splits with matches: whether they count anywhere
	for _, port := range b.ports {
		matching := port.Transport == TCP && port.Protocol != Opaque
		for _, r := range port.Routes {
			if len(r.Matches) > 0 {
				heeded[r.Origin] = heeded[r.Origin] || matching
			}
		}
		if len(port.Routes) == 0 || matching {
			continue
		}
		chosen := *port.Routes[0]
		if last := port.Routes[len(port.Routes)-1]; len(last.Matches) == 0 {
			chosen = *last
		}
		chosen.Matches = nil
		port.Routes = []*Route{&chosen}
	}
	for split, counts := range heeded {
		if !counts {
			b.problem(split, MatchesNotApplied, "no port of the Service carries HTTP: matches say nothing, and of several splits the one without matches, or else the oldest, takes all")
		}
	}
}

func (b *builder) splitsByAge() []*SplitInput {
	out := make([]*SplitInput, 0, len(b.in.Splits))
	for _, name := range sortedNames(b.in.Splits) {
		split := b.in.Splits[name]
		out = append(out, &split)
	}
	slices.SortStableFunc(out, func(x, y *SplitInput) int { return x.Created.Compare(y.Created) })
	return out
}

// rootOf resolves spec.service, which may be the Service's name, name.namespace
// or its full name in the cluster or the mesh. It must lie in the split's namespace.
func (b *builder) rootOf(split *SplitInput) (Name, bool) {
	first, rest, qualified := strings.Cut(strings.TrimSuffix(split.Root, "."), ".")
	root := Name{Namespace: split.Ref.Namespace, Name: first}
	if namespace, _, _ := strings.Cut(rest, "."); qualified && namespace != split.Ref.Namespace {
		b.problem(split.Ref, RootForeign, "spec.service %q is not a Service of namespace %s; the split takes no effect", split.Root, split.Ref.Namespace)
		return Name{}, false
	}
	if _, exists := b.in.Services[root]; !exists {
		b.problem(split.Ref, RootNotFound, "spec.service %q: there is no Service %s; the split takes no effect", split.Root, root)
		return Name{}, false
	}
	return root, true
}

// split applies one TrafficSplit to every meshed port of its root.
func (b *builder) split(root Name, split *SplitInput, matches []*RequestMatch) {
	input := b.in.Services[root]
	for i := range input.Ports {
		port := &input.Ports[i]
		meshed, ok := b.ports[portKey{root, port.Number, port.Transport}]
		if !ok {
			continue
		}
		if r := b.route(root, split, port); r != nil {
			r.Matches = matches
			meshed.Routes = append(meshed.Routes, r)
		}
	}
}

// judgeBackends tells what is wrong with a split's backends whatever the port,
// and whether any of them can be used.
func (b *builder) judgeBackends(split *SplitInput) bool {
	found := false
	for _, backend := range split.Backends {
		name := Name{Namespace: split.Ref.Namespace, Name: backend.Service}
		if input, ok := b.in.Services[name]; ok && !input.External {
			found = true
			continue
		}
		b.problem(split.Ref, BackendNotFound, "backend %q: there is no Service %s to send to; its share goes to the other backends", backend.Service, name)
	}
	if !found {
		b.problem(split.Ref, SplitEmpty, "no backend can be used; calls go to the own endpoints of %q", split.Root)
	}
	return found
}

// route is the split on one port of its root; nil leaves the port to the root's
// own endpoints. A backend needs the same port number (SMI), its target port is
// its own. The root as a backend means its own endpoints: a split is never
// followed by another.
func (b *builder) route(root Name, split *SplitInput, port *ServicePort) *Route {
	r := &Route{Origin: split.Ref, Backends: make([]Backend, 0, len(split.Backends))}
	var written, usable int64
	for _, from := range split.Backends {
		written += from.Weight
		name := Name{Namespace: split.Ref.Namespace, Name: from.Service}
		backend, ok := b.backend(name, split, port)
		if !ok {
			continue
		}
		backend.Weight = from.Weight
		usable += from.Weight
		r.Backends = append(r.Backends, backend)
		if from.Weight > 0 && len(backend.Endpoints) == 0 {
			b.problem(split.Ref, BackendNoEndpoints, "backend %q has no endpoint on port %d; its share goes to the other backends", from.Service, port.Number)
		}
	}
	switch {
	case written == 0:
		b.problem(split.Ref, AllWeightsZero, "every backend has weight 0; calls of %s port %d are refused with 503", root, port.Number)
		r.Backends = r.Backends[:0]
	case usable == 0:
		b.problem(split.Ref, SplitEmpty, "no backend with a weight can be used on port %d; calls go to the own endpoints of %s", port.Number, root)
		return nil
	}
	slices.SortStableFunc(r.Backends, func(x, y Backend) int { return cmp.Compare(x.Service.Name, y.Service.Name) })
	return r
}

func (b *builder) backend(name Name, split *SplitInput, port *ServicePort) (Backend, bool) {
	input, ok := b.in.Services[name]
	if !ok || input.External {
		return Backend{}, false
	}
	at := slices.IndexFunc(input.Ports, func(p ServicePort) bool {
		return p.Number == port.Number && p.Transport == port.Transport
	})
	if at < 0 {
		b.problem(split.Ref, BackendPortMissing, "backend %q has no port %d/%s; on that port its share goes to the other backends", name.Name, port.Number, port.Transport)
		return Backend{}, false
	}
	endpoints, looped := b.endpoints(name, &input.Ports[at])
	return Backend{Service: name, Endpoints: endpoints, Looped: looped}, true
}
