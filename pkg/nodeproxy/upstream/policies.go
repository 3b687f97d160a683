package upstream

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/policy"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Policies are the policies of one port of a Service, with what they remember
// of its calls.
type Policies struct {
	// Spec is what is configured. It is never edited.
	Spec mesh.Policy

	requestEdits, responseEdits *policy.Edits

	retryOn  policy.Conditions
	outliers *policy.Outliers // nil for none
	breaker  *policy.Breaker  // nil for none
	limiter  *policy.Limiter  // nil for none
	balance  balancer
	*tally
}

// tally is what outlives a change of the configuration as well.
type tally struct {
	budget   policy.Budget
	requests atomic.Int64  // under way
	conns    atomic.Int64  // of TCP, open
	waiting  atomic.Int64  // requests that wait for a connection
	turn     atomic.Uint64 // of the round robin
	deeds    [telemetry.Deeds]atomic.Uint64
	compared atomic.Int64 // when success rates were compared last, in Unix nanoseconds
}

// policyKey names a port over all Tables.
type policyKey struct {
	service   mesh.Name
	port      uint16
	transport mesh.Transport
}

// policiesOf returns the policies of a port: those of before where nothing has
// changed, else new ones that go on with all that did not change.
func (b *binder) policiesOf(p *route.Port) *Policies {
	if p.Policy == nil {
		return nil
	}
	key := policyKey{p.Service, p.Number, p.Transport}
	before := b.old.policies[key]
	if before == nil || !reflect.DeepEqual(before.Spec, *p.Policy) {
		before = newPolicies(p.Policy, before)
	}
	b.policies[key] = before
	return before
}

// newPolicies makes policies ready. What does not parse was told where it was
// read, and is as if it were not configured.
func newPolicies(spec *mesh.Policy, before *Policies) *Policies {
	p := &Policies{Spec: *spec}
	p.retryOn, _ = policy.ParseRetryOn(spec.RetryOn)
	if ejects(spec) {
		p.outliers = &policy.Outliers{
			Consecutive5xx: spec.OutlierConsecutive5xx, ConsecutiveGateway: spec.OutlierConsecutiveGateway,
			SuccessRate: spec.OutlierSuccessRate, Interval: spec.OutlierInterval,
			Ejection: spec.OutlierEjection, MostEjected: spec.OutlierMaxEjected,
		}
	}
	if before == nil {
		p.tally = &tally{}
	} else {
		p.tally = before.tally
	}
	p.requestEdits, _ = policy.NewEdits(spec.RequestHeadersSet, spec.RequestHeadersAdd, spec.RequestHeadersRemove)
	p.responseEdits, _ = policy.NewEdits(spec.ResponseHeadersSet, spec.ResponseHeadersAdd, spec.ResponseHeadersRemove)
	p.balance = balancerOf(spec.LoadBalancer)
	p.breaker = breakerOf(spec, before)
	p.limiter = limiterOf(spec, before)
	return p
}

func breakerOf(spec *mesh.Policy, before *Policies) *policy.Breaker {
	if before != nil && before.Spec.CircuitBreakerExpression == spec.CircuitBreakerExpression &&
		before.Spec.CircuitBreakerOpen == spec.CircuitBreakerOpen && before.Spec.CircuitBreakerRecovery == spec.CircuitBreakerRecovery {
		return before.breaker
	}
	if spec.CircuitBreakerExpression == "" {
		return nil
	}
	expression, err := policy.ParseExpression(spec.CircuitBreakerExpression)
	if err != nil {
		return nil
	}
	return policy.NewBreaker(expression, spec.CircuitBreakerOpen, spec.CircuitBreakerRecovery)
}

func limiterOf(spec *mesh.Policy, before *Policies) *policy.Limiter {
	if before != nil && before.Spec.RatelimitAverage == spec.RatelimitAverage && before.Spec.RatelimitBurst == spec.RatelimitBurst &&
		before.Spec.RatelimitPeriod == spec.RatelimitPeriod && before.Spec.RatelimitBy == spec.RatelimitBy {
		return before.limiter
	}
	if spec.RatelimitAverage == 0 {
		return nil
	}
	burst := spec.RatelimitBurst
	if burst == 0 {
		burst = spec.RatelimitAverage
	}
	limiter, err := policy.NewLimiter(spec.RatelimitAverage, burst, spec.RatelimitPeriod)
	if err != nil {
		return nil
	}
	return limiter
}

// limit notes how long attempts to connect to an endpoint may take, and how long
// unused connections to it are kept: of several Services that lead to it the most
// impatient decides.
func (b *binder) limit(e *Endpoint, p *mesh.Policy) {
	if p == nil {
		return
	}
	if said := shorter(b.connect[e], p.ConnectTimeout); said > 0 {
		b.connect[e] = said
	}
	if said := shorter(b.idle[e], p.IdleTimeout); said > 0 {
		b.idle[e] = said
	}
}

