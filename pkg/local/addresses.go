package local

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// The reasons of the problems that local mode finds.
const (
	AddressesExhausted = "AddressesExhausted" // --addresses has no mesh address left for a Service
	PortOutOfRange     = "PortOutOfRange"     // a port plus --portOffset is more than 65535
	PortsExhausted     = "PortsExhausted"     // no free port is left for a port of a Service
)

// notMeshed is the namespace whose Services the system itself depends on.
const notMeshed = "kube-system"

// allocator gives each meshed Service its Frontend. A Service keeps what it has
// for as long as the process lives: another that comes or goes never moves it,
// and when it is gone its address is given to others last. One goroutine uses it.
type allocator struct {
	prefix   netip.Prefix
	offset   uint16
	free     func(netip.AddrPort, mesh.Transport) bool // can it be listened on
	next     netip.Addr                                // the next address never given
	held     map[mesh.Name]netip.Addr                  // present Services and those that are gone
	gone     []mesh.Name                               // of held, those that are gone, the longest gone first
	ports    map[sharedPort]uint16                     // where one address is shared
	nextPort uint16
	problems []mesh.Problem
}

// sharedPort names one port of one Service.
type sharedPort struct {
	service   mesh.Name
	number    uint16
	transport mesh.Transport
}

// firstSharedPort is where the ports begin where all Services share one
// address: above those that a person's own servers usually take, below those
// that systems give to connections.
const firstSharedPort = 20000

func newAllocator(prefix netip.Prefix, offset uint16, free func(netip.AddrPort, mesh.Transport) bool) *allocator {
	a := &allocator{
		prefix: prefix.Masked(), offset: offset, free: free,
		held: map[mesh.Name]netip.Addr{}, ports: map[sharedPort]uint16{}, nextPort: firstSharedPort,
	}
	a.next = a.prefix.Addr()
	if !a.small() {
		a.next = a.next.Next() // the first address of a range names the range
	}
	return a
}

// shared tells whether all Services share one address.
func (a *allocator) shared() bool { return a.prefix.IsSingleIP() }

// frontends computes where every meshed Service is reached. What could not be
// given is in problems until the next call.
func (a *allocator) frontends(in *mesh.Inputs) map[mesh.Name]mesh.Frontend {
	a.problems = nil
	names := make([]mesh.Name, 0, len(in.Services))
	for _, name := range slices.SortedFunc(maps.Keys(in.Services), mesh.Name.Compare) {
		if name.Namespace != notMeshed && !in.Services[name].External {
			names = append(names, name)
		}
	}
	a.release(names)
	out := make(map[mesh.Name]mesh.Frontend, len(names))
	for _, name := range names {
		service := in.Services[name]
		address, ok := a.address(name)
		if !ok {
			a.problem(service.Ref, AddressesExhausted, "--addresses=%s has no address left; the Service has no mesh name until another goes", a.prefix)
			continue
		}
		out[name] = mesh.Frontend{Addresses: []netip.Addr{address}, Ports: a.listens(name, &service, address)}
	}
	return out
}

func (a *allocator) problem(object mesh.Ref, reason, format string, args ...any) {
	a.problems = append(a.problems, mesh.Problem{Object: object, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// release notes which Services are gone and which of those are back.
func (a *allocator) release(present []mesh.Name) {
	here := make(map[mesh.Name]bool, len(present))
	for _, name := range present {
		here[name] = true
	}
	a.gone = slices.DeleteFunc(a.gone, func(name mesh.Name) bool { return here[name] })
	for _, name := range a.gone {
		here[name] = true // nothing new about it
	}
	for _, name := range slices.SortedFunc(maps.Keys(a.held), mesh.Name.Compare) {
		if !here[name] {
			a.gone = append(a.gone, name)
		}
	}
}

// address returns the address that a Service has or had, else one never given,
// else the one that has been free for the longest.
func (a *allocator) address(name mesh.Name) (netip.Addr, bool) {
	if a.shared() {
		return a.next, true
	}
	if address, ok := a.held[name]; ok {
		return address, true
	}
	address := a.next
	switch {
	case a.prefix.Contains(address) && !a.isLast(address):
		a.next = address.Next()
	case len(a.gone) > 0:
		address = a.held[a.gone[0]]
		delete(a.held, a.gone[0])
		a.gone = a.gone[1:]
	default:
		return netip.Addr{}, false
	}
	a.held[name] = address
	return address, true
}

// small is true of a range of one or two addresses, which has none to spare
// (RFC 3021).
func (a *allocator) small() bool { return a.prefix.Bits() >= a.prefix.Addr().BitLen()-1 }

// isLast is true of the broadcast address of an IPv4 range.
func (a *allocator) isLast(address netip.Addr) bool {
	return address.Is4() && !a.small() && !a.prefix.Contains(address.Next())
}

// listens returns the listening address of each port of a Service.
func (a *allocator) listens(name mesh.Name, service *mesh.ServiceInput, address netip.Addr) []mesh.FrontendPort {
	out := make([]mesh.FrontendPort, 0, len(service.Ports))
	for i := range service.Ports {
		port := &service.Ports[i]
		if port.Unsupported {
			continue
		}
		listen, ok := uint16(0), false
		if a.shared() {
			listen, ok = a.sharedPort(sharedPort{name, port.Number, port.Transport}, service.Ref)
		} else {
			listen, ok = a.ownPort(port.Number, service.Ref)
		}
		if ok {
			out = append(out, mesh.FrontendPort{Number: port.Number, Transport: port.Transport, Listen: netip.AddrPortFrom(address, listen)})
		}
	}
	return out
}

// ownPort is the port where a Service has an address of its own.
func (a *allocator) ownPort(number uint16, object mesh.Ref) (uint16, bool) {
	sum := int(number) + int(a.offset)
	if sum > 65535 {
		a.problem(object, PortOutOfRange, "port %d and --portOffset=%d make %d, which is no port; it is not listened for", number, a.offset, sum)
		return 0, false
	}
	return uint16(sum), true
}

// sharedPort is the port where all Services share one address: free when it was
// first asked for, and kept.
func (a *allocator) sharedPort(key sharedPort, object mesh.Ref) (uint16, bool) {
	if port, ok := a.ports[key]; ok {
		return port, true
	}
	for a.nextPort >= firstSharedPort {
		port := a.nextPort
		a.nextPort++ // past 65535 it is 0: exhausted
		if a.free(netip.AddrPortFrom(a.next, port), key.transport) {
			a.ports[key] = port
			return port, true
		}
	}
	a.problem(object, PortsExhausted, "no port of %s is left for port %d; it is not listened for", a.next, key.number)
	return 0, false
}
