package upstream

import (
	"math/rand/v2"
	"net/netip"
	"slices"
)

// mostTries is how many endpoints a call is tried at before it is refused.
const mostTries = 3

// Try walks through the endpoints of a cluster for one call: each at most once,
// at most three. It belongs to one goroutine.
type Try struct {
	cluster *Cluster
	client  netip.Addr
	tried   [mostTries]*Endpoint
	count   int
}

// Try begins a call from a client's address, which matters to affinity only.
func (c *Cluster) Try(client netip.Addr) Try { return Try{cluster: c, client: client} }

// Next returns the endpoint to try next, counted as busy until its Release, or
// nil when the call has been tried enough. Endpoints that just refused a
// connection come last.
func (t *Try) Next() *Endpoint {
	if t.count == min(mostTries, len(t.cluster.endpoints)) {
		return nil
	}
	var e *Endpoint
	if t.cluster.affinity {
		e = t.nearest()
	} else {
		e = t.lighter()
	}
	e.load.Add(1)
	t.tried[t.count] = e
	t.count++
	return e
}

// lighter is the power of two choices: of two random endpoints the one with
// less in flight. Someone is left to choose.
func (t *Try) lighter() *Endpoint {
	all := t.cluster.endpoints
	if len(all) == 1 {
		return all[0]
	}
	one := t.from(rand.IntN(len(all)), nil)
	other := t.from(rand.IntN(len(all)), one)
	switch {
	case other == nil:
		return one
	case one.resting() && other.resting():
		return t.awake(one)
	case other.resting():
		return one
	case one.resting() || other.Load() < one.Load():
		return other
	}
	return one
}

// from returns the first endpoint from an index on, around the end, that was
// not tried and is not the one to leave out; nil for none.
func (t *Try) from(start int, except *Endpoint) *Endpoint {
	all := t.cluster.endpoints
	for i := range all {
		e := all[(start+i)%len(all)]
		if e != except && !slices.Contains(t.tried[:t.count], e) {
			return e
		}
	}
	return nil
}

// awake returns any untried endpoint that does not rest, else the given one.
func (t *Try) awake(otherwise *Endpoint) *Endpoint {
	all := t.cluster.endpoints
	start := rand.IntN(len(all))
	for i := range all {
		e := all[(start+i)%len(all)]
		if !e.resting() && !slices.Contains(t.tried[:t.count], e) {
			return e
		}
	}
	return otherwise
}

// nearest is rendezvous hashing: a client stays on its endpoint as long as that
// is there, and the clients of one that left spread over all others.
func (t *Try) nearest() *Endpoint {
	ip := t.client.As16()
	client := hash(ip[:], 0)
	var best *Endpoint
	var bestScore uint64
	var bestRests bool
	for _, e := range t.cluster.endpoints {
		if slices.Contains(t.tried[:t.count], e) {
			continue
		}
		score, rests := mix(client^e.hash), e.resting()
		if best == nil || bestRests && !rests || bestRests == rests && score > bestScore {
			best, bestScore, bestRests = e, score, rests
		}
	}
	return best
}
