package upstream

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// ExplainedPolicy is one policy that the call meets.
type ExplainedPolicy struct {
	Name string `json:"name"`
	// Does says what is configured, Now how things stand with it in this proxy;
	// empty where there is nothing to say.
	Does string `json:"does"`
	Now  string `json:"now,omitempty"`
	// Refuses is how many of 100 such calls it refuses now, Reason and Status with
	// what.
	Refuses int    `json:"refuses,omitempty"`
	Reason  Reason `json:"reason,omitempty"`
	Status  int    `json:"status,omitempty"`
}

// policies are those that the call meets, in the order in which it does.
func (r *Route) policies(s *Snapshot, c *Caller, q Question) (out []ExplainedPolicy) {
	if r.Policies == nil {
		return nil
	}
	add := func(list ...*ExplainedPolicy) {
		for _, p := range list {
			if p != nil {
				out = append(out, *p)
			}
		}
	}
	p, now := r.Policies, time.Now()
	if q.Request != nil {
		add(p.sayRate(), p.sayBreaker(now), p.sayFault(q.Request), p.sayRequests(), p.saySizes(), p.sayTimeout(), p.sayEdits())
	} else {
		add(p.sayConnections())
	}
	add(r.sayFailover(), p.sayBalance(q.Request != nil), p.sayConnect())
	if q.Request != nil {
		add(p.sayPending(), p.sayRetries(q.Request), r.sayEjection(now), r.sayMirror(s, c, q.Request))
	}
	return out
}

// certain is the refusal that no such call escapes now, nil where there is none.
func certain(policies []ExplainedPolicy) *ExplainedPolicy {
	at := slices.IndexFunc(policies, func(p ExplainedPolicy) bool { return p.Refuses >= 100 })
	if at < 0 {
		return nil
	}
	return &policies[at]
}

// refuse says that so many of 100 calls are refused.
func (e *ExplainedPolicy) refuse(share int, reason Reason, status int) *ExplainedPolicy {
	if share > 0 {
		e.Refuses, e.Reason, e.Status = share, reason, status
	}
	return e
}

func (p *Policies) sayRate() *ExplainedPolicy {
	if p.limiter == nil {
		return nil
	}
	burst := p.Spec.RatelimitBurst
	if burst == 0 {
		burst = p.Spec.RatelimitAverage
	}
	whose := map[string]string{"all": "all callers together", "source": "each workload", "address": "each address"}[p.Spec.RatelimitBy]
	if name, by := strings.CutPrefix(p.Spec.RatelimitBy, "header:"); by {
		whose = "each value of " + name
	}
	return &ExplainedPolicy{Name: "rate limit", Does: fmt.Sprintf("%d requests in %v and %d at once, for %s, from this node", p.Spec.RatelimitAverage, p.Spec.RatelimitPeriod, burst, whose)}
}

func (p *Policies) sayBreaker(now time.Time) *ExplainedPolicy {
	if p.breaker == nil {
		return nil
	}
	e := &ExplainedPolicy{
		Name: "circuit breaker", Now: p.breaker.State(now).String(),
		Does: fmt.Sprintf("refuses all for %v once %s, then lets ever more through for %v", p.Spec.CircuitBreakerOpen, p.Spec.CircuitBreakerExpression, p.Spec.CircuitBreakerRecovery),
	}
	return e.refuse(int(100*(1-p.breaker.Passing(now))), CircuitOpen, CircuitOpen.Status())
}

