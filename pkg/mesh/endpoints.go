package mesh

import (
	"maps"
	"net/netip"
	"slices"
)

// indexSlices groups the slices by Service. The old Endpoints object of a
// Service counts only where no slice speaks for it, as in Kubernetes itself.
func (b *builder) indexSlices() {
	b.slices = make(map[Name][]*SliceInput, len(b.in.Services))
	for _, s := range b.in.Slices {
		b.slices[s.Service] = append(b.slices[s.Service], &s)
	}
	var alone []*SliceInput
	for _, s := range b.in.Endpoints {
		if len(b.slices[s.Service]) == 0 {
			alone = append(alone, &s)
		}
	}
	for _, s := range alone { // apart: a Service may have several subsets
		b.slices[s.Service] = append(b.slices[s.Service], s)
	}
}

// endpoints returns what serves one port of a Service, by address, as
// kube-proxy sees it: the ready endpoints; when there are none, those that
// terminate but still serve (KEP-1669). Those that must not be called are left
// out; looped is true where nothing else is there than the mesh itself. Hints
// count where each ready endpoint has them, as in kube-proxy (KEP-2433).
func (b *builder) endpoints(service Name, port *ServicePort) (all []Endpoint, looped bool) {
	count := 0
	for _, slice := range b.slices[service] {
		count += len(slice.Endpoints)
	}
	ready := make([]Endpoint, 0, count)
	var serving []Endpoint
	hinted := true
	for _, slice := range b.slices[service] {
		number, ok := slicePort(slice, port)
		if !ok {
			continue
		}
		for i := range slice.Endpoints {
			switch e := &slice.Endpoints[i]; {
			case e.Ready:
				ready = append(ready, b.endpoint(service, e, number))
				hinted = hinted && len(e.ForZones) > 0
			case e.Serving && e.Terminating:
				serving = append(serving, b.endpoint(service, e, number))
			}
		}
	}
	for i := range ready {
		ready[i].Near = ready[i].Near && hinted
	}
	if len(ready) == 0 {
		ready = serving
	}
	slices.SortFunc(ready, func(x, y Endpoint) int { return x.Address.Compare(y.Address) })
	return b.permitted(service, slices.CompactFunc(ready, func(x, y Endpoint) bool { return x.Address == y.Address }))
}

// slicePort finds the target port of a Service's port in one slice: they share
// the name (which may be empty) and the transport.
func slicePort(slice *SliceInput, port *ServicePort) (uint16, bool) {
	for _, p := range slice.Ports {
		if p.Name == port.Name && p.Transport == port.Transport {
			return p.Number, true
		}
	}
	return 0, false
}

// ownZone is the zone of this process's node. While its node is moved to another
// zone the slices may disagree for a moment; any of them does then.
func (b *builder) ownZone() string {
	if len(b.in.Zones) == 0 {
		return ""
	}
	return slices.Min(slices.Collect(maps.Values(b.in.Zones)))
}

func (b *builder) endpoint(service Name, e *SliceEndpoint, port uint16) Endpoint {
	out := Endpoint{
		Address: netip.AddrPortFrom(e.Address, port), Node: e.Node, Zone: e.Zone,
		Near: e.Ready && b.zone != "" && slices.Contains(e.ForZones, b.zone),
	}
	if e.Pod != "" {
		out.Workload = b.byPod[Name{Namespace: service.Namespace, Name: e.Pod}]
	}
	return out
}

// indexWorkloads collects the live pods. One on the host's network shares its
// node's address: it serves, but as a caller it is nobody.
// Workloads and addresses lie in one block each: there may be 50,000.
func (b *builder) indexWorkloads() {
	b.byPod = make(map[Name]*Workload, len(b.in.Pods))
	b.workloads = make([]*Workload, 0, len(b.in.Pods))
	block := make([]Workload, 0, len(b.in.Pods))
	ips := make([]netip.Addr, 0, len(b.in.Pods))
	for name, pod := range b.in.Pods {
		if pod.Finished || len(pod.IPs) == 0 {
			continue
		}
		first := len(ips)
		ips = append(ips, pod.IPs...)
		block = append(block, Workload{
			Name: name, IPs: ips[first:len(ips):len(ips)], ServiceAccount: pod.ServiceAccount, Node: pod.Node,
			OwnerKind: pod.OwnerKind, OwnerName: pod.OwnerName, Created: pod.Created,
			Bindings: b.bound(name, &pod), Access: b.modes.of(name.Namespace),
		})
		w := &block[len(block)-1]
		b.byPod[name] = w
		if !pod.HostNetwork {
			b.workloads = append(b.workloads, w)
		}
	}
	slices.SortFunc(b.workloads, func(x, y *Workload) int { return x.Name.Compare(y.Name) })
}
