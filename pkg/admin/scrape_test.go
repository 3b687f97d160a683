package admin_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// linesOfASet is how many lines a label set of requests has.
const linesOfASet = 65

// counted has counted so much that there are so many lines, in label sets of
// requests.
func counted(lines int) prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	p := telemetry.NewProxy(registry, telemetry.ProxyConfig{})
	for i := range lines / linesOfASet {
		p.Flow(telemetry.Call{
			Source:      telemetry.Workload{Namespace: "front", Kind: "Deployment", Name: fmt.Sprint("web-", i), Account: "web", Pod: fmt.Sprint("web-", i, "-7c2a-m4q9z"), Node: "a"},
			Destination: telemetry.Workload{Namespace: "shop", Kind: "Deployment", Name: "orders-v2", Account: "orders", Pod: "orders-v2-5d9f-x7k2p", Node: "b"},
			Service:     "orders", Namespace: "shop", Backend: "orders-v2", Protocol: "http",
		}).Count(0, &telemetry.Outcome{Code: 200, Took: 3 * time.Millisecond, First: 2 * time.Millisecond, Received: 100, Sent: 2000})
	}
	return registry
}

// handlers serve the same metrics, by what Weft has and by the library alone.
func handlers(from prometheus.Gatherer) (own, library http.Handler) {
	return admin.Handler(admin.Config{Metrics: from}), promhttp.HandlerFor(from, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// ask asks as Prometheus does.
func ask(handler http.Handler) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4")
	request.Header.Set("Accept-Encoding", "gzip")
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

// BenchmarkScrape is one scrape of 10,000 lines as Prometheus asks for it, and
// what the library alone needs for it.
func BenchmarkScrape(b *testing.B) {
	own, library := handlers(counted(10_000))
	for name, handler := range map[string]http.Handler{"own": own, "library": library} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = ask(handler).Body.Len()
			}
			b.ReportMetric(float64(size), "B/scrape")
		})
	}
}

// TestAScrapeIsCheap: it takes clearly less of a processor than by the library
// alone (on a quiet machine less than half); the best of some rounds each, in
// turn, so that other work counts for neither.
func TestAScrapeIsCheap(t *testing.T) {
	own, library := handlers(counted(10_000))
	took := func(handler http.Handler) time.Duration {
		runtime.GC() // so that neither pays for the other's garbage
		before := processorTime(t)
		ask(handler)
		return processorTime(t) - before
	}
	bestOwn, bestLibrary := time.Hour, time.Hour
	for range 10 {
		bestOwn, bestLibrary = min(bestOwn, took(own)), min(bestLibrary, took(library))
	}
	t.Logf("10,000 lines in %v, by the library in %v", bestOwn, bestLibrary)
	if bestOwn > bestLibrary/4*3 {
		t.Errorf("a scrape of 10,000 lines takes %v, by the library %v", bestOwn, bestLibrary)
	}
}

// processorTime is what this process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestHistogramsReadAsTheLibraryWritesThem: what expose writes by itself is to
// the letter what expfmt would have written.
func TestHistogramsReadAsTheLibraryWritesThem(t *testing.T) {
	registry := prometheus.NewRegistry()
	odd := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "odd", Help: "Says \"odd\\\".\nAnd more.", Buckets: []float64{-1, 0, 0.25, 1, 1e6, 1e21}}, []string{"a", "b"})
	for i, label := range []string{"", "plain", "\\", "\"", "\n", "ü \\n\" \n"} {
		odd.WithLabelValues(label, "x").Observe(float64(i) / 3)
	}
	many, none, empty := oneHistogram("many", 1e6+1), prometheus.NewHistogram(prometheus.HistogramOpts{Name: "none", Buckets: []float64{}}), oneHistogram("empty", 0)
	registry.MustRegister(odd, many, none, empty, prometheus.NewGauge(prometheus.GaugeOpts{Name: "gauge"}))
	telemetry.NewProxy(registry, telemetry.ProxyConfig{}).Flow(telemetry.Call{Service: "orders", Namespace: "shop", Protocol: "http"}).Count(0, &telemetry.Outcome{Code: 200, Took: time.Second})
	own, library := handlers(registry)
	for _, accept := range []string{
		"", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", "application/openmetrics-text;version=0.0.1",
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", "text/plain;version=1.0.0;escaping=allow-utf-8",
		"application/openmetrics-text;version=2.0.0", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	} {
		for _, encoding := range []string{"gzip, deflate", "identity"} {
			want, got := scraped(t, library, accept, encoding), scraped(t, own, accept, encoding)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q, %s (- library, + own)\n%s", accept, encoding, diff)
			}
		}
	}
}

// oneHistogram has counted so many.
func oneHistogram(name string, n int) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Buckets: []float64{1, 2}})
	for range n {
		h.Observe(1)
	}
	return h
}

// scraped is an answer of /metrics: what it is, and its text.
func scraped(t *testing.T, handler http.Handler, accept, encoding string) [3]string {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	var body io.Reader = answer.Body
	if answer.Header().Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return [3]string{answer.Header().Get("Content-Type"), answer.Header().Get("Content-Encoding"), string(text)}
}
