package local

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// services are Inputs with a Service of one port 80 for each name in namespace shop.
func services(names ...string) *mesh.Inputs {
	in := mesh.NewInputs()
	for _, name := range names {
		in.Services[mesh.Name{Namespace: "shop", Name: name}] = mesh.ServiceInput{
			Ref:   mesh.Ref{Kind: "Service", Namespace: "shop", Name: name},
			Ports: []mesh.ServicePort{{Number: 80}},
		}
	}
	return in
}

// told is what an allocator gives, as "name listen" lines by name, then its problems.
func told(a *allocator, in *mesh.Inputs) []string {
	var out []string
	for name, frontend := range a.frontends(in) {
		for _, port := range frontend.Ports {
			out = append(out, fmt.Sprint(name.Name, " ", port.Listen, " ", port.Number, "/", port.Transport))
			if frontend.Addresses[0] != port.Listen.Addr() {
				out = append(out, fmt.Sprint(name.Name, " is at ", frontend.Addresses))
			}
		}
	}
	slices.Sort(out)
	for _, p := range a.problems {
		out = append(out, p.Object.String()+" "+p.Reason)
	}
	return out
}

func expect(t *testing.T, a *allocator, in *mesh.Inputs, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, told(a, in)); diff != "" {
		t.Error(diff)
	}
}

func alwaysFree(netip.AddrPort, mesh.Transport) bool { return true }

func allocate(prefix string, offset uint16) *allocator {
	return newAllocator(netip.MustParsePrefix(prefix), offset, alwaysFree)
}

func TestAddressesGoInNameOrderAndNeverMove(t *testing.T) {
	a := allocate("127.77.0.0/16", 0)
	expect(t, a, services("b", "d"), "b 127.77.0.1:80 80/TCP", "d 127.77.0.2:80 80/TCP")
	expect(t, a, services("a", "b", "c", "d"),
		"a 127.77.0.3:80 80/TCP", "b 127.77.0.1:80 80/TCP", "c 127.77.0.4:80 80/TCP", "d 127.77.0.2:80 80/TCP")
	expect(t, a, services("d"), "d 127.77.0.2:80 80/TCP")
	expect(t, a, services("d", "new"), "d 127.77.0.2:80 80/TCP", "new 127.77.0.5:80 80/TCP")
}

func TestFreedAddressesComeLastAndTheLongestFreeFirst(t *testing.T) {
	a := allocate("127.77.0.0/29", 0) // .1 to .6
	expect(t, a, services("a", "b", "c"), "a 127.77.0.1:80 80/TCP", "b 127.77.0.2:80 80/TCP", "c 127.77.0.3:80 80/TCP")
	expect(t, a, services("b"), "b 127.77.0.2:80 80/TCP") // a and c are gone, then b
	expect(t, a, services("a"), "a 127.77.0.1:80 80/TCP") // a is back at its own
	expect(t, a, services("a", "p", "q", "r", "s"),
		"a 127.77.0.1:80 80/TCP", "p 127.77.0.4:80 80/TCP", "q 127.77.0.5:80 80/TCP", "r 127.77.0.6:80 80/TCP",
		"s 127.77.0.3:80 80/TCP") // of c and b, c went first
}

func TestAnExhaustedRangeIsAProblemOfTheServiceThatGotNone(t *testing.T) {
	a := allocate("127.77.0.0/30", 0)
	expect(t, a, services("a", "b", "c"), "a 127.77.0.1:80 80/TCP", "b 127.77.0.2:80 80/TCP",
		"Service shop/c AddressesExhausted")
	expect(t, a, services("b", "c"), "b 127.77.0.2:80 80/TCP", "c 127.77.0.1:80 80/TCP")
}

func TestEveryPortIsListenedForWithTheOffset(t *testing.T) {
	a := allocate("127.77.0.0/16", 8000)
	in := services("a")
	service := in.Services[mesh.Name{Namespace: "shop", Name: "a"}]
	service.Ports = []mesh.ServicePort{{Number: 53, Transport: mesh.UDP}, {Number: 53}, {Number: 57535}, {Number: 57536}, {Number: 132, Unsupported: true}}
	in.Services[service.Name()] = service
	expect(t, a, in, "a 127.77.0.1:65535 57535/TCP", "a 127.77.0.1:8053 53/TCP", "a 127.77.0.1:8053 53/UDP",
		"Service shop/a PortOutOfRange")
}

func TestWhatIsNotMeshedGetsNoAddress(t *testing.T) {
	in := services("a")
	in.Services[mesh.Name{Namespace: "kube-system", Name: "kube-dns"}] = mesh.ServiceInput{Ports: []mesh.ServicePort{{Number: 53}}}
	in.Services[mesh.Name{Namespace: "shop", Name: "0"}] = mesh.ServiceInput{External: true, Ports: []mesh.ServicePort{{Number: 80}}}
	expect(t, allocate("127.77.0.0/16", 0), in, "a 127.77.0.1:80 80/TCP")
}

func TestIPv6RangesWorkToo(t *testing.T) {
	expect(t, allocate("fd77::/127", 0), services("a", "b", "c"),
		"a [fd77::]:80 80/TCP", "b [fd77::1]:80 80/TCP", "Service shop/c AddressesExhausted")
	expect(t, allocate("fd77::/126", 0), services("a", "b", "c", "d"),
		"a [fd77::1]:80 80/TCP", "b [fd77::2]:80 80/TCP", "c [fd77::3]:80 80/TCP", "Service shop/d AddressesExhausted")
}

func TestOneAddressIsSharedByPort(t *testing.T) {
	taken := map[string]bool{"127.0.0.1:20001/TCP": true}
	a := newAllocator(netip.MustParsePrefix("127.0.0.1/32"), 0, func(at netip.AddrPort, transport mesh.Transport) bool {
		return !taken[at.String()+"/"+transport.String()]
	})
	expect(t, a, services("b", "c"), "b 127.0.0.1:20000 80/TCP", "c 127.0.0.1:20002 80/TCP")
	taken["127.0.0.1:20000/TCP"] = true // by the mesh itself
	expect(t, a, services("a", "c"), "a 127.0.0.1:20003 80/TCP", "c 127.0.0.1:20002 80/TCP")
	expect(t, a, services("b"), "b 127.0.0.1:20000 80/TCP")
}

func TestSharedPortsEnd(t *testing.T) {
	a := newAllocator(netip.MustParsePrefix("127.0.0.1/32"), 0, func(at netip.AddrPort, _ mesh.Transport) bool {
		return at.Port() == 65535
	})
	expect(t, a, services("a", "b"), "a 127.0.0.1:65535 80/TCP", "Service shop/b PortsExhausted")
	expect(t, a, services("a", "b"), "a 127.0.0.1:65535 80/TCP", "Service shop/b PortsExhausted")
}