func (p *Policies) sayFault(request *Asked) *ExplainedPolicy {
	var does []string
	if p.Spec.FaultDelay > 0 {
		does = append(does, fmt.Sprintf("%d %% wait %v", p.Spec.FaultDelayPercent, p.Spec.FaultDelay))
	}
	if p.Spec.FaultAbort > 0 {
		does = append(does, fmt.Sprintf("%d %% are answered with %d", p.Spec.FaultAbortPercent, p.Spec.FaultAbort))
	}
	if len(does) == 0 {
		return nil
	}
	e := &ExplainedPolicy{Name: "fault", Does: strings.Join(does, ", ")}
	if name := p.Spec.FaultHeader; name != "" {
		e.Does += ", of those with " + name
		if _, meant := request.Header(strings.ToLower(name), 0); !meant {
			e.Now = "does not mean this request"
			return e
		}
	}
	if p.Spec.FaultAbort == 0 {
		return e
	}
	return e.refuse(p.Spec.FaultAbortPercent, Fault, p.Spec.FaultAbort)
}

// sayMost is a cap on what is open at once.
func sayMost(name, what string, most, now int64) *ExplainedPolicy {
	if most == 0 {
		return nil
	}
	e := &ExplainedPolicy{Name: name, Does: fmt.Sprintf("at most %d %s at once, from this node", most, what), Now: fmt.Sprint(now)}
	if now >= most {
		e.refuse(100, Overloaded, Overloaded.Status())
	}
	return e
}

func (p *Policies) sayRequests() *ExplainedPolicy {
	return sayMost("requests", "under way", int64(p.Spec.MaxRequests), p.requests.Load())
}

func (p *Policies) sayConnections() *ExplainedPolicy {
	return sayMost("connections", "open", int64(p.Spec.MaxConnections), p.conns.Load())
}

func (p *Policies) sayPending() *ExplainedPolicy {
	e := sayMost("waiting", "waiting for a connection", int64(p.Spec.MaxPending), p.waiting.Load())
	if e != nil {
		e.Refuses, e.Reason, e.Status = 0, "", 0 // only one that has to wait
	}
	return e
}

func (p *Policies) saySizes() *ExplainedPolicy {
	var does []string
	if p.Spec.MaxBody > 0 {
		does = append(does, fmt.Sprintf("a body of more than %d bytes is answered with %d", p.Spec.MaxBody, http.StatusRequestEntityTooLarge))
	}
	if p.Spec.MaxHeaders > 0 {
		does = append(does, fmt.Sprintf("header fields of more than %d bytes with %d", p.Spec.MaxHeaders, http.StatusRequestHeaderFieldsTooLarge))
	}
	if len(does) == 0 {
		return nil
	}
	return &ExplainedPolicy{Name: "sizes", Does: strings.Join(does, ", ")}
}

func (p *Policies) sayTimeout() *ExplainedPolicy {
	var does []string
	if p.Spec.Timeout > 0 {
		does = append(does, fmt.Sprintf("%v for the whole request", p.Spec.Timeout))
	}
	if p.Spec.PerTryTimeout > 0 {
		does = append(does, fmt.Sprintf("%v until the answer of a try begins", p.Spec.PerTryTimeout))
	}
	if len(does) == 0 {
		return nil
	}
	return &ExplainedPolicy{Name: "timeout", Does: strings.Join(does, ", ")}
}

func (p *Policies) sayEdits() *ExplainedPolicy {
	var does []string
	for _, edit := range []struct {
		what  string
		lines []string
	}{
		{"requests get %s", lines(p.Spec.RequestHeadersSet, p.Spec.RequestHeadersAdd)}, {"requests lose %s", p.Spec.RequestHeadersRemove},
		{"answers get %s", lines(p.Spec.ResponseHeadersSet, p.Spec.ResponseHeadersAdd)}, {"answers lose %s", p.Spec.ResponseHeadersRemove},
	} {
		if len(edit.lines) > 0 {
			does = append(does, fmt.Sprintf(edit.what, strings.Join(edit.lines, ", ")))
		}
	}
	if len(does) == 0 {
		return nil
	}
	return &ExplainedPolicy{Name: "headers", Does: strings.Join(does, "; ")}
}

func lines(texts ...string) (out []string) {
	for _, text := range texts {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
	}
	return out
}

