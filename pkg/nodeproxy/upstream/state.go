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
	known, now := make(map[netip.AddrPort]State, len(addresses)), int64(time.Since(s.epoch))
	for _, address := range addresses {
		known[address] = State{Address: address}
	}
	for key, e := range s.endpoints {
		if before, wanted := known[key.address]; wanted {
			known[key.address] = before.join(e.state(now))
		}
	}
	out := make([]State, len(addresses))
	for i, address := range addresses {
		out[i] = known[address]
	}
	return out
}

// join is the State of an address that is spoken to in two ways.
func (s State) join(o State) State {
	s.Load += o.Load
	s.LatencyMs, s.Failures = max(s.LatencyMs, o.LatencyMs), max(s.Failures, o.Failures)
	s.Resting, s.Ejected = s.Resting || o.Resting, s.Ejected || o.Ejected
	return s
}

func (e *Endpoint) state(now int64) State {
	out := State{Address: e.Address, Load: e.Load(), Failures: int(e.failures.Load()), Resting: e.resting(), Ejected: e.health.Ejected(time.Now())}
	if ns, known := e.latency.estimate(now); known {
		out.LatencyMs = float64(ns) / float64(time.Millisecond)
	}
	return out
}
