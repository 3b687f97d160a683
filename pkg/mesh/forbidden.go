package mesh

import (
	"net/netip"
	"slices"
)

// OwnSettings say what of the world is Weft itself, so that no slice, which
// anyone may write, leads a call there.
type OwnSettings struct {
	// Cluster is true where the endpoints are pods: then none is on a proxy's
	// own loopback, nor link-local, where clouds keep their secrets.
	Cluster bool
	// Namespace is Weft's own. Its pods serve no Service of the mesh.
	Namespace string
	// Listens are listening addresses of this process beside those of the mesh.
	Listens []netip.AddrPort
}

// forbidden knows the addresses that are never called.
type forbidden struct {
	cluster bool
	ips     map[netip.Addr]bool     // whatever the port
	listens map[netip.AddrPort]bool // an unspecified IP stands for the whole loopback
}

// indexForbidden collects the addresses of the mesh itself: a call that went
// there would come back, for ever (CVE-2023-47633), or reach what only this
// machine may (CVE-2024-40632).
func (b *builder) indexForbidden() {
	f := forbidden{cluster: b.in.Own.Cluster, ips: map[netip.Addr]bool{}, listens: map[netip.AddrPort]bool{}}
	for _, at := range b.in.Own.Listens {
		f.listens[unmapped(at)] = true
	}
	for _, frontend := range b.in.Frontends {
		everywhere := false
		for _, p := range frontend.Ports {
			everywhere = everywhere || p.Listen.Addr().IsUnspecified()
			f.listens[unmapped(p.Listen)] = true
		}
		for _, ip := range frontend.Addresses {
			if everywhere { // what listens there is the proxy of any node
				f.ips[ip.Unmap()] = true
			}
		}
	}
	if b.in.Own.Namespace != "" {
		for name, pod := range b.in.Pods {
			if name.Namespace == b.in.Own.Namespace && !pod.HostNetwork {
				for _, ip := range pod.IPs {
					f.ips[ip.Unmap()] = true
				}
			}
		}
	}
	b.forbidden = f
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// why says why an address is not called, and whether a call would come back to
// the mesh; nothing where it may be called.
func (f *forbidden) why(address netip.AddrPort) (why string, loop bool) {
	address = unmapped(address)
	ip := address.Addr()
	if f.ips[ip] || f.listens[address] || ip.IsLoopback() && f.listensEverywhere(address.Port()) {
		return "the mesh itself", true
	}
	switch {
	case ip.IsUnspecified() || ip.IsMulticast():
		return "no endpoint's address", false
	case f.cluster && ip.IsLoopback():
		return "the proxy's own loopback", false
	case f.cluster && ip.IsLinkLocalUnicast():
		return "link-local", false
	}
	return "", false
}

func (f *forbidden) listensEverywhere(port uint16) bool {
	return f.listens[netip.AddrPortFrom(netip.IPv4Unspecified(), port)] || f.listens[netip.AddrPortFrom(netip.IPv6Unspecified(), port)]
}

// permitted leaves out the endpoints that are never called, and tells of them.
// looped is true where nothing is left because of endpoints that are the mesh.
func (b *builder) permitted(service Name, endpoints []Endpoint) (left []Endpoint, looped bool) {
	left = slices.DeleteFunc(endpoints, func(e Endpoint) bool {
		why, loop := b.forbidden.why(e.Address)
		if why == "" {
			return false
		}
		looped = looped || loop
		b.problem(b.in.Services[service].Ref, EndpointForbidden, "endpoint %s is %s; it is never called", e.Address, why)
		return true
	})
	return left, looped && len(left) == 0
}
