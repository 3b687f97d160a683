package upstream

import (
	"math/rand/v2"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// zoneSpare is by how much the endpoints of a zone may take more calls than they
// would get if all of them could be used: while 1/1.4 of them can, all calls of
// the zone stay in it; below, so many go to others as exceed this.
const zoneSpare = 1.4

// divide tells the endpoints that hints mean for this zone from the others.
func (c *Cluster) divide(all []mesh.Endpoint) {
	for i, e := range c.endpoints {
		if all[i].Near {
			c.near = append(c.near, e)
		} else {
			c.far = append(c.far, e)
		}
	}
	if len(c.near) == 0 || len(c.far) == 0 {
		c.near, c.far = nil, nil
	}
}

// reach returns the endpoints that the next is chosen from: those that hints
// mean for this zone while enough of them can be used. Another try may leave the
// zone where nothing in it is left to try.
func (t *Try) reach() []*Endpoint {
	c := t.cluster
	if len(c.near) == 0 {
		return c.endpoints
	}
	usable := 0
	for _, e := range c.near {
		if !e.resting() && !slices.Contains(t.tried[:t.count], e) {
			usable++
		}
	}
	switch {
	case usable == 0:
		return c.endpoints
	case t.count > 0 || float64(usable)*zoneSpare >= float64(len(c.near)):
		return c.near
	case rand.Float64()*float64(len(c.near)) < float64(usable)*zoneSpare || allRest(c.far):
		return c.near
	}
	return c.far
}

// allRest tells whether none of the endpoints can be used.
func allRest(endpoints []*Endpoint) bool {
	return !slices.ContainsFunc(endpoints, func(e *Endpoint) bool { return !e.resting() })
}