// Request is what policies ask of a request.
type Request struct {
	Snapshot *Snapshot
	Client   netip.Addr
	// Idempotent tells that it may be sent twice (RFC 9110 §9.2.2).
	Idempotent bool
	GRPC       bool
	// Fields are those of the request that policies look at.
	Fields Fields
	// Timeout is what the request itself says it waits (grpc-timeout); 0 for nothing.
	Timeout time.Duration
}

// Verdict is what policies say of a request before it is sent.
type Verdict struct {
	// Reason refuses it; empty lets it go on.
	Reason Reason
	What   string
	// Status is that of the refusal; 0 means the Reason's.
	Status int
	// RetryAfter is how long the caller should wait; 0 says nothing.
	RetryAfter time.Duration
	// Delay is how long it is held back before it goes on.
	Delay time.Duration
}

// Call is one request under the policies of its port. The zero value is one
// without policies. It belongs to whoever holds the request.
type Call struct {
	policies   *Policies
	idempotent bool
	grpc       bool
	began      time.Time
	deadline   time.Time
	tries      int
	counted    bool
	pending    bool
}

// Begin judges a request that begins now. Where it may go on, End must follow.
func (p *Policies) Begin(now time.Time, r Request) (Call, Verdict) {
	if p == nil {
		return Call{}, Verdict{}
	}
	if wait := p.limiter.Take(p.caller(&r)); wait > 0 {
		p.Count(telemetry.ByRateLimit)
		return Call{}, Verdict{Reason: RateLimited, What: "its caller has made too many requests", RetryAfter: wait}
	}
	if !p.breaker.Allow(now) {
		p.Count(telemetry.ByCircuitBreaker)
		return Call{}, Verdict{Reason: CircuitOpen, What: "the circuit breaker is " + p.breaker.State(now).String()}
	}
	verdict := p.fault(r.Fields)
	if verdict.Reason != "" {
		return Call{}, verdict
	}
	if most := int64(p.Spec.MaxRequests); p.requests.Add(1) > most && most > 0 {
		p.requests.Add(-1)
		p.Count(telemetry.ByMaxRequests)
		return Call{}, Verdict{Reason: Overloaded, What: "as many requests are under way as may be"}
	}
	if p.Spec.RetryAttempts > 1 {
		p.budget.Request(now)
	}
	c := Call{policies: p, idempotent: r.Idempotent, grpc: r.GRPC, began: now, counted: true}
	if timeout := shorter(p.Spec.Timeout, r.Timeout); timeout > 0 {
		c.deadline = now.Add(timeout)
	}
	return c, verdict
}

// caller is whom a rate limit counts a request for.
func (p *Policies) caller(r *Request) string {
	if p.limiter == nil {
		return ""
	}
	switch p.Spec.RatelimitBy {
	case "source":
		return r.Snapshot.Source(r.Client).String()
	case "address":
		return r.Client.String()
	}
	if name, by := strings.CutPrefix(p.Spec.RatelimitBy, "header:"); by {
		value, _ := r.Fields.Header(strings.ToLower(name), 0)
		return string(value[:min(len(value), longestCaller)])
	}
	return ""
}

// longestCaller bounds what of a header tells callers apart.
const longestCaller = 256

// shorter is the shorter of two durations of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// fault makes the faults that are asked for.
func (p *Policies) fault(fields Fields) (v Verdict) {
	if p.Spec.FaultHeader != "" {
		if _, meant := fields.Header(strings.ToLower(p.Spec.FaultHeader), 0); !meant {
			return Verdict{}
		}
	}
	if p.Spec.FaultDelay > 0 && rand.IntN(100) < p.Spec.FaultDelayPercent {
		v.Delay = p.Spec.FaultDelay
		p.Count(telemetry.Delayed)
	}
	if p.Spec.FaultAbort > 0 && rand.IntN(100) < p.Spec.FaultAbortPercent {
		v.Reason, v.Status, v.What = Fault, p.Spec.FaultAbort, "this fault was asked for"
		p.Count(telemetry.Aborted)
	}
	return v
}

// Active tells whether there are policies.
func (c *Call) Active() bool { return c.policies != nil }

// Retries tells whether a policy may ask for another try.
func (c *Call) Retries() bool { return c.policies != nil && c.policies.Spec.RetryAttempts > 1 }

// Overdue tells whether the request has taken as long as the Service's own
// timeout allows, and not only as long as its caller waits.
func (c *Call) Overdue(now time.Time) bool {
	return c.policies != nil && c.policies.Spec.Timeout > 0 && now.Sub(c.began) >= c.policies.Spec.Timeout
}

// Deadline is when the request must have ended; the zero time is never.
func (c *Call) Deadline() time.Time { return c.deadline }

// Try counts a try that begins now, and returns until when its answer must have
// begun; the zero time is no limit.
func (c *Call) Try(now time.Time) (until time.Time) {
	c.tries++
	if c.policies == nil || c.policies.Spec.PerTryTimeout == 0 {
		return time.Time{}
	}
	return now.Add(c.policies.Spec.PerTryTimeout)
}