func (r *Route) sayFailover() *ExplainedPolicy {
	if r.failover == nil {
		return nil
	}
	e := &ExplainedPolicy{Name: "failover", Does: r.failover.Service.String() + " serves while nothing else can"}
	if !r.failover.serves() {
		e.Now = "it cannot serve either"
	}
	return e
}

func (p *Policies) sayBalance(http bool) *ExplainedPolicy {
	spec, usual := &p.Spec, mesh.DefaultPolicy()
	var does []string
	if spec.LoadBalancer != usual.LoadBalancer {
		by := ""
		if spec.LoadBalancer == "ring-hash" {
			by = " by " + spec.LoadBalancerBy
		}
		does = append(does, spec.LoadBalancer+by)
	}
	if spec.StickyCookie != "" && http {
		does = append(does, "stays by cookie "+spec.StickyCookie)
	}
	if spec.StickyHeader != "" && http {
		does = append(does, "stays by header "+spec.StickyHeader)
	}
	if spec.SlowStart > 0 {
		does = append(does, fmt.Sprintf("a new endpoint gets fewer calls for %v", spec.SlowStart))
	}
	if len(does) == 0 {
		return nil
	}
	return &ExplainedPolicy{Name: "balancing", Does: strings.Join(does, ", ")}
}

func (p *Policies) sayConnect() *ExplainedPolicy {
	if p.Spec.ConnectTimeout == 0 {
		return nil
	}
	return &ExplainedPolicy{Name: "connecting", Does: fmt.Sprintf("%v for one attempt", p.Spec.ConnectTimeout)}
}

func (p *Policies) sayRetries(request *Asked) *ExplainedPolicy {
	if p.Spec.RetryAttempts < 2 {
		return nil
	}
	e := &ExplainedPolicy{Name: "retries", Does: fmt.Sprintf("%d tries in all after %s, within %d %% of the requests or %d a second", p.Spec.RetryAttempts, strings.Join(p.Spec.RetryOn, ", "), p.Spec.RetryBudget, p.Spec.RetryBudgetMin)}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete}, request.Verb) {
		e.Now = request.Verb + " only where no endpoint has begun with it"
	}
	return e
}

func (r *Route) sayEjection(now time.Time) *ExplainedPolicy {
	p := r.Policies
	if p.outliers == nil {
		return nil
	}
	var after []string
	if n := p.Spec.OutlierConsecutive5xx; n > 0 {
		after = append(after, fmt.Sprintf("%d failures in a row", n))
	}
	if n := p.Spec.OutlierConsecutiveGateway; n > 0 {
		after = append(after, fmt.Sprintf("%d in a row without an answer of its own", n))
	}
	if p.Spec.OutlierSuccessRate {
		after = append(after, "a success rate far below the others'")
	}
	e := &ExplainedPolicy{Name: "ejection", Does: fmt.Sprintf("an endpoint for %v after %s, at most %d %% of them", p.Spec.OutlierEjection, strings.Join(after, ", or "), p.Spec.OutlierMaxEjected)}
	var out []string
	for endpoint := range r.each {
		if address := endpoint.Address.String(); endpoint.health.Ejected(now) && !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	if e.Now = "none"; len(out) > 0 {
		e.Now = strings.Join(out, ", ")
	}
	return e
}

func (r *Route) sayMirror(s *Snapshot, c *Caller, request *Asked) *ExplainedPolicy {
	if r.mirror == nil {
		return nil
	}
	e := &ExplainedPolicy{Name: "mirror", Does: fmt.Sprintf("a copy of %d %% goes to %s", r.Policies.Spec.MirrorPercent, r.mirror.Service)}
	path, ok := c.read(r, request)
	d := ambiguous()
	if ok {
		d = c.at(s, r.mirror, request, path)
	}
	if d.Reason != "" {
		e.Now = "not of this one: " + d.What
	}
	return e
}
