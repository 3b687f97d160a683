package mesh

import (
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Policy is what the mesh does for the calls of one port of a Service beyond
// routing them. Each field is an annotation: RetryAttempts is
// weft.mesh/retry-attempts. Package annotations reads them, package policy says
// what they mean; docs/policies.md is for users. A duration of 0 is none, and so
// is a number of 0 unless the field says otherwise.
type Policy struct {
	Timeout       time.Duration `for:"HTTP/2" description:"How long a whole request may take, up to the end of its answer, tries and waits included."`
	PerTryTimeout time.Duration `for:"HTTP/2" description:"How long one try may take until its answer begins."`

	ConnectTimeout time.Duration `for:"HTTP, TCP" description:"How long one attempt to connect to an endpoint may take; 0 means one second."`

	RetryAttempts  int           `for:"HTTP/2" description:"How often a request is tried in all, the first time included."`
	RetryOn        []string      `for:"HTTP/2" description:"What is tried again: connect-failure, refused-stream, reset-before-response, per-try-timeout, 5xx, gateway-error (502, 503, 504), a status such as 429, or a code of gRPC such as unavailable."`
	RetryBackoff   time.Duration `for:"HTTP/2" description:"How long the first retry waits at most; doubled with each further one. A random half of it is waited."`
	RetryBudget    int           `for:"HTTP/2" description:"How many retries there may be for 100 requests, counted over 10 seconds."`
	RetryBudgetMin int           `for:"HTTP/2" description:"How many retries a second there may be however few requests there are."`

	OutlierConsecutive5xx     int           `for:"HTTP/2" description:"After how many failed requests in a row an endpoint is ejected."`
	OutlierConsecutiveGateway int           `for:"HTTP/2" description:"After how many requests in a row without an answer, or with 502, 503 or 504, an endpoint is ejected."`
	OutlierSuccessRate        bool          `for:"HTTP/2" description:"Whether an endpoint is ejected whose share of successes lies far below that of the others."`
	OutlierInterval           time.Duration `for:"HTTP/2" description:"How often success rates are compared."`
	OutlierEjection           time.Duration `for:"HTTP/2" description:"How long the first ejection lasts; doubled with each that follows soon."`
	OutlierMaxEjected         int           `for:"HTTP/2" description:"How many of 100 endpoints may be ejected at once."`

	MaxRequests int `for:"HTTP/2" description:"How many requests may be under way at once from one node."`

	CircuitBreakerExpression string        `for:"HTTP/2" description:"The condition under which requests are refused, in the language of oxy."`
	CircuitBreakerOpen       time.Duration `for:"HTTP/2" description:"How long all requests are then refused."`
	CircuitBreakerRecovery   time.Duration `for:"HTTP/2" description:"How long a growing share of them is let through after that."`

	RatelimitAverage int           `for:"HTTP/2" description:"How many requests a caller may make in a period on average, from one node."`
	RatelimitBurst   int           `for:"HTTP/2" description:"How many it may make at once; 0 means as many as in a period."`
	RatelimitPeriod  time.Duration `for:"HTTP/2" description:"The period that the average is for."`
	RatelimitBy      string        `for:"HTTP/2" description:"Who is a caller: all (everybody together), source (the workload that calls) or address (its IP)."`

	AccessLog string `for:"HTTP/2" description:"Which requests the access log of the node proxies takes: all, errors, sampled (errors and a share of all) or off; empty means what --accessLog.mode says."`

	FaultDelay        time.Duration `for:"HTTP/2" description:"How long requests are held back, for tests."`
	FaultDelayPercent int           `for:"HTTP/2" description:"How many of 100 requests are held back."`
	FaultAbort        int           `for:"HTTP/2" description:"The status that requests are answered with instead of being sent, for tests."`
	FaultAbortPercent int           `for:"HTTP/2" description:"How many of 100 requests are answered so."`
}

// DefaultPolicy is what holds where nothing is said.
func DefaultPolicy() Policy {
	return Policy{
		RetryOn:      []string{"connect-failure", "refused-stream", "reset-before-response", "per-try-timeout", "gateway-error"},
		RetryBackoff: 25 * time.Millisecond, RetryBudget: 20, RetryBudgetMin: 3,
		OutlierInterval: 10 * time.Second, OutlierEjection: 30 * time.Second, OutlierMaxEjected: 50,
		CircuitBreakerOpen: 10 * time.Second, CircuitBreakerRecovery: 10 * time.Second,
		RatelimitPeriod: time.Second, RatelimitBy: "all",
		FaultDelayPercent: 100, FaultAbortPercent: 100,
	}
}

// PolicyInput is a Policy of which some fields were said.
type PolicyInput struct {
	Policy Policy
	Set    []int // the indices of the fields that were said
}

// Policies are what the annotations of one object say.
type Policies struct {
	All   PolicyInput
	Ports map[string]PolicyInput // by the name or the number of a port
	// Problems of the annotations themselves.
	Problems []Problem
}

// lay puts what the input says over a Policy.
func (in *PolicyInput) lay(over *Policy) {
	from, to := reflect.ValueOf(&in.Policy).Elem(), reflect.ValueOf(over).Elem()
	for _, i := range in.Set {
		to.Field(i).Set(from.Field(i))
	}
}

// empty is true where the annotations say nothing.
func (p *Policies) empty() bool { return len(p.All.Set) == 0 && len(p.Ports) == 0 }

// lay puts what an object says of one port over a Policy: what it says of all,
// of the port's number, of its name.
func (p *Policies) lay(port *ServicePort, over *Policy) {
	p.All.lay(over)
	for _, key := range []string{strconv.Itoa(int(port.Number)), port.Name} {
		if one, said := p.Ports[key]; said {
			one.lay(over)
		}
	}
}

// policy is what holds for one port of a Service; nil where neither it nor its
// namespace says anything.
func (b *builder) policy(s *ServiceInput, port *ServicePort) *Policy {
	namespace := b.in.Namespaces[s.Ref.Namespace]
	if s.Policies.empty() && namespace.Policies.empty() {
		return nil
	}
	out := DefaultPolicy()
	namespace.Policies.lay(port, &out)
	s.Policies.lay(port, &out)
	out.RetryOn = slices.Clone(out.RetryOn)
	if reflect.DeepEqual(out, DefaultPolicy()) {
		return nil
	}
	return &out
}

// judgePolicies tells what is wrong with a Service's policies.
func (b *builder) judgePolicies(s *ServiceInput) {
	b.problems = append(b.problems, s.Policies.Problems...)
	for key := range s.Policies.Ports {
		if !slices.ContainsFunc(s.Ports, func(p ServicePort) bool { return key == p.Name || key == strconv.Itoa(int(p.Number)) }) {
			b.problem(s.Ref, BadAnnotation, "an annotation ends in .%s, but there is no port of that name or number; it takes no effect", key)
		}
	}
}
