package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Build returns the Mesh that the Inputs describe. It is pure and O(n) up to
// sorting: the same Inputs give an equal Mesh, whatever the order in which they
// came, and the Mesh shares nothing with them that anyone edits.
func Build(in *Inputs) *Mesh {
	b := &builder{in: in, ports: map[portKey]*Port{}}
	b.indexModes()
	b.indexBindings()
	b.indexGroups()
	b.indexWorkloads()
	b.indexSlices()
	b.zone = b.ownZone()
	b.indexForbidden()
	services := make([]*Service, 0, len(in.Frontends))
	for _, name := range sortedNames(in.Services) {
		input := in.Services[name]
		b.judge(&input)
		frontend, meshed := in.Frontends[name]
		if !meshed || input.External {
			continue
		}
		services = append(services, b.service(name, &input, &frontend))
	}
	b.splits()
	for _, namespace := range in.Namespaces {
		b.problems = append(b.problems, namespace.Policies.Problems...)
	}
	access := Access{Trusted: slices.Clone(in.Access.Trusted), Grants: b.targets()}
	guards := b.guards()
	for _, p := range in.Problems {
		b.problems = append(b.problems, p)
	}
	return &Mesh{Services: services, Workloads: b.workloads, Access: access, Guards: guards, Problems: SortProblems(b.problems)}
}

// builder is the scratch of one Build.
type builder struct {
	in        *Inputs
	byPod     map[Name]*Workload
	workloads []*Workload
	slices    map[Name][]*SliceInput
	zone      string // of this process's node; empty where it is not known
	forbidden forbidden
	modes     modes
	bindings  map[string][]*BindingInput
	groups    map[Name]*group
	ports     map[portKey]*Port // the meshed ports, for the splits to find
	problems  []Problem
}

// portKey names one port of one Service.
type portKey struct {
	service   Name
	number    uint16
	transport Transport
}

func (b *builder) problem(object Ref, reason, format string, args ...any) {
	b.problems = append(b.problems, Problem{Object: object, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// judge tells what is wrong with a Service by itself, meshed or not.
func (b *builder) judge(s *ServiceInput) {
	if value, ok := s.Annotations[AnnotationProtocol]; ok {
		if _, known := ParseProtocol(value); !known {
			b.problem(s.Ref, BadAnnotation, "%s is %q; it takes http, http2, grpc, tcp or detect; the protocol is detected instead", AnnotationProtocol, value)
		}
	}
	b.judgePolicies(s)
	for _, port := range s.Ports {
		if port.Unsupported {
			b.problem(s.Ref, UnsupportedProtocol, "port %d is neither TCP nor UDP and has no mesh port", port.Number)
		}
	}
}

func (b *builder) service(name Name, input *ServiceInput, frontend *Frontend) *Service {
	s := &Service{Name: name, Addresses: slices.Clone(frontend.Addresses), Ports: make([]*Port, 0, len(input.Ports)), Access: b.modes.of(name.Namespace)}
	for i := range input.Ports {
		from := &input.Ports[i]
		at := slices.IndexFunc(frontend.Ports, func(f FrontendPort) bool {
			return f.Number == from.Number && f.Transport == from.Transport
		})
		if at < 0 || from.Unsupported {
			continue
		}
		policy := b.policy(input, from)
		port := &Port{
			Name: from.Name, Number: from.Number, Transport: from.Transport,
			Protocol: protocolOf(input, from, policy), Listen: frontend.Ports[at].Listen,
			Affinity: input.Affinity, Policy: policy,
		}
		port.TLS = b.tls(input, from, port)
		port.Endpoints, port.Looped = b.endpoints(name, from)
		b.others(input, from, port)
		s.Ports = append(s.Ports, port)
		b.ports[portKey{name, from.Number, from.Transport}] = port
	}
	slices.SortFunc(s.Ports, func(p, q *Port) int {
		return cmp.Or(cmp.Compare(p.Number, q.Number), cmp.Compare(p.Transport, q.Transport))
	})
	return s
}

// protocolOf decides a port's protocol: the port's appProtocol, the Service's
// annotation, the first word of the port's name, else detection. Where Weft
// begins the TLS itself, a name that says TLS leaves open what is in it.
func protocolOf(s *ServiceInput, port *ServicePort, policy *Policy) Protocol {
	if port.Transport == UDP {
		return Opaque
	}
	prefix, _, _ := strings.Cut(port.Name, "-")
	for _, said := range []string{port.AppProtocol, s.Annotations[AnnotationProtocol], prefix} {
		if p, ok := ParseProtocol(said); ok && (!saysTLS(said) || policy == nil || policy.Scheme != SchemeHTTPS) {
			return p
		}
	}
	return Detect
}

func sortedNames[V any](m map[Name]V) []Name {
	return slices.SortedFunc(maps.Keys(m), Name.Compare)
}