// Keeps is how many bytes of a request's body are kept for another try;
// otherwise where no policy asks for one.
func (c *Call) Keeps(otherwise int) int {
	if c.Retries() {
		return keptForRetry
	}
	return otherwise
}

// keptForRetry is the replay buffer of a request that may be tried again.
const keptForRetry = 64 << 10

// Again tells whether a try that ended so may be followed by another, and after
// how long. Whoever asks has the whole request to send once more.
//
// What an endpoint may have begun with is sent again only where that does no
// harm: where the method is idempotent, or where the author of a gRPC service
// has named the code with which it was answered.
func (c *Call) Again(now time.Time, o policy.Outcome) (wait time.Duration, again bool) {
	p := c.policies
	if p == nil || c.tries >= p.Spec.RetryAttempts || !p.retryOn.Match(o) {
		return 0, false
	}
	begun := o.Kind != policy.ConnectFailed && o.Kind != policy.Refused
	if begun && !c.idempotent && !(c.grpc && p.retryOn.Named(o)) {
		return 0, false
	}
	most := p.Spec.RetryBackoff << min(c.tries-1, 10)
	wait = most/2 + time.Duration(rand.Int64N(int64(most/2)+1))
	if !c.deadline.IsZero() && now.Add(wait).After(c.deadline) {
		return 0, false
	}
	if !p.budget.Retry(now, p.Spec.RetryBudget, p.Spec.RetryBudgetMin) {
		p.Count(telemetry.RetryOverBudget)
		return 0, false
	}
	p.Count(telemetry.Retried)
	return wait, true
}

// Wait counts a request that begins to wait for a connection; false means that
// as many wait as may.
func (c *Call) Wait() bool {
	if c.policies == nil || c.pending || c.policies.Spec.MaxPending == 0 {
		return true
	}
	if c.policies.waiting.Add(1) > int64(c.policies.Spec.MaxPending) {
		c.policies.waiting.Add(-1)
		c.policies.Count(telemetry.ByMaxPending)
		return false
	}
	c.pending = true
	return true
}

// Resume counts that a request waits no longer, if it did.
func (c *Call) Resume() {
	if c.pending {
		c.pending = false
		c.policies.waiting.Add(-1)
	}
}

// Edits are what changes the headers of requests and of answers.
func (p *Policies) Edits() (request, response *policy.Edits) {
	if p == nil {
		return nil, nil
	}
	return p.requestEdits, p.responseEdits
}

// Oversized tells what of a request is larger than policies allow: header is
// the size of its fields, body that of its body as far as it is known.
func (c *Call) Oversized(header int, body int64) (no Verdict) {
	if c.policies == nil {
		return Verdict{}
	}
	spec := &c.policies.Spec
	switch {
	case spec.MaxHeaders > 0 && header > spec.MaxHeaders:
		c.policies.Count(telemetry.ByMaxHeaders)
		return Verdict{Reason: TooLarge, What: "its header fields are larger than they may be", Status: http.StatusRequestHeaderFieldsTooLarge}
	case spec.MaxBody > 0 && body > int64(spec.MaxBody):
		c.policies.Count(telemetry.ByMaxBody)
		return Verdict{Reason: TooLarge, What: "its body is larger than it may be", Status: http.StatusRequestEntityTooLarge}
	}
	return Verdict{}
}

// End ends what Begin began. status is what the caller got; 0 where it left
// before, which says nothing of the Service.
func (c *Call) End(now time.Time, status int) {
	if !c.counted {
		return
	}
	c.counted = false
	c.Resume()
	c.policies.requests.Add(-1)
	if status != 0 {
		c.policies.breaker.Record(now, status, now.Sub(c.began))
	}
}

// Report takes in how the request ended at the endpoint that Next returned last.
func (t *Try) Report(now time.Time, o policy.Outcome) {
	p := t.cluster.policies
	if t.count == 0 || p == nil || p.outliers == nil {
		return
	}
	e := t.tried[t.count-1]
	if p.outliers.Report(&e.health, o) {
		t.cluster.eject(e, now)
	}
	last := p.compared.Load()
	if !p.outliers.SuccessRate || now.UnixNano()-last < int64(p.outliers.Interval) || !p.compared.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	all := t.cluster.healths()
	for _, h := range p.outliers.Compare(all) {
		for i := range all {
			if all[i] == h {
				t.cluster.eject(t.cluster.endpoints[i], now)
			}
		}
	}
}

func (c *Cluster) healths() []*policy.Health {
	out := make([]*policy.Health, len(c.endpoints))
	for i, e := range c.endpoints {
		out[i] = &e.health
	}
	return out
}

// eject passes an endpoint over for a while, where enough others are left.
func (c *Cluster) eject(e *Endpoint, now time.Time) {
	if c.policies.outliers.Eject(&e.health, now, c.healths()) {
		e.rest.Store(max(e.rest.Load(), e.health.Until()))
		c.policies.Count(telemetry.Ejected)
	}
}
