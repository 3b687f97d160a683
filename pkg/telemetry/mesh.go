package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pipeline is the state of the way from the sources to the Table at one moment.
type Pipeline struct {
	// Generation of the Table that is live; 0 before the first.
	Generation uint64
	// Built is when that Table was built, Took how long that needed.
	Built time.Time
	Took  time.Duration
	// Problems counts what is wrong now, by reason.
	Problems map[string]int
	// Stale says for each kind that is watched how long its watch has been
	// broken; 0 for one that works.
	Stale map[string]time.Duration
}

var (
	descGeneration = prometheus.NewDesc("weft_table_generation",
		"Which rebuild the live routing table is; 0 before the first.", nil, nil)
	descAge = prometheus.NewDesc("weft_table_age_seconds",
		"Time since the live routing table was built. A mesh in which nothing changes has an old table.", nil, nil)
	descBuild = prometheus.NewDesc("weft_build_seconds",
		"Time that the last rebuild of the routing table took.", nil, nil)
	descProblems = prometheus.NewDesc("weft_problems",
		"Objects that are wrong now, by reason; /api/problems lists them.", []string{"reason"}, nil)
	descStale = prometheus.NewDesc("weft_watch_stale_seconds",
		"How long the watch of a kind has been broken; 0 while it works.", []string{"kind"}, nil)
)

// RegisterPipeline adds the metrics of the pipeline to reg: weft_table_generation,
// weft_table_age_seconds and weft_build_seconds (both absent before the first
// Table), weft_problems{reason} and weft_watch_stale_seconds{kind}. state is
// called at each scrape and must be safe for concurrent use.
func RegisterPipeline(reg prometheus.Registerer, state func() Pipeline) error {
	return reg.Register(pipelineCollector(state))
}

// pipelineCollector reads the state when it is scraped, so that there is no
// second copy of it to keep right.
type pipelineCollector func() Pipeline

// Describe names the metrics.
func (pipelineCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{descGeneration, descAge, descBuild, descProblems, descStale} {
		out <- desc
	}
}

// Collect tells their values.
func (c pipelineCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	state := c()
	gauge(descGeneration, float64(state.Generation))
	if state.Generation > 0 {
		gauge(descAge, time.Since(state.Built).Seconds())
		gauge(descBuild, state.Took.Seconds())
	}
	for reason, n := range state.Problems {
		gauge(descProblems, float64(n), reason)
	}
	for kind, broken := range state.Stale {
		gauge(descStale, broken.Seconds(), kind)
	}
}
