package http1

import (
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

const (
	headBuffer = 16 << 10
	// replayable bounds the bodies that are held in memory whole, so that they
	// can be sent again.
	replayable = 64 << 10
	// gathered bounds what is copied to be sent with one system call.
	gathered = 4 << 10
	// mostInterims is how many interim responses an endpoint may send.
	mostInterims = 8
)

// outcome is what became of a request at an endpoint.
type outcome uint8

const (
	running   outcome = iota
	complete          // the answer has been sent
	unsent            // the connection was dead before it took a byte
	unheard           // it broke before it gave a byte
	broken            // it broke within the answer
	malformed         // the answer is not HTTP
	gone              // the client has left
	switched          // the connection is WebSocket's now
	refused           // the proxy has answered in its stead
	faulty            // a fault of the proxy
)

// exchange is one request on its way and the memory that takes. A connection
// has one only while bytes of a request are there.
type exchange struct {
	// What the client sends: buf[r:w] is not used yet.
	buf      []byte
	r, w     int
	large    *[]byte // the engine's, where buf is one
	more     bool    // the kernel has more than was read
	now      time.Duration
	headed   bool        // request and out are valid
	streamed bool        // the body does not fit into out
	whole    atomic.Bool // the body was taken to its end

	request wire.Request
	body    wire.Body
	out     []byte // the request as the endpoint gets it, as far as it is held
	forward wire.Forward
	started time.Duration

	snapshot *upstream.Snapshot
	route    *upstream.Route
	decision upstream.Decision
	cluster  *upstream.Cluster
	endpoint *upstream.Endpoint
	try      upstream.Try

	answer
}

// answer is the state of the endpoint's answer.
type answer struct {
	wrote    bool // the request was sent
	begun    bool // a byte of the answer came
	headDone bool // the final head was read
	told     bool // and has reached the client
	closing  bool // nothing follows on the client's connection
	reusable bool // the endpoint's connection can be used again
	nudged   bool // the watch has woken it: it cannot
	outcome  outcome
	interims int
	why      error
	response wire.Response
	rest     wire.Body
	in       *[]byte // read from the endpoint: the first n bytes are not used yet
	n        int
	pending  []byte // not sent to the client yet
}

// exchange lends an exchange.
func (e *Engine) exchange() *exchange {
	if x, ok := e.exchanges.Get().(*exchange); ok {
		return x
	}
	x := &exchange{buf: make([]byte, headBuffer)}
	x.pending = make([]byte, 0, 2*gathered)
	return x
}

// release takes an exchange back.
func (e *Engine) release(x *exchange) {
	e.dropInput(x)
	if x.large != nil {
		e.give(x.large)
		x.large, x.buf = nil, make([]byte, headBuffer)
	}
	if cap(x.out) > headBuffer {
		x.out = nil
	}
	if cap(x.pending) > headBuffer {
		x.pending = make([]byte, 0, 2*gathered)
	}
	x.next()
	x.r, x.w = 0, 0
	e.exchanges.Put(x)
}

// dropInput gives the buffer of the endpoint's bytes back.
func (e *Engine) dropInput(x *exchange) {
	if x.in != nil {
		e.give(x.in)
		x.in, x.n = nil, 0
	}
}

// next makes the exchange ready for the next request of its connection.
func (x *exchange) next() {
	x.request.Reset()
	x.headed, x.streamed, x.out = false, false, x.out[:0]
	x.whole.Store(false)
	x.snapshot, x.route, x.cluster, x.endpoint = nil, nil, nil, nil
	x.decision = upstream.Decision{}
	x.try = upstream.Try{}
	x.again()
}

// again makes it ready to be sent to another connection.
func (x *exchange) again() {
	a := &x.answer
	a.wrote, a.begun, a.headDone, a.told, a.closing, a.reusable, a.nudged = false, false, false, false, false, false, false
	a.outcome, a.interims, a.why, a.n = running, 0, nil, 0
	a.pending = a.pending[:0]
	a.response.Reset(wire.Asked{Head: x.request.Head(), Upgrade: x.request.Upgrade(), Old: x.request.Old()})
}

// adopt takes in what was read before.
func (e *Engine) adopt(x *exchange, first []byte) {
	if len(first) > len(x.buf) {
		x.large = e.buffer()
		x.buf = *x.large
	}
	x.w = copy(x.buf, first)
}

// room makes room behind buf[r:w], up to what a head may need.
func (e *Engine) room(x *exchange) {
	if x.r > 0 {
		x.w = copy(x.buf, x.buf[x.r:x.w])
		x.r = 0
	}
	if x.w == len(x.buf) && x.large == nil {
		x.large = e.buffer()
		copy(*x.large, x.buf)
		x.buf = *x.large
	}
}

// hold moves what is there of the body to the request that is sent. done tells
// that the body is complete.
func (x *exchange) hold() (done bool, err error) {
	for !x.body.Done() {
		step, err := x.body.Scan(x.buf[x.r:x.w])
		if err != nil {
			return false, err
		}
		if step.Pass+step.Drop == 0 {
			return false, nil
		}
		x.out = append(append(x.out, x.buf[x.r:x.r+step.Pass]...), step.Put...)
		x.r += step.Pass + step.Drop
	}
	x.whole.Store(true)
	return true, nil
}

// fits tells whether the body can be held in memory whole: it is short, and
// how long it is was said.
func (x *exchange) fits() bool {
	length, sized := x.request.Length()
	return sized && length <= replayable
}

// open tells that a request has begun and is not complete.
func (x *exchange) open() bool { return x.headed || x.request.Begun() }
