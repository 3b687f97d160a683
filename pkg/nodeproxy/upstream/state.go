package upstream

import (
	"net/netip"
	"time"
)

// State is what a proxy has seen of an endpoint.
type State struct {
	Address netip.AddrPort `json:"address"`
	// Load is how many requests and connections of this proxy are in flight.
	Load int64 `json:"load"`
	// LatencyMs is how soon answers begin, in milliseconds; 0 before the first.
	LatencyMs float64 `json:"latencyMs,omitempty"`
	// Failures are the connection attempts that failed in a row.
	Failures int `json:"failures,omitempty"`
	// Resting is true while the endpoint is passed over for its failures, Ejected
	// where these are of requests, not of connections.
	Resting bool `json:"resting,omitempty"`
	Ejected bool `json:"ejected,omitempty"`
}

// States returns what is known of endpoints; an address that no Table names has
// a State of zeros.
func (s *Set) States(addresses []netip.AddrPort) []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]State, len(addresses))
	for i, address := range addresses {
		out[i].Address = address
		if e := s.endpoints[address]; e != nil {
			out[i] = e.state(int64(time.Since(s.epoch)))
		}
	}
	return out
}

func (e *Endpoint) state(now int64) State {
	out := State{Address: e.Address, Load: e.Load(), Failures: int(e.failures.Load()), Resting: e.resting(), Ejected: e.health.Ejected(time.Now())}
	if ns, known := e.latency.estimate(now); known {
		out.LatencyMs = float64(ns) / float64(time.Millisecond)
	}
	return out
}
