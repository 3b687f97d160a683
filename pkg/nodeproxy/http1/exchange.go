package http1

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/policy"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

const (
	// headBuffer is what most heads fit into. A thousand requests under way
	// touch a thousand of them: a page each.
	headBuffer = 4 << 10
	// outBuffer is what most heads with a small body fit into.
	outBuffer = 1 << 10
	// keptBuffer is how large memory may have grown to be lent again.
	keptBuffer = 16 << 10
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
	open      outcome = iota
	complete          // the answer was read to its end
	unsent            // the connection was dead before it took a byte
	unheard           // it broke before it gave a byte
	torn              // it broke within the answer
	malformed         // the answer is not HTTP
	left              // the client has left
	switched          // the connection is WebSocket's now
	misled            // the client's body is malformed
	excess            // the client's body is larger than a policy allows
	retried           // the answer is not passed on: the request is tried again
)

// exchange is one request on its way and the memory that takes. A connection
// has one only while bytes of a request are there.
type exchange struct {
	own      []byte        // up's memory until it needs more
	up       flow          // from the client; its begin is held in out
	headed   bool          // request and out are valid
	streamed bool          // the body does not fit into out
	whole    bool          // the body was taken to its end
	ended    bool          // and the client's stream ended with it
	left     time.Duration // when it was looked whether the client has left, 0 for not yet
	looks    int           // how often

	request wire.Request
	body    wire.Body
	out     []byte // the request as the endpoint gets it, as far as it is held
	forward wire.Forward
	started time.Duration

	snapshot *upstream.Snapshot
	route    *upstream.Route
	decision upstream.Decision
	note     *telemetry.Note // for Events; nil where nobody wants it
	cluster  *upstream.Cluster
	endpoint *upstream.Endpoint
	pool     *pool // the endpoint's
	try      upstream.Try
	failed   error // why the last endpoint could not be connected to

	policy   upstream.Call
	edits    *policy.Edits     // of the answer
	refusal  refusal           // why it is refused before it is sent; no reason: it is not
	copy     upstream.Decision // where a copy goes; no cluster: nowhere
	overAt   time.Duration     // when it must have ended, 0 for never
	tryUntil time.Duration     // until when the answer to this try must begin, 0 for ever
	resumeAt time.Duration     // when what is held back goes on

	answer
}

// answer is what has come of a request at one connection to an endpoint.
type answer struct {
	sent     int   // of out
	refused  error // why the endpoint takes no more of it
	begun    bool  // a byte of the answer came
	headDone bool  // the final head was read
	told     bool  // and has reached the client
	closing  bool  // nothing follows on the client's connection
	outcome  outcome
	interims int
	why      error
	response wire.Response
	rest     wire.Body
	down     flow // to the client
}

// exchange lends an exchange.
func (e *Engine) exchange() *exchange {
	if x, ok := e.exchanges.Get().(*exchange); ok {
		return x
	}
	most := &e.config.Limits
	x := &exchange{own: make([]byte, headBuffer)}
	x.request.Limits = wire.Limits{Bytes: most.HeadBytes, Fields: most.Fields}
	x.response.Limits = x.request.Limits
	x.down.least = e.portion
	x.down.out = make([]byte, 0, outBuffer)
	x.up.buf = x.own
	return x
}

// release takes an exchange back.
func (e *Engine) release(x *exchange) {
	e.lay(&x.down)
	e.lay(&x.up)
	x.up.buf = x.own
	if cap(x.out) > keptBuffer {
		x.out = nil
	}
	if cap(x.down.out) > keptBuffer {
		x.down.out = make([]byte, 0, outBuffer)
	}
	x.next()
	e.exchanges.Put(x)
}

// next makes the exchange ready for the next request of its connection.
func (x *exchange) next() {
	x.request.Reset()
	x.headed, x.streamed, x.whole, x.ended, x.left, x.looks, x.out = false, false, false, false, 0, 0, x.out[:0]
	x.up = flow{buf: x.up.buf, r: x.up.r, w: x.up.w, lent: x.up.lent, out: x.up.out[:0], since: x.up.since}
	x.snapshot, x.route, x.cluster, x.endpoint, x.pool, x.failed = nil, nil, nil, nil, nil, nil
	x.decision, x.try, x.note, x.body = upstream.Decision{}, upstream.Try{}, nil, wire.Body{}
	if x.policy.Active() {
		x.policy.End(time.Time{}, 0)
		x.policy = upstream.Call{}
	}
	x.edits, x.refusal, x.copy, x.overAt, x.tryUntil, x.resumeAt = nil, refusal{}, upstream.Decision{}, 0, 0, 0
	x.again()
}

// again makes it ready to be sent to another connection.
func (x *exchange) again() {
	a := &x.answer
	a.sent, a.refused, a.begun, a.headDone, a.told, a.closing = 0, nil, false, false, false, false
	a.outcome, a.interims, a.why = open, 0, nil
	a.down = flow{buf: a.down.buf, lent: a.down.lent, out: a.down.out[:0], least: a.down.least}
	x.expect()
}

// expect makes the exchange ready for the next head of an endpoint.
func (x *exchange) expect() {
	x.response.Reset(wire.Asked{Head: x.request.Head(), Upgrade: x.request.Upgrade(), Old: x.request.Old()})
}

// adopt takes in what was read before.
func (e *Engine) adopt(x *exchange, first []byte) {
	if len(first) > len(x.up.buf) {
		e.lend(&x.up)
	}
	x.up.w = copy(x.up.buf, first)
}

// room makes room behind what was read, up to what a head may need.
func (e *Engine) room(x *exchange) {
	x.up.compact()
	if x.up.w == len(x.up.buf) {
		e.lend(&x.up)
	}
}

// hold moves what is there of the body to the request that is sent. done tells
// that the body is complete.
func (x *exchange) hold() (done bool, err error) {
	f := &x.up
	for !x.body.Done() {
		step, err := x.body.Scan(f.buf[f.r:f.w])
		if err != nil {
			return false, err
		}
		if step.Pass+step.Drop == 0 {
			return false, nil
		}
		x.out = append(append(x.out, f.buf[f.r:f.r+step.Pass]...), step.Put...)
		f.r += step.Pass + step.Drop
	}
	return true, nil
}

// fits tells whether the body can be held in memory whole: it is short, and
// how long it is was said.
func (x *exchange) fits() bool {
	length, sized := x.request.Length()
	return sized && length <= replayable
}

// replays tells that a policy may want the request again, or a copy of it: its
// body is then kept while it is sent, although nobody knows how long it will be.
func (x *exchange) replays() bool {
	_, sized := x.request.Length()
	return !sized && (x.policy.Retries() || x.copy.Cluster != nil)
}

// due is how many bytes the client must send in time: as many as its rate says
// where it has said how many come, else any.
func (x *exchange) due(e *Engine) int {
	if _, sized := x.request.Length(); x.headed && sized || x.body.Sized() > 0 {
		return e.portion
	}
	return 0
}

// open tells that a request has begun and is not complete.
func (x *exchange) open() bool { return x.headed || x.request.Begun() }
