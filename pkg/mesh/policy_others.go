package mesh

import (
	"slices"
	"strings"
)

// others resolves the further Services that a port's policies name.
func (b *builder) others(s *ServiceInput, from *ServicePort, port *Port) {
	if port.Policy == nil {
		return
	}
	port.Failover = b.other(s, from, "failover", port.Policy.Failover)
	port.Mirror = b.other(s, from, "mirror", port.Policy.Mirror)
}

// other resolves a Service that an annotation names as name or name.namespace,
// on the port of the same number; nil for none.
func (b *builder) other(s *ServiceInput, port *ServicePort, annotation, value string) *Backend {
	if value == "" {
		return nil
	}
	first, rest, _ := strings.Cut(value, ".")
	namespace, _, _ := strings.Cut(rest, ".")
	name := Name{Namespace: namespace, Name: first}
	if namespace == "" {
		name.Namespace = s.Ref.Namespace
	}
	input, found := b.in.Services[name]
	at := slices.IndexFunc(input.Ports, func(p ServicePort) bool {
		return p.Number == port.Number && p.Transport == port.Transport
	})
	switch {
	case !found || input.External:
		b.problem(s.Ref, BackendNotFound, "%s is %q, but there is no Service %s to send to; it takes no effect", annotation, value, name)
		return nil
	case at < 0:
		b.problem(s.Ref, BackendPortMissing, "%s is %q, but %s has no port %d/%s; it takes no effect on that port", annotation, value, name, port.Number, port.Transport)
		return nil
	}
	endpoints, looped := b.endpoints(name, &input.Ports[at])
	return &Backend{Service: name, Endpoints: endpoints, Looped: looped}
}

// Reads are the header fields of requests that the policy looks at, in lower case.
func (p *Policy) Reads() (names []string) {
	if p == nil {
		return nil
	}
	for _, by := range []string{p.LoadBalancerBy, p.RatelimitBy} {
		switch kind, name, _ := strings.Cut(by, ":"); kind {
		case "header":
			names = append(names, strings.ToLower(name))
		case "cookie":
			names = append(names, "cookie")
		}
	}
	for _, name := range []string{p.StickyHeader, p.FaultHeader} {
		if name != "" {
			names = append(names, strings.ToLower(name))
		}
	}
	if p.StickyCookie != "" {
		names = append(names, "cookie")
	}
	return names
}
