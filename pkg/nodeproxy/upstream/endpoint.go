package upstream

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/policy"
)

// How long an endpoint that refused a connection is passed over while there are
// others: doubled with each further failure.
const (
	shortestRest = 500 * time.Millisecond
	longestRest  = 16 * time.Second
)

// Endpoint is the state of one endpoint over all Tables that name it.
type Endpoint struct {
	// Address is where it listens.
	Address netip.AddrPort

	tls         *trust     // what it must prove; nil for nothing
	epoch       *time.Time // the Set's
	joined      int64      // when it was first named, since epoch; 0 for those of the first Table
	hash        uint64
	latency     latency
	load        atomic.Int64 // requests and connections in flight
	connections atomic.Int64 // that are open
	failures    atomic.Int32 // connection attempts that failed in a row
	rest        atomic.Int64 // Unix nanoseconds until which it is passed over
	gone        atomic.Bool
	health      policy.Health
	connect     atomic.Int64 // how long an attempt to connect may take, in nanoseconds; 0 says nothing
	idle        atomic.Int64 // how long an unused connection is kept, likewise
	workload    atomic.Pointer[mesh.Workload]
}

func newEndpoint(key endpointKey, epoch *time.Time) *Endpoint {
	ip := key.address.Addr().As16()
	e := &Endpoint{Address: key.address, epoch: epoch, hash: hash(ip[:], uint64(key.address.Port()))}
	if key.tls != nil {
		e.tls = newTrust(key.tls)
	}
	return e
}

// Release ends what a Try's Next began: one request or connection less in flight.
func (e *Endpoint) Release() { e.load.Add(-1) }

// Load is how many requests and connections are in flight.
func (e *Endpoint) Load() int64 { return e.load.Load() }

// Disconnected ends what a Dialer's Dial began: one connection less is open.
func (e *Endpoint) Disconnected() { e.connections.Add(-1) }

// Gone is true once no Table names the endpoint: what was in flight goes on,
// but nothing should be kept for later.
func (e *Endpoint) Gone() bool { return e.gone.Load() }

// Workload is the live pod that holds the address by the latest Table; nil for
// nobody known.
func (e *Endpoint) Workload() *mesh.Workload { return e.workload.Load() }

// Idle is how long a connection to the endpoint is kept that no request uses;
// otherwise where no policy says.
func (e *Endpoint) Idle(otherwise time.Duration) time.Duration {
	if said := time.Duration(e.idle.Load()); said > 0 {
		return said
	}
	return otherwise
}

// connected forgets the failures.
func (e *Endpoint) connected() {
	if e.failures.Load() != 0 {
		e.failures.Store(0)
		e.rest.Store(e.health.Until())
	}
}

// Failed tells that the endpoint cannot be reached: it rests while there are others.
func (e *Endpoint) Failed() {
	n := min(e.failures.Add(1)-1, 10)
	rest := min(shortestRest<<n, longestRest)
	e.rest.Store(max(time.Now().Add(rest).UnixNano(), e.health.Until()))
}

// resting tells whether the endpoint failed a short while ago.
func (e *Endpoint) resting() bool {
	rest := e.rest.Load()
	return rest != 0 && time.Now().UnixNano() < rest
}

// hash is FNV-1a with a final mix, the same in every process: an affinity holds
// across node proxies.
func hash(b []byte, seed uint64) uint64 {
	h := uint64(14695981039346656037) ^ seed
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h)
}

// mix spreads a change of any bit over all bits (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
