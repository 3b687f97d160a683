package telemetry_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

func TestPipelineMetricsAreTheStateAtTheScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var state telemetry.Pipeline
		reg := prometheus.NewPedanticRegistry()
		if err := telemetry.RegisterPipeline(reg, func() telemetry.Pipeline { return state }); err != nil {
			t.Fatal(err)
		}
		expect(t, reg, `weft_table_generation 0`)
		state = telemetry.Pipeline{
			Generation: 3, Built: time.Now().Add(-90 * time.Second), Took: 12 * time.Millisecond,
			Problems: map[string]int{"BadAnnotation": 1, "BackendNotFound": 2},
			Stale:    map[string]time.Duration{"services": 0, "pods": 1500 * time.Millisecond},
		}
		expect(t, reg, `weft_build_seconds 0.012
weft_problems{reason="BackendNotFound"} 2
weft_problems{reason="BadAnnotation"} 1
weft_table_age_seconds 90
weft_table_generation 3
weft_watch_stale_seconds{kind="pods"} 1.5
weft_watch_stale_seconds{kind="services"} 0`)
	})
}

// expect compares everything that reg holds with the lines.
func expect(t *testing.T, reg *prometheus.Registry, lines string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		text.WriteString("# HELP " + f.GetName() + " " + f.GetHelp() + "\n# TYPE " + f.GetName() + " gauge\n")
	}
	text.WriteString(lines + "\n")
	if err := testutil.GatherAndCompare(reg, strings.NewReader(text.String())); err != nil {
		t.Error(err)
	}
}

// text writes a histogram down: count, sum, and the buckets in which it grows.
func text(h *dto.Histogram) string {
	out, before := fmt.Sprintf("%d %v:", h.GetSampleCount(), h.GetSampleSum()), uint64(0)
	for _, b := range h.Bucket {
		if b.GetCumulativeCount() != before {
			before = b.GetCumulativeCount()
			out += fmt.Sprintf(" %v=%d", b.GetUpperBound(), before)
		}
	}
	return out
}
