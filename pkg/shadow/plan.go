package shadow

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reconcile"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// The reasons of the problems that a Reconciler finds.
const (
	PortsExhausted = "PortsExhausted" // no mesh port is left for a port of a Service
	NameTaken      = reconcile.NameTaken
	NotWritten     = reconcile.NotWritten
)

// world is what stands, as the caches tell it. Nobody edits what is in it.
type world struct {
	sources []*corev1.Service          // the meshed Services, oldest first
	own     map[string]*corev1.Service // every Service of Weft's namespace, by name
	slices  []*discoveryv1.EndpointSlice
}

// change is a Service that should stand, beside what stands under its name (or
// nil), and the object to which trouble with it is told.
type change struct {
	have, want *corev1.Service
	about      mesh.Ref
}

// differs tells whether there is anything to write.
func (c *change) differs() bool {
	return c.have == nil || replaced(c.have, c.want) || merge(c.have, c.want) != nil
}

// shadowPlan is which shadow Services should stand.
type shadowPlan struct {
	ports    allocation
	shadows  []change
	orphans  []*corev1.Service // shadows of Services that are not, or no longer, meshed
	problems []mesh.Problem
}

// planShadows is pure. last holds what was allocated before; what stands in
// shadows beyond it is taken over.
func planShadows(f form, ports PortRange, w *world, last allocation) *shadowPlan {
	p := &shadowPlan{}
	standing := map[uint16]mesh.Name{}
	held := maps.Clone(last.held)
	if held == nil {
		held = map[portKey]uint16{}
	}
	for _, name := range slices.Sorted(maps.Keys(w.own)) {
		for key, port := range recordOf(w.own[name]) {
			standing[port] = key.service
			if _, known := held[key]; !known {
				held[key] = port
			}
		}
	}
	last.held = held
	var want []portKey
	for _, source := range w.sources {
		want = append(want, keysOf(source)...)
	}
	var without []portKey
	p.ports, without = allocate(ports, last, want, standing)
	p.exhausted(ports, w, without)
	wanted := p.want(f, w)
	for _, name := range slices.Sorted(maps.Keys(w.own)) {
		if _, shadow := sourceOf(w.own[name]); shadow && !wanted[name] {
			p.orphans = append(p.orphans, w.own[name])
		}
	}
	return p
}

// exhausted tells the Services whose ports got no mesh port.
func (p *shadowPlan) exhausted(ports PortRange, w *world, without []portKey) {
	missing := map[mesh.Name][]string{}
	for _, key := range without {
		missing[key.service] = append(missing[key.service], fmt.Sprintf("%d/%s", key.number, key.transport))
	}
	for _, source := range w.sources {
		if list := missing[nameOf(source)]; list != nil {
			p.problem(refOf(source), PortsExhausted, "no mesh port of %d-%d is left for port %s, which cannot be called by its mesh name",
				ports.First, ports.Last, strings.Join(list, ", "))
		}
	}
}

// want plans the shadow of every source and returns their names.
func (p *shadowPlan) want(f form, w *world) map[string]bool {
	wanted := make(map[string]bool, len(w.sources))
	for _, source := range w.sources {
		want := f.shadow(source, p.ports.held)
		have := w.own[want.Name]
		switch {
		case wanted[want.Name], have != nil && !managed(have):
			p.problem(refOf(source), reconcile.NameTaken, "Service %s/%s is not Weft's or stands for another Service; this one has no mesh address", want.Namespace, want.Name)
		case len(want.Spec.Ports) == 0:
			wanted[want.Name] = true // nothing to give it now, and nothing to take away
		default:
			wanted[want.Name] = true
			p.shadows = append(p.shadows, change{have: have, want: want, about: refOf(source)})
		}
	}
	return wanted
}

func (p *shadowPlan) problem(object mesh.Ref, reason, format string, args ...any) {
	p.problems = append(p.problems, mesh.Problem{Object: object, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// addresses are the mesh addresses, by namespace and Service.
type addresses map[string]map[string][]string

// add notes the addresses that the server gave to a shadow Service.
func (a addresses) add(source mesh.Name, shadow *corev1.Service) {
	ips := slices.DeleteFunc(slices.Clone(shadow.Spec.ClusterIPs), func(ip string) bool { return ip == "" || ip == corev1.ClusterIPNone })
	if len(ips) == 0 {
		return
	}
	if a[source.Namespace] == nil {
		a[source.Namespace] = map[string][]string{}
	}
	a[source.Namespace][source.Name] = ips
}

// namePlan is which names should stand.
type namePlan struct {
	services   []change
	slices     []sliceChange
	dead       []*corev1.Service
	deadSlices []*discoveryv1.EndpointSlice
	problems   []mesh.Problem
}

// planNames is pure.
func planNames(f form, w *world, a addresses) *namePlan {
	p := &namePlan{}
	have := map[string][]*discoveryv1.EndpointSlice{}
	for _, s := range w.slices {
		service := s.Labels[discoveryv1.LabelServiceName]
		have[service] = append(have[service], s)
	}
	for _, namespace := range slices.Sorted(maps.Keys(a)) {
		service, about := w.own[namespace], mesh.Ref{APIVersion: "v1", Kind: "Namespace", Name: namespace}
		if service != nil && !isOurName(service) {
			p.problems = append(p.problems, mesh.Problem{Object: about, Reason: reconcile.NameTaken, Message: fmt.Sprintf(
				"Service %s/%s is not Weft's, which needs that name; the Services of this namespace have no mesh names", f.namespace, namespace)})
			continue
		}
		p.services = append(p.services, change{have: service, want: f.names(namespace), about: about})
		changes, dead := planSlices(f.namespace, namespace, a[namespace], have[namespace])
		p.slices = append(p.slices, changes...)
		p.deadSlices = append(p.deadSlices, dead...)
		delete(have, namespace)
	}
	for _, service := range slices.Sorted(maps.Keys(have)) {
		p.deadSlices = append(p.deadSlices, have[service]...)
	}
	for _, name := range slices.Sorted(maps.Keys(w.own)) {
		if isNames(w.own[name]) && a[name] == nil {
			p.dead = append(p.dead, w.own[name])
		}
	}
	return p
}

// isOurName tells whether a Service that has a namespace's name may be made the
// one that carries its names.
func isOurName(svc *corev1.Service) bool {
	_, shadow := sourceOf(svc)
	return managed(svc) && !shadow
}
