package mesh

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Policy is what the mesh does for the calls of one port of a Service beyond
// routing them. Each field is an annotation: RetryAttempts is
// weft.mesh/retry-attempts. Package annotations reads them, package policy says
// what they mean; docs/policies.md is for users. A duration of 0 is none, and so
// is a number of 0 unless the field says otherwise.
type Policy struct {
	Timeout       time.Duration `for:"HTTP" description:"How long a whole request may take, up to the end of its answer, tries and waits included."`
	PerTryTimeout time.Duration `for:"HTTP" description:"How long one try may take until its answer begins."`

	ConnectTimeout time.Duration `for:"HTTP, TCP" description:"How long one attempt to connect to an endpoint may take; 0 means one second."`

	RetryAttempts  int           `for:"HTTP" description:"How often a request is tried in all, the first time included."`
	RetryOn        []string      `for:"HTTP" description:"What is tried again: connect-failure, refused-stream, reset-before-response, per-try-timeout, 5xx, gateway-error (502, 503, 504), a status such as 429, or a code of gRPC such as unavailable."`
	RetryBackoff   time.Duration `for:"HTTP" description:"How long the first retry waits at most; doubled with each further one. A random half of it is waited."`
	RetryBudget    int           `for:"HTTP" description:"How many retries there may be for 100 requests, counted over 10 seconds."`
	RetryBudgetMin int           `for:"HTTP" description:"How many retries a second there may be however few requests there are."`

	OutlierConsecutive5xx     int           `for:"HTTP" description:"After how many failed requests in a row an endpoint is ejected."`
	OutlierConsecutiveGateway int           `for:"HTTP" description:"After how many requests in a row without an answer, or with 502, 503 or 504, an endpoint is ejected."`
	OutlierSuccessRate        bool          `for:"HTTP" description:"Whether an endpoint is ejected whose share of successes lies far below that of the others."`
	OutlierInterval           time.Duration `for:"HTTP" description:"How often success rates are compared."`
	OutlierEjection           time.Duration `for:"HTTP" description:"How long the first ejection lasts; doubled with each that follows soon."`
	OutlierMaxEjected         int           `for:"HTTP" description:"How many of 100 endpoints may be ejected at once."`

	Scheme        string `for:"HTTP" description:"How endpoints are spoken to: http, or https (HTTP over TLS, to endpoints that prove to be the Service)."`
	TLSCaSecret   string `for:"HTTP" description:"The Secret in the Service's namespace whose key ca.crt holds the CA that must vouch for endpoints; without one those that the system trusts may."`
	TLSServerName string `for:"HTTP" description:"The name that endpoints' certificates must be for; without one it is <service>.<namespace>.svc."`

	IdleTimeout    time.Duration `for:"HTTP, TCP" description:"TCP: how long a connection may be without a byte either way; 0 means what the node proxies are told (never). HTTP: how long a connection to an endpoint is kept that no request uses; 0 means 30s."`
	MaxConnections int           `for:"TCP" description:"How many connections may be open at once from one node."`
	ProxyProtocol  bool          `for:"TCP" description:"Whether endpoints are told the caller's address by PROXY protocol v2."`

	MaxPending  int `for:"HTTP" description:"How many requests may wait at once for a connection, from one node."`
	MaxRequests int `for:"HTTP" description:"How many requests may be under way at once from one node."`

	CircuitBreakerExpression string        `for:"HTTP" description:"The condition under which requests are refused, in the language of oxy."`
	CircuitBreakerOpen       time.Duration `for:"HTTP" description:"How long all requests are then refused."`
	CircuitBreakerRecovery   time.Duration `for:"HTTP" description:"How long a growing share of them is let through after that."`

	LoadBalancer   string        `for:"HTTP, TCP" description:"Which endpoint comes next: ewma (the better of two by latency and load), least-request (by load), round-robin, random or ring-hash (always the same for a key)."`
	LoadBalancerBy string        `for:"HTTP, TCP" description:"The key of ring-hash: source (the caller's IP), header:<name> or cookie:<name>."`
	SlowStart      time.Duration `for:"HTTP, TCP" description:"How long an endpoint that has just joined gets fewer calls, at first a tenth."`
	StickyCookie   string        `for:"HTTP" description:"The name of a cookie that Weft sets so that a client stays with its endpoint."`
	StickyHeader   string        `for:"HTTP" description:"The name of a header whose value keeps calls on one endpoint."`

	Failover      string `for:"HTTP, TCP" description:"The Service (name, or name.namespace) whose endpoints serve calls while none of this one can."`
	Mirror        string `for:"HTTP" description:"The Service that gets copies of requests; what it answers is dropped."`
	MirrorPercent int    `for:"HTTP" description:"How many of 100 requests are copied."`

	MaxBody    int `for:"HTTP" description:"How many bytes a request's body may have; more is answered with 413."`
	MaxHeaders int `for:"HTTP" description:"How many bytes a request's header fields may have, names and values and 32 for each; more is answered with 431. It cannot be more than the proxy's own limit."`

	RequestHeadersSet     string   `for:"HTTP" description:"Fields that requests are given in place of what they have of the name; each on a line, as name: value."`
	RequestHeadersAdd     string   `for:"HTTP" description:"Fields that requests are given beside what they have."`
	RequestHeadersRemove  []string `for:"HTTP" description:"The names of fields that requests lose."`
	ResponseHeadersSet    string   `for:"HTTP" description:"The same for answers."`
	ResponseHeadersAdd    string   `for:"HTTP" description:"The same for answers."`
	ResponseHeadersRemove []string `for:"HTTP" description:"The same for answers."`

	RatelimitAverage int           `for:"HTTP" description:"How many requests a caller may make in a period on average, from one node."`
	RatelimitBurst   int           `for:"HTTP" description:"How many it may make at once; 0 means as many as in a period."`
	RatelimitPeriod  time.Duration `for:"HTTP" description:"The period that the average is for."`
	RatelimitBy      string        `for:"HTTP" description:"Who is a caller: all (everybody together), source (the workload that calls), address (its IP) or header:<name>."`

	AccessLog string `for:"HTTP, TCP, UDP" description:"Which requests, TCP connections and UDP sessions the access log of the node proxies takes: all, errors, sampled (errors and a share of all) or off; empty means what --accessLog.mode says."`

	FaultDelay        time.Duration `for:"HTTP" description:"How long requests are held back, for tests."`
	FaultDelayPercent int           `for:"HTTP" description:"How many of 100 requests are held back."`
	FaultHeader       string        `for:"HTTP" description:"A header without which a request meets no fault."`
	FaultAbort        int           `for:"HTTP" description:"The status that requests are answered with instead of being sent, for tests."`
	FaultAbortPercent int           `for:"HTTP" description:"How many of 100 requests are answered so."`
}

