package upstream

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

// A call is tried at leastTries endpoints before it is refused, where there are
// so many, and at up to mostTries while they all refuse it quickly: when a
// Service is scaled down most of its pods may end in the same moment.
const (
	leastTries = 3
	mostTries  = 8
	quickly    = time.Second
)

// Try walks through the endpoints of a cluster for one call: each at most once.
// It belongs to one goroutine.
type Try struct {
	cluster *Cluster
	among   []*Endpoint // those of the cluster that the next is chosen from
	client  netip.Addr
	unit    Unit
	began   int64 // when Next returned last, since the Set's epoch
	begun   int64 // when it returned first
	first   int64 // how long after that the answer began; 0 before it
	tried   [mostTries]*Endpoint
	since   [mostTries]int64 // when Next returned each, since the Set's epoch
	count   int

	key    uint64 // of what keeps the call on one endpoint
	keyed  bool
	wanted uint64 // the hash of the endpoint that a cookie names; 0 for none
}

// Try begins a request from a client's address, which matters to affinity only.
func (c *Cluster) Try(client netip.Addr) Try { return Try{cluster: c, client: client} }

// TryConnection begins a connection (or UDP session) from a client's address.
// Its endpoint is chosen by what is in flight alone.
func (c *Cluster) TryConnection(client netip.Addr) Try {
	return Try{cluster: c, client: client, unit: Connections}
}

// Next returns the endpoint to try next, counted as busy until its Release, or
// nil when the call has been tried enough. Endpoints that just refused a
// connection come last.
func (t *Try) Next() *Endpoint {
	if t.count == min(mostTries, len(t.cluster.endpoints)) {
		return nil
	}
	now := t.now()
	if t.count >= leastTries && now-t.begun > int64(quickly) {
		return nil
	}
	return t.next(now)
}

// Again is Next for a call that a policy tries more often than that: where each
// endpoint was tried it begins anew, with the one that was tried last only where
// there is no other. The cluster has an endpoint.
func (t *Try) Again() *Endpoint {
	if e := t.Next(); e != nil {
		return e
	}
	last := t.tried[t.count-1]
	t.tried, t.count = [mostTries]*Endpoint{}, 0
	if len(t.cluster.endpoints) > 1 {
		t.tried[0], t.count = last, 1
	}
	return t.next(t.now())
}

// Answered tells that the endpoint that Next returned last had begun its final
// answer at a time: the one by which the end of the request is told as well. It
// is called at most once for a request, and not for one that nothing answered.
func (t *Try) Answered(at time.Time) {
	if t.count > 0 && t.unit == Requests {
		now := int64(at.Sub(*t.cluster.endpoints[0].epoch))
		t.first = max(now-t.begun, 1)
		t.answered(now)
	}
}

// FirstByte is how long the answer took to begin, from when the first endpoint
// was chosen; 0 where none began.
func (t *Try) FirstByte() time.Duration { return time.Duration(t.first) }

// Last is the endpoint that Next returned last, nil for none.
func (t *Try) Last() *Endpoint {
	if t.count == 0 {
		return nil
	}
	return t.tried[t.count-1]
}

// Attempts are the endpoints that were tried lately, in turn.
func (t *Try) Attempts() (out []telemetry.Attempt) {
	for i, e := range t.tried[:t.count] {
		out = append(out, telemetry.Attempt{Endpoint: e.Address, Began: e.epoch.Add(time.Duration(t.since[i]))})
	}
	return out
}

// now is the time since the Set's epoch, without the jumps of the wall clock.
// The cluster has an endpoint.
func (t *Try) now() int64 { return int64(time.Since(*t.cluster.endpoints[0].epoch)) }

func (t *Try) answered(now int64) {
	t.tried[t.count-1].latency.answered(now, now-t.began)
}

// next is Next at a given time. Someone is left to choose.
func (t *Try) next(now int64) *Endpoint {
	e := t.choose(now)
	e.load.Add(1)
	if t.unit == Requests {
		e.latency.begin(now)
	}
	t.began = now
	if t.begun == 0 {
		t.begun = max(now, 1)
	}
	t.since[t.count] = now
	t.tried[t.count] = e
	t.count++
	return e
}

