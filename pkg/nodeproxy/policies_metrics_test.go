package nodeproxy_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// told checks what a metric says of a Service's policies.
func (w *world) told(metric, service string, want float64, labels ...string) {
	w.Helper()
	if got := w.count(metric, w.labelled(service, labels...)); got != want {
		w.Errorf("%s of %s %v is %v; want %v", metric, service, labels, got, want)
	}
}

// labelled are the labels of a Service's port 80, and pairs of others.
func (w *world) labelled(service string, pairs ...string) map[string]string {
	labels := map[string]string{
		"destination_service": service + ".shop", "destination_service_name": service,
		"destination_service_namespace": "shop", "destination_port": "80",
	}
	for i := 0; i < len(pairs); i += 2 {
		labels[pairs[i]] = pairs[i+1]
	}
	return labels
}

func TestMetricsOfRetries(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		at := w.service("orders", "http", says(t, 503, &met), says(t, 503, &met))
		w.annotate("orders", "retry-attempts", "2", "retry-on", "5xx", "retry-backoff", "1ms", "retry-budget", "0", "retry-budget-min", "1")
		w.publish()
		c := client(t, http2)
		const calls = 30
		for range calls {
			_, _ = get(t, c, "http://"+at)
		}
		done := w.count("weft_retries_total", w.labelled("orders", "outcome", "done"))
		if done < 1 || done != float64(met.Load()-calls) {
			t.Errorf("%v retries are counted, the endpoints met %d", done, met.Load()-calls)
		}
		w.told("weft_retries_total", "orders", calls-done, "outcome", "budget-exhausted")
	})
}

func TestMetricsOfEjections(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		at := w.service("orders", "http", says(t, 500, &met), says(t, 200, &met), says(t, 200, &met))
		w.annotate("orders", "outlier-consecutive-5xx", "2")
		w.publish()
		w.told("weft_ejected_endpoints", "orders", 0)
		c := client(t, http2)
		eventually(t, "an endpoint is ejected", func() bool {
			_, _ = get(t, c, "http://"+at)
			return w.count("weft_ejected_endpoints", w.labelled("orders")) == 1
		})
		w.told("weft_ejections_total", "orders", 1)
		w.publish() // a new Table forgets nothing
		w.told("weft_ejections_total", "orders", 1)
	})
}

func TestMetricsOfCircuitBreakers(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		at := w.service("orders", "http", says(t, 500, &met))
		w.annotate("orders", "circuit-breaker-expression", "ResponseCodeRatio(500, 600, 0, 600) > 0.5", "circuit-breaker-open", "1h")
		w.publish()
		w.told("weft_circuit_breaker", "orders", 1, "state", "closed")
		c := client(t, http2)
		eventually(t, "the circuit opens", func() bool {
			_, _ = get(t, c, "http://"+at)
			return w.count("weft_circuit_breaker", w.labelled("orders", "state", "open")) == 1
		})
		w.told("weft_circuit_breaker", "orders", 0, "state", "closed")
		w.told("weft_circuit_breaker", "orders", 0, "state", "recovering")
		before := w.count("weft_policy_refusals_total", w.labelled("orders", "policy", "circuit-breaker"))
		w.refused(c, at, 503, "circuit-open")
		w.told("weft_policy_refusals_total", "orders", before+1, "policy", "circuit-breaker")
	})
}

// Each policy that refuses is named by its annotation.
func TestMetricsOfRefusals(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		for policy, ask := range map[string]struct {
			annotations []string
			header      http.Header
			body        string
		}{
			"ratelimit":   {annotations: []string{"ratelimit-average", "1", "ratelimit-period", "1h"}},
			"max-headers": {annotations: []string{"max-headers", "1000"}, header: http.Header{"X-Large": {strings.Repeat("x", 1000)}}},
			"max-body":    {annotations: []string{"max-body", "10"}, body: strings.Repeat("x", 11)},
		} {
			w := newWorld(t, nodeproxy.Config{})
			at := w.service("orders", "http", calls(t, "a"))
			w.annotate("orders", ask.annotations...)
			w.publish()
			c, refused := client(t, http2), 0
			for range 2 {
				r, err := http.NewRequest(http.MethodPost, "http://"+at, strings.NewReader(ask.body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header = ask.header.Clone()
				res, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					refused++
				}
			}
			if refused == 0 {
				t.Errorf("%s refused nothing", policy)
			}
			w.told("weft_policy_refusals_total", "orders", float64(refused), "policy", policy)
		}
	})
}

func TestMetricsOfTheRest(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "http", backend(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
		w.service("shadow", "http", calls(t, "shadow"))
		w.annotate("orders", "mirror", "shadow", "fault-abort", "418", "fault-header", "x-chaos", "fault-delay", "1ms", "failover", "shadow")
		w.publish()
		c := client(t, http2)
		askWith(t, c, at)
		askWith(t, c, at, "x-chaos", "1")
		w.told("weft_faults_total", "orders", 1, "fault", "abort")
		w.told("weft_faults_total", "orders", 1, "fault", "delay")
		w.told("weft_failovers_total", "orders", 0)
		eventually(t, "the copy is counted", func() bool {
			return w.count("weft_mirrored_total", w.labelled("orders", "outcome", "sent")) == 1
		})
		res, err := c.Post("http://"+at, "text/plain", strings.NewReader(strings.Repeat("x", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		w.told("weft_mirrored_total", "orders", 1, "outcome", "dropped")
		w.endpoints(0, "orders")
		w.publish()
		if got := askWith(t, c, at).Header.Get("Server-Name"); got != "shadow" {
			t.Errorf("came to %q without an endpoint", got)
		}
		w.told("weft_failovers_total", "orders", 1)
	})
}

// What is not configured has no series.
func TestMetricsOfWhatIsNotConfigured(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	w.service("orders", "http", calls(t, "a"))
	w.service("carts", "http", calls(t, "a"))
	w.annotate("carts", "timeout", "1s")
	w.publish()
	for _, metric := range []string{"weft_retries_total", "weft_ejected_endpoints", "weft_circuit_breaker", "weft_policy_refusals_total"} {
		if all := w.with(metric, nil); len(all) > 0 {
			t.Errorf("%s has %d series", metric, len(all))
		}
	}
}