// DefaultPolicy is what holds where nothing is said.
func DefaultPolicy() Policy {
	return Policy{
		RetryOn:      []string{"connect-failure", "refused-stream", "reset-before-response", "per-try-timeout", "gateway-error"},
		RetryBackoff: 25 * time.Millisecond, RetryBudget: 20, RetryBudgetMin: 3,
		OutlierInterval: 10 * time.Second, OutlierEjection: 30 * time.Second, OutlierMaxEjected: 50,
		Scheme:             SchemeHTTP,
		CircuitBreakerOpen: 10 * time.Second, CircuitBreakerRecovery: 10 * time.Second,
		LoadBalancer: "ewma", LoadBalancerBy: "source",
		RatelimitPeriod: time.Second, RatelimitBy: "all",
		FaultDelayPercent: 100, FaultAbortPercent: 100, MirrorPercent: 100,
	}
}

// PolicyInput is a Policy of which some fields were said.
type PolicyInput struct {
	Policy Policy
	Set    []int    // the indices of the fields that were said
	Said   []string // the annotations that said them
}

// Policies are what the annotations of one object say.
type Policies struct {
	All   *PolicyInput           // nil where nothing is said of all ports
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
func (p *Policies) empty() bool { return p.All == nil && len(p.Ports) == 0 }

// lay puts what an object says of one port over a Policy: what it says of all,
// of the port's number, of its name.
func (p *Policies) lay(port *ServicePort, over *Policy) {
	if p.All != nil {
		p.All.lay(over)
	}
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
	for _, list := range []*[]string{&out.RetryOn, &out.RequestHeadersRemove, &out.ResponseHeadersRemove} {
		*list = slices.Clone(*list)
	}
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
			b.problem(s.Ref, BadAnnotation, "%s: there is no port of the name or number %s; it takes no effect", strings.Join(s.Policies.Ports[key].Said, ", "), key)
		}
	}
}