// choose returns the endpoint whose turn it is.
func (t *Try) choose(now int64) *Endpoint {
	t.among = t.reach()
	if t.wanted != 0 && t.count == 0 {
		if e := t.named(); e != nil {
			return e
		}
	}
	switch balancer := t.cluster.balancer(); {
	case t.keyed:
		return t.nearest(t.key)
	case t.cluster.affinity:
		ip := t.client.As16()
		return t.nearest(hash(ip[:], 0))
	case balancer == roundRobin:
		return t.fit(int(t.cluster.policies.turn.Add(1)%uint64(len(t.among))), now)
	case balancer == random:
		return t.fit(rand.IntN(len(t.among)), now)
	}
	return t.lighter(now)
}

// named returns the endpoint that a cookie names, unless it rests or is gone.
func (t *Try) named() *Endpoint {
	for _, e := range t.cluster.endpoints {
		if e.hash == t.wanted && !e.resting() {
			return e
		}
	}
	return nil
}

// fit returns the first endpoint from an index on that was not tried and does
// not rest; one that is new is passed over with the share of the slow start that
// is still before it. Where there is none it returns any that was not tried.
func (t *Try) fit(start int, now int64) *Endpoint {
	all := t.among
	for i := range all {
		e := all[(start+i)%len(all)]
		if e.resting() || slices.Contains(t.tried[:t.count], e) {
			continue
		}
		if warm := t.warmth(e, now); warm < 1 && rand.Float32() > warm {
			continue
		}
		return e
	}
	return t.awake(t.from(start, nil))
}

// coldest is the share of calls that an endpoint gets at the begin of its slow
// start.
const coldest = 0.1

// warmth is the share of calls that an endpoint is to get of what it would get
// without a slow start.
func (t *Try) warmth(e *Endpoint, now int64) float32 {
	p := t.cluster.policies
	if p == nil || p.Spec.SlowStart == 0 || e.joined == 0 {
		return 1
	}
	age := float32(now-e.joined) / float32(p.Spec.SlowStart)
	return min(max(age, coldest), 1)
}

// lighter is the power of two choices: the better of two random endpoints.
func (t *Try) lighter(now int64) *Endpoint {
	all := t.among
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
	case one.resting() || t.better(other, one, now):
		return other
	}
	return one
}

// better tells whether a is to be preferred to b: for a request the one where
// latency times what would be in flight is less. While one of them has not
// answered yet, what is in flight decides alone: so a new endpoint is neither
// flooded for its unknown latency nor shunned.
func (t *Try) better(a, b *Endpoint, now int64) bool {
	loadA, loadB := a.load.Load()+1, b.load.Load()+1
	if p := t.cluster.policies; p != nil && p.Spec.SlowStart > 0 {
		return t.cost(a, loadA, now) < t.cost(b, loadB, now)
	}
	if t.unit != Requests || t.cluster.balancer() == leastRequest {
		return loadA < loadB
	}
	slowA, knownA := a.latency.estimate(now)
	slowB, knownB := b.latency.estimate(now)
	if !knownA || !knownB {
		return loadA < loadB
	}
	return slowA*float32(loadA) < slowB*float32(loadB)
}

// cost is what better compares, for endpoints of which some are new.
func (t *Try) cost(e *Endpoint, load int64, now int64) float32 {
	cost := float32(load) / t.warmth(e, now)
	if slow, known := e.latency.estimate(now); known && t.unit == Requests && t.cluster.balancer() == ewma {
		cost *= slow / noise
	}
	return cost
}

// from returns the first endpoint from an index on, around the end, that was
// not tried and is not the one to leave out; nil for none.
func (t *Try) from(start int, except *Endpoint) *Endpoint {
	all := t.among
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
	all := t.among
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
func (t *Try) nearest(client uint64) *Endpoint {
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
