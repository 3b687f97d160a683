package http2

import (
	"net/http"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/policy"
)

// admit asks the policies of the route whether a request may go on. The caller
// holds mu.
func (c *conn) admit(w *work, x *call, m *message) refusal {
	if x.route.Policies == nil {
		return refusal{}
	}
	var verdict upstream.Verdict
	x.policy, verdict = x.route.Policies.Begin(w.now, upstream.Request{
		Snapshot: x.snapshot, Client: c.client.address,
		Idempotent: m.idempotent, GRPC: m.grpc, Timeout: m.grpcTimeout, Fields: m,
	})
	if verdict.Reason == "" {
		if no := x.policy.Oversized(m.size, m.length); no.Reason != "" {
			verdict = no
		}
	}
	if verdict.Delay > 0 {
		x.resumeAt = w.now.Add(verdict.Delay)
	}
	return refusal{reason: verdict.Reason, what: verdict.What, status: verdict.Status, retryAfter: verdict.RetryAfter}
}

// tooMuch ends a request whose body is larger than it may be. The caller holds mu.
func (c *conn) tooMuch(w *work, h *half, no upstream.Verdict) {
	c.abandon(w, h)
	if h.call.status != 0 {
		h.call.reason = no.Reason
		c.drop(w, h, cancelled)
		return
	}
	c.refuse(w, h, refusal{reason: no.Reason, what: no.What, status: no.Status})
}

// start dispatches a request, or holds it back for as long as a policy says.
// The caller holds mu.
func (c *conn) start(w *work, h *half) {
	if h.call.resumeAt.IsZero() {
		c.dispatch(w, h)
		return
	}
	c.arm(w, h)
}

// retry tells the policies how a try ended, and lets another follow where they
// ask for it. False means that none does. The caller holds mu.
func (c *conn) retry(w *work, h *half, o policy.Outcome) bool {
	x := &h.call
	if !x.policy.Active() {
		return false
	}
	if o.Kind != policy.Refused {
		x.try.Report(w.now, o)
	}
	if !x.keep {
		return false
	}
	wait, again := x.policy.Again(w.now, o)
	if !again {
		return false
	}
	c.abandon(w, h)
	x.endpoint.Release()
	x.endpoint, x.waiting, x.tryUntil, x.resumeAt = nil, true, time.Time{}, w.now.Add(wait)
	c.arm(w, h)
	return true
}

// arm sets the alarm of a half to what comes first of what its policies wait
// for. The caller holds mu.
func (c *conn) arm(w *work, h *half) {
	x := &h.call
	if !x.policy.Active() {
		return
	}
	var at time.Time
	for _, t := range [...]time.Time{x.policy.Deadline(), x.tryUntil, x.resumeAt} {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	c.disarm(h)
	if at.IsZero() {
		return
	}
	c.engine.running.Add(1)
	if after := at.Sub(w.now); h.alarm == nil {
		h.alarm = time.AfterFunc(after, func() { c.rang(h) })
	} else {
		h.alarm.Reset(after)
	}
}

// disarm stops the alarm. The caller holds mu.
func (c *conn) disarm(h *half) {
	if h.alarm != nil && h.alarm.Stop() {
		c.engine.running.Done()
	}
}

// rang is what an alarm does. It may come late, for a stream that is over: then
// nothing is due.
func (c *conn) rang(h *half) {
	defer c.engine.running.Done()
	defer c.engine.guard("a request failed by a fault of the proxy")
	w := &work{engine: c.engine, now: time.Now()}
	defer w.finish()
	c.locked(w, func(c *conn, w *work) { c.rung(w, h) })
}

func (c *conn) rung(w *work, h *half) {
	if c.dead || c.halves[h.id] != h {
		return
	}
	x := &h.call
	due := func(t time.Time) bool { return !t.IsZero() && !t.After(w.now) }
	switch {
	case due(x.policy.Deadline()):
		c.expire(w, h)
	case due(x.resumeAt):
		x.resumeAt = time.Time{}
		if x.endpoint == nil {
			x.endpoint = x.try.Again()
		}
		c.dispatchAgain(w, h)
	case due(x.tryUntil):
		x.tryUntil = time.Time{}
		if !c.retry(w, h, policy.Outcome{Kind: policy.TimedOut}) {
			c.abandon(w, h)
			c.refuse(w, h, refusal{reason: upstream.UpstreamTimeout, what: "the endpoint did not begin its answer in time"})
		}
	default:
		c.arm(w, h)
	}
}

// expire ends a request that took longer than it may. The caller holds mu.
func (c *conn) expire(w *work, h *half) {
	x := &h.call
	if x.status == 0 && x.endpoint != nil && x.policy.Overdue(w.now) {
		x.try.Report(w.now, policy.Outcome{Kind: policy.TimedOut})
	}
	c.abandon(w, h)
	const what = "the request took longer than it may"
	switch {
	case x.status == 0:
		c.refuse(w, h, refusal{reason: upstream.Timeout, what: what})
	case x.grpc && !h.end && !h.localEnd:
		x.reason, h.thenReset = upstream.Timeout, !h.remoteEnd
		c.tail(w, h, fields("grpc-status", "4", "grpc-message", grpcEscape("weft: "+what), "weft-reason", string(upstream.Timeout)))
	default:
		x.reason = upstream.Timeout
		c.drop(w, h, cancelled)
	}
}

// outcome is the status that says how the call has ended, for the circuit
// breaker; 0 where the client left.
func (x *call) outcome() int {
	switch x.reason {
	case "":
	case upstream.ClientGone, upstream.BadRequest:
		return 0
	default:
		return x.reason.Status()
	}
	if x.grpc && x.grpcStatus > 0 {
		return policy.StatusOfGRPC(x.grpcStatus)
	}
	if x.status == 0 {
		return http.StatusBadGateway
	}
	return x.status
}

// longestTimeout bounds what a grpc-timeout says: a longer one is none.
const longestTimeout = 365 * 24 * time.Hour

// grpcTimeout reads a grpc-timeout: at most eight digits and a unit; 0 for what
// is none.
func grpcTimeout(value []byte) time.Duration {
	n := len(value) - 1
	if n < 1 || n > 8 {
		return 0
	}
	sum := time.Duration(0)
	for _, c := range value[:n] {
		if c < '0' || c > '9' {
			return 0
		}
		sum = 10*sum + time.Duration(c-'0')
	}
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	unit := units[value[n]]
	return min(sum, longestTimeout/max(unit, 1)) * unit
}
