package telemetry

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Deed is something that a traffic policy does to a call.
type Deed uint8

// The deeds.
const (
	Retried         Deed = iota // a try was followed by another
	RetryOverBudget             // it was not, for the budget was used up
	Ejected                     // an endpoint was ejected
	FailedOver                  // another Service served
	Mirrored                    // a copy was sent
	MirrorDropped               // none was: too many are under way, or the body is too large
	Delayed                     // a fault held a call back
	Aborted                     // a fault answered it
	// The rest refused it.
	ByRateLimit
	ByCircuitBreaker
	ByMaxRequests
	ByMaxPending
	ByMaxConnections
	ByMaxBody
	ByMaxHeaders
	Deeds // how many there are
)

// Policies are the state and the counters of the policies of one port.
type Policies struct {
	// Service and Namespace are the Service that was called.
	Service, Namespace string
	Port               uint16
	// Counts are those of each Deed that the policies may do.
	Counts map[Deed]uint64
	// Breaker is closed, open or recovering; empty where there is none.
	Breaker string
	// Ejects tells that endpoints may be ejected, EjectedNow how many are.
	Ejects     bool
	EjectedNow int
}

var (
	descRetries   = policyDesc("weft_retries_total", "Further tries that policies asked for: done, or not for want of budget.", "outcome")
	descEjections = policyDesc("weft_ejections_total", "Endpoints that were ejected.")
	descEjected   = policyDesc("weft_ejected_endpoints", "Endpoints that are ejected now.")
	descFailovers = policyDesc("weft_failovers_total", "Calls that another Service served, for none of its own endpoints could.")
	descMirrored  = policyDesc("weft_mirrored_total", "Copies of requests: sent, or dropped since too many were under way or the body was too large.", "outcome")
	descFaults    = policyDesc("weft_faults_total", "Faults that annotations asked for.", "fault")
	descRefusals  = policyDesc("weft_policy_refusals_total", "Calls that a policy refused, by the annotation.", "policy")
	descBreaker   = policyDesc("weft_circuit_breaker", "1 for the state that the circuit breaker is in, 0 for the others.", "state")
)

func policyDesc(name, help string, more ...string) *prometheus.Desc {
	labels := append([]string{"destination_service", "destination_service_name", "destination_service_namespace", "destination_port"}, more...)
	return prometheus.NewDesc(name, help, labels, nil)
}

// metric is where a Deed is counted: its metric and the value of the label that
// this one has beside those of the port, empty for none.
func (d Deed) metric() (desc *prometheus.Desc, value string) {
	switch d {
	case Retried:
		return descRetries, "done"
	case RetryOverBudget:
		return descRetries, "budget-exhausted"
	case Ejected:
		return descEjections, ""
	case FailedOver:
		return descFailovers, ""
	case Mirrored:
		return descMirrored, "sent"
	case MirrorDropped:
		return descMirrored, "dropped"
	case Delayed:
		return descFaults, "delay"
	case Aborted:
		return descFaults, "abort"
	}
	return descRefusals, [...]string{"ratelimit", "circuit-breaker", "max-requests", "max-pending", "max-connections", "max-body", "max-headers"}[d-ByRateLimit]
}

// RegisterPolicies adds the metrics of traffic policies to reg. state is called
// at each scrape and must be safe for concurrent use; a Service and port must be
// in it once.
func RegisterPolicies(reg prometheus.Registerer, state func() []Policies) error {
	return reg.Register(policyCollector(state))
}

// policyCollector reads the counters when it is scraped.
type policyCollector func() []Policies

// Describe names the metrics.
func (policyCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{descRetries, descEjections, descEjected, descFailovers, descMirrored, descFaults, descRefusals, descBreaker} {
		out <- desc
	}
}

// Collect tells their values.
func (c policyCollector) Collect(out chan<- prometheus.Metric) {
	for _, p := range c() {
		p.collect(out)
	}
}

func (p *Policies) collect(out chan<- prometheus.Metric) {
	port := []string{p.Service + "." + p.Namespace, p.Service, p.Namespace, strconv.Itoa(int(p.Port))}
	tell := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, more string) {
		labels := port
		if more != "" {
			labels = append(slices.Clone(port), more)
		}
		out <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	for deed, n := range p.Counts {
		desc, value := deed.metric()
		tell(desc, prometheus.CounterValue, float64(n), value)
	}
	if p.Ejects {
		tell(descEjected, prometheus.GaugeValue, float64(p.EjectedNow), "")
	}
	if p.Breaker == "" {
		return
	}
	for _, state := range []string{"closed", "open", "recovering"} {
		in := 0.0
		if state == p.Breaker {
			in = 1
		}
		tell(descBreaker, prometheus.GaugeValue, in, state)
	}
}
