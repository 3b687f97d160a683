package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

var (
	descLeader = prometheus.NewDesc("weft_controller_leader",
		"1 on the replica that holds the Lease; the metrics below it are absent on the others.", nil, nil)
	descShadows = prometheus.NewDesc("weft_shadow_services",
		"Shadow Services that should stand.", nil, nil)
	descPorts = prometheus.NewDesc("weft_mesh_ports",
		"Mesh ports that stand for a Service's port, and those that are left.", []string{"state"}, nil)
	descWrites = prometheus.NewDesc("weft_shadow_writes_total",
		"Writes of shadow Services, names and their slices.", nil, nil)
	descWriteFailures = prometheus.NewDesc("weft_shadow_write_failures_total",
		"Writes, and reads before a write, that failed; each is tried again.", nil, nil)
	descDNS = prometheus.NewDesc("weft_dns_patched",
		"1 when the cluster's DNS resolves mesh names as far as its configuration says, else 0.", nil, nil)
)

// metrics are the controller's own, beside those of the process.
func (k *controller) metrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), controllerMetrics{k})
	if err := telemetry.RegisterPipeline(reg, k.pipeline); err != nil {
		panic(err) // two metrics of one name: a mistake in this file
	}
	return reg
}

// pipeline is the state of the watches and the problems.
func (k *controller) pipeline() telemetry.Pipeline {
	p := telemetry.Pipeline{Problems: map[string]int{}}
	for _, problem := range k.board.all() {
		p.Problems[problem.Reason]++
	}
	if s := k.loop.Latest(); s != nil {
		p.Generation, p.Built, p.Took = s.Generation, s.Built, s.Took
	}
	if k.leading.Load() {
		p.Stale = staleness(k.cluster.Status())
	}
	return p
}

// controllerMetrics reads the controller's state when it is scraped.
type controllerMetrics struct{ *controller }

// Describe names the metrics.
func (controllerMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{descLeader, descShadows, descPorts, descWrites, descWriteFailures, descDNS} {
		out <- desc
	}
}

// Collect tells their values.
func (k controllerMetrics) Collect(out chan<- prometheus.Metric) {
	tell := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	truth := map[bool]float64{true: 1}
	leading := k.leading.Load()
	tell(descLeader, prometheus.GaugeValue, truth[leading])
	if !leading {
		return
	}
	s := k.shadows.Stats()
	tell(descShadows, prometheus.GaugeValue, float64(s.Shadows))
	tell(descPorts, prometheus.GaugeValue, float64(s.PortsUsed), "used")
	tell(descPorts, prometheus.GaugeValue, float64(s.PortsFree), "free")
	tell(descWrites, prometheus.CounterValue, float64(s.Writes))
	tell(descWriteFailures, prometheus.CounterValue, float64(s.WriteFailures))
	tell(descDNS, prometheus.GaugeValue, truth[k.dnsPatched.Load()])
}
