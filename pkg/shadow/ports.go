package shadow

import (
	"iter"
	"maps"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
)

// PortRange is where mesh ports come from, both ends included. The node proxy's
// own ports in it (15000 and 15020) are never given away. The zero value is
// 10000–32767: above what programs listen on by habit, below the ports that
// Linux gives to outgoing connections.
type PortRange struct{ First, Last uint16 }

func (r PortRange) orDefault() PortRange {
	if r == (PortRange{}) {
		return PortRange{First: 10000, Last: 32767}
	}
	return r
}

// usable tells whether a port may be a mesh port.
func (r PortRange) usable(port uint16) bool {
	return port >= r.First && port <= r.Last && port != adminPort && port != metricsPort
}

// size is the number of usable ports.
func (r PortRange) size() (n int) {
	for p := int(r.First); p <= int(r.Last); p++ {
		if r.usable(uint16(p)) {
			n++
		}
	}
	return n
}

// The ports that a node proxy itself listens on.
const (
	adminPort   = 15000
	metricsPort = 15020
)

// portKey is what a mesh port stands for.
type portKey struct {
	service   mesh.Name
	number    uint16
	transport mesh.Transport
}

// allocation is who has which mesh port. It is a value: allocate returns the
// next one and leaves the last as it was.
type allocation struct {
	held  map[portKey]uint16
	freed []uint16 // held once and by nobody now, longest ago first
	next  int      // where the search for a port that was never held goes on
}

// allocate gives each wanted key a mesh port: the one it has, for as long as it
// is wanted; else one that was never held, going round the range; else the one
// that was freed longest ago. So a connection that still goes to a freed port
// meets no other Service for as long as possible. Where two keys have one port
// (somebody edited the record), the first wanted keeps it. A port in standing
// is in the shadow Service of that Service now and is not given to another.
// Keys for which no port is left are returned in the order wanted.
func allocate(ports PortRange, last allocation, want []portKey, standing map[uint16]mesh.Name) (now allocation, without []portKey) {
	now = allocation{held: make(map[portKey]uint16, len(want)), next: max(last.next, int(ports.First))}
	used := make(map[uint16]bool, len(want))
	var fresh []portKey
	for _, key := range want {
		port, ok := last.held[key]
		if !ok || used[port] || !ports.usable(port) {
			fresh = append(fresh, key)
			continue
		}
		now.held[key] = port
		used[port] = true
	}
	now.freed = freed(ports, last, used)
	s := search{ports: ports, now: &now, used: used, idle: set(now.freed), standing: standing, left: int(ports.Last) - int(ports.First) + 1}
	for _, key := range fresh {
		port, ok := s.take(key.service)
		if !ok {
			without = append(without, key)
			continue
		}
		now.held[key] = port
	}
	return now, without
}

// freed returns the ports that were held and are not used now, those of this
// time last.
func freed(ports PortRange, last allocation, used map[uint16]bool) []uint16 {
	before := slices.DeleteFunc(slices.Clone(last.freed), func(p uint16) bool { return used[p] || !ports.usable(p) })
	known, released := set(before), map[uint16]bool{}
	for _, port := range last.held {
		if !used[port] && ports.usable(port) && !known[port] {
			released[port] = true
		}
	}
	return append(before, slices.Sorted(maps.Keys(released))...)
}

func set(ports []uint16) map[uint16]bool {
	out := make(map[uint16]bool, len(ports))
	for _, p := range ports {
		out[p] = true
	}
	return out
}

// search finds ports for the keys of one allocate.
type search struct {
	ports    PortRange
	now      *allocation
	used     map[uint16]bool
	idle     map[uint16]bool // freed at some time: the last resort
	standing map[uint16]mesh.Name
	left     int // ports that the round has not looked at
}

// take returns a port that nobody holds, for a Service, and marks it used.
func (s *search) take(service mesh.Name) (uint16, bool) {
	for ; s.left > 0; s.left-- {
		if s.now.next > int(s.ports.Last) {
			s.now.next = int(s.ports.First)
		}
		port := uint16(s.now.next)
		s.now.next++
		if s.ports.usable(port) && !s.idle[port] && s.open(port, service) {
			s.used[port] = true
			return port, true
		}
	}
	at := slices.IndexFunc(s.now.freed, func(p uint16) bool { return s.open(p, service) })
	if at < 0 {
		return 0, false
	}
	port := s.now.freed[at]
	s.now.freed = slices.Delete(s.now.freed, at, at+1)
	s.used[port] = true
	return port, true
}

// open tells whether a Service may have a port.
func (s *search) open(port uint16, service mesh.Name) bool {
	holder, stands := s.standing[port]
	return !s.used[port] && (!stands || holder == service)
}

// recorded reads the allocation back from shadow Services. Of several that have
// one port, allocate decides. What was freed before is not on record; the
// search goes on behind the highest port.
func recorded(shadows []corev1.Service) allocation {
	out := allocation{held: map[portKey]uint16{}}
	for i := range shadows {
		for key, port := range recordOf(&shadows[i]) {
			out.held[key] = port
			out.next = max(out.next, int(port)+1)
		}
	}
	return out
}

// recordOf yields the mesh ports of a shadow Service; of another Service, none.
func recordOf(shadow *corev1.Service) iter.Seq2[portKey, uint16] {
	return func(yield func(portKey, uint16) bool) {
		source, ok := sourceOf(shadow)
		if !ok {
			return
		}
		for i := range shadow.Spec.Ports {
			p := &shadow.Spec.Ports[i]
			transport, _ := mesh.ParseTransport(string(p.Protocol))
			key := portKey{service: source, number: uint16(p.Port), transport: transport}
			if !yield(key, uint16(p.TargetPort.IntValue())) {
				return
			}
		}
	}
}
