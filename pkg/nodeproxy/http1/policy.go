package http1

import (
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/policy"
)

const tookTooLong = "the request took longer than it may"

// wall is a time of the engine's clock as policies see it.
func (e *Engine) wall(now time.Duration) time.Time { return e.epoch.Add(now) }

// at is the opposite of wall; the zero time is 0, which is never.
func (e *Engine) at(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return t.Sub(e.epoch)
}

// admit asks the policies of the route whether a request may go on.
func (c *conn) admit(x *exchange) {
	verdict := upstream.Verdict{}
	x.policy, verdict = x.route.Policies.Begin(c.engine.wall(c.now), upstream.Request{
		Snapshot: x.snapshot, Client: c.client, Idempotent: x.request.Idempotent(), Fields: &x.request,
	})
	if verdict.Reason == "" {
		length, _ := x.request.Length()
		if no := x.policy.Oversized(x.request.Size(), int64(length)); no.Reason != "" {
			verdict = no
		}
	}
	x.refusal = refusal{reason: verdict.Reason, what: verdict.What, status: verdict.Status, retryAfter: verdict.RetryAfter}
	x.policy.Steer(&x.try, &x.request) // while the head is as it came
	x.overAt = c.engine.at(x.policy.Deadline())
	if verdict.Delay > 0 {
		x.resumeAt = c.now + verdict.Delay
	}
	if verdict.Reason == "" && !x.request.Upgrade() {
		x.copy = c.caller.Mirror(x.snapshot, x.route, &x.request)
	}
}

// tooMuch refuses a request whose body is larger than it may be; false means
// that it is not.
func (c *conn) tooMuch(x *exchange) bool {
	no := x.policy.Oversized(0, x.body.Data())
	if no.Reason == "" {
		return false
	}
	c.refuse(x, refusal{reason: no.Reason, what: no.What, status: no.Status})
	return true
}

// edit changes the header of the request as policies say, after they have read it.
func (x *exchange) edit() {
	request, response := x.route.Policies.Edits()
	if x.edits = response; request != nil {
		x.request.Edit(request.Drops, request.Lines())
	}
}

// judge looks at the head of an answer. It returns false where the request is
// tried again instead.
func (c *conn) judge(x *exchange, r *wire.Response) bool {
	x.tryUntil = 0
	o := policy.Outcome{Kind: policy.Answered, Status: r.Status(), GRPC: -1}
	wait, again := c.again(x, o)
	if again {
		x.outcome, x.resumeAt = retried, c.now+wait
		return false
	}
	if x.edits != nil {
		r.Edit(x.edits.Drops, x.edits.Lines())
	}
	if cookie := x.policy.Cookie(&x.try); cookie != "" {
		r.Add([]byte("set-cookie: " + cookie + "\r\n"))
	}
	return true
}

// again tells the policies how a try ended, and asks whether another follows.
func (c *conn) again(x *exchange, o policy.Outcome) (wait time.Duration, again bool) {
	if !x.policy.Active() {
		return 0, false
	}
	now := c.engine.wall(c.now)
	if x.endpoint != nil {
		x.try.Report(now, o)
	}
	if x.streamed || x.interims > 0 {
		return 0, false
	}
	return x.policy.Again(now, o)
}

// retry lets another try follow one that has ended so, where policies ask for
// it. False means that none does.
func (c *conn) retry(x *exchange, o policy.Outcome) bool {
	if o.Kind == policy.Answered {
		return false // judge has asked
	}
	wait, again := c.again(x, o)
	if again {
		x.resumeAt = c.now + wait
		c.hold(x)
	}
	return again
}

// hold keeps a request until the time to try it again.
func (c *conn) hold(x *exchange) {
	c.endTry(x)
	x.again()
	x.tryUntil, c.state = 0, waiting
}

// holdBack goes on with a request that was held back.
func (c *conn) holdBack(x *exchange) bool {
	if c.hasLeft(x) {
		c.gone(x)
		return false
	}
	if c.now < x.resumeAt {
		return false
	}
	x.resumeAt = 0
	c.tryAt(x, x.try.Again())
	return true
}

// ofTry is the outcome as policies see it.
func (o outcome) ofTry() policy.Outcome {
	switch o {
	case unsent:
		return policy.Outcome{Kind: policy.ConnectFailed}
	case unheard, torn, malformed:
		return policy.Outcome{Kind: policy.Reset}
	}
	return policy.Outcome{Kind: policy.Answered, Status: 200, GRPC: -1}
}

// wake is when policies want to be asked in a state; 0 for never.
func (x *exchange) wake(s state) (until time.Duration) {
	until = x.overAt
	if x.tryUntil != 0 {
		until = earlier(until, x.tryUntil)
	}
	if s == waiting {
		until = earlier(until, x.resumeAt)
	}
	return until
}

// policyDue does what is due for the policies' sake. False means that nothing is.
func (c *conn) policyDue(x *exchange) bool {
	switch {
	case x.overAt != 0 && c.now >= x.overAt:
		c.overdue(x, upstream.Timeout, tookTooLong)
	case x.tryUntil != 0 && c.now >= x.tryUntil:
		x.tryUntil = 0
		if !c.retry(x, policy.Outcome{Kind: policy.TimedOut}) {
			c.overdue(x, upstream.UpstreamTimeout, "the endpoint did not begin its answer in time")
		}
	case c.state == waiting && c.now >= x.resumeAt:
		// holdBack goes on.
	default:
		return false
	}
	return true
}

// overdue ends a request that is not answered in time; an answer that has begun
// is broken off.
func (c *conn) overdue(x *exchange, reason upstream.Reason, what string) {
	if reason == upstream.Timeout && x.endpoint != nil && !x.headDone && x.policy.Overdue(c.engine.wall(c.now)) {
		x.try.Report(c.engine.wall(c.now), policy.Outcome{Kind: policy.TimedOut})
	}
	if x.told {
		c.count(x, x.response.Status(), reason)
		c.Abort()
		c.end()
		return
	}
	c.endTry(x)
	x.again()
	c.refuse(x, refusal{reason: reason, what: what})
}

// end tells the policies how the request has ended.
func (x *exchange) end(c *conn, status int, reason upstream.Reason) {
	if !x.policy.Active() {
		return
	}
	switch reason {
	case "":
	case upstream.ClientGone, upstream.BadRequest:
		status = 0
	default:
		status = reason.Status()
	}
	x.policy.End(c.engine.wall(c.now), status)
}
