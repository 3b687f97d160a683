package upstream

import (
	"sync"

	"github.com/weft-mesh/weft/pkg/route"
)

// Unit is what a weighted rotation counts. Requests and connections rotate
// apart: a connection that is opened only to see who speaks first must not
// disturb the share of requests.
type Unit uint8

// The units.
const (
	Requests Unit = iota
	Connections
	units
)

// rotation is a smooth weighted round robin: each call gives every backend its
// weight, takes the richest and charges it the sum. The sequence repeats after
// as many calls as the weights' sum, so any window of that length is exact, and
// the calls of one backend lie as far apart as they can.
type rotation struct {
	mu     sync.Mutex // guards credit
	credit [units][]int64
}

func newRotation(backends int) *rotation {
	r := &rotation{}
	for u := range r.credit {
		r.credit[u] = make([]int64, backends)
	}
	return r
}

// next returns the index of the backend that takes the next call. There must be one.
func (r *rotation) next(u Unit, backends []route.Backend) int {
	if len(backends) == 1 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	credit, richest, sum := r.credit[u], 0, int64(0)
	for i := range backends {
		credit[i] += backends[i].Weight
		sum += backends[i].Weight
		if credit[i] > credit[richest] {
			richest = i
		}
	}
	credit[richest] -= sum
	return richest
}
