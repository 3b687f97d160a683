//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weft-mesh/weft/pkg/metricsapi"
)

// The load of each caller: over well within the window of 30 s.
const (
	fast, slow, failing = 80, 10, 10
	delay               = 100 * time.Millisecond
)

// testMetricsAPI: what kubectl gets of a Deployment, its pod, its Service and its
// callers is what the callers counted and measured. Nobody else calls it.
func testMetricsAPI(c *cluster) {
	c.ready("deployment/ledger", "shop")
	if err := sameCounts(c.counts("v1alpha2", "namespaces/shop/deployments/ledger?t=1m"), 0, 0); err != nil {
		c.Error(err)
	}
	began := time.Now()
	took := c.callLedger()
	callers := len(took) / (fast + slow + failing)
	ok, failed := callers*(fast+slow), callers*failing
	pod := c.pods("shop", "app=ledger")[0]
	for _, path := range []string{"deployments/ledger", "pods/" + pod.Name + "?t=1m", "services/ledger?t=1m", "deployments/ledger?t=1m"} {
		if !strings.Contains(path, "?") && time.Since(began) > 20*time.Second {
			c.Logf("%s is not looked at: the calls alone took %v", path, time.Since(began)) // of a window of 30 s
			continue
		}
		for _, version := range metricsapi.Versions() {
			var got map[string]time.Duration
			c.eventually(5*time.Second, func() error { // a request is counted when its answer is out
				got = c.counts(version, "namespaces/shop/"+path)
				return sameCounts(got, ok, failed)
			})
			c.latencies(path, got, took)
		}
	}
	if time.Since(began) < 40*time.Second {
		c.ledgerEdges(pod.Name)
	}
	// A shorter window is over first.
	c.eventually(20*time.Second, func() error { return sameCounts(c.counts("v1alpha2", "namespaces/shop/deployments/ledger?t=2s"), 0, 0) })
	if err := sameCounts(c.counts("v1alpha2", "namespaces/shop/deployments/ledger?t=1m"), ok, failed); err != nil && time.Since(began) < 40*time.Second {
		c.Error(err)
	}
	if out, err := c.try(c.kubectlBin, "get", "--raw", "/apis/metrics.smi-spec.io/v1alpha2/namespaces/shop/deployments/nothing"); err == nil || !strings.Contains(out, "not found") {
		c.Errorf("the figures of a Deployment that is not there: %v\n%s", err, out)
	}
}

// callLedger has every caller make the load, and returns how long each call took,
// the shortest first.
func (c *cluster) callLedger() (took []time.Duration) {
	c.Helper()
	var all sync.WaitGroup
	callers := c.callers()
	each := make([][]time.Duration, len(callers))
	for i, a := range callers {
		all.Go(func() { each[i] = a.callLedger() })
	}
	all.Wait()
	took = slices.Concat(each...)
	slices.Sort(took)
	return took
}

func (a caller) callLedger() (took []time.Duration) {
	for _, part := range []struct {
		query     string
		n, status int
	}{{"", fast, 200}, {"?delay=" + delay.String(), slow, 200}, {"?status=503", failing, 503}} {
		var results []result
		if err := a.ask("/http", url.Values{"url": {"http://ledger.shop.mesh/" + part.query}, "n": {fmt.Sprint(part.n)}}, &results); err != nil {
			a.c.Error(err)
		}
		for _, r := range results {
			if r.Status != part.status {
				a.c.Errorf("%s from %s: %d %s; want %d", part.query, a.pod.Spec.NodeName, r.Status, r.Error, part.status)
			}
			took = append(took, r.Took)
		}
	}
	return took
}

// figures asks the metrics API, as kubectl does, for what it has by name.
func (c *cluster) figures(version, path string, out any) {
	c.Helper()
	text := c.kubectl("get", "--raw", "/apis/metrics.smi-spec.io/"+version+"/"+path)
	if err := json.Unmarshal([]byte(text), out); err != nil {
		c.Fatalf("%s: %v\n%s", path, err, text)
	}
}

// counts are the figures of one object: counts, and latencies in nanoseconds.
func (c *cluster) counts(version, path string) map[string]time.Duration {
	c.Helper()
	var m metricsapi.TrafficMetrics
	c.figures(version, path, &m)
	return valuesOf(&m)
}

func valuesOf(m *metricsapi.TrafficMetrics) map[string]time.Duration {
	out := map[string]time.Duration{}
	for i := range m.Metrics {
		value := time.Duration(m.Metrics[i].Value.Value())
		if m.Metrics[i].Unit == "ms" {
			value = time.Duration(m.Metrics[i].Value.MilliValue()) * time.Microsecond
		}
		out[m.Metrics[i].Name] = value
	}
	return out
}

func sameCounts(got map[string]time.Duration, ok, failed int) error {
	if len(got) != 5 || int(got["success_count"]) != ok || int(got["failure_count"]) != failed {
		return fmt.Errorf("%d succeeded and %d failed; want %d and %d", got["success_count"], got["failure_count"], ok, failed)
	}
	return nil
}

// latencies compares quantiles with what the callers measured: a proxy takes no
// longer than its caller waits, and a figure is at most one part in 31 off.
func (c *cluster) latencies(path string, got map[string]time.Duration, took []time.Duration) {
	c.Helper()
	const off = 31
	for name, share := range map[string]int{"p50_response_latency": 50, "p90_response_latency": 90, "p99_response_latency": 99} {
		least, most := time.Duration(1), took[(len(took)-1)*share/100]
		if share == 99 {
			least = delay - delay/off
		}
		if got[name] < least || got[name] > most+most/off {
			c.Errorf("%s: %s is %v; want %v to %v", path, name, got[name], least, most+most/off)
		}
	}
}

// ledgerEdges: each caller's calls are an edge of their own, told at both ends.
func (c *cluster) ledgerEdges(pod string) {
	c.Helper()
	want := map[string]string{}
	for _, a := range c.callers() {
		want[a.pod.Name] = fmt.Sprint("from e2e ", fast+slow, " ", failing)
	}
	if got := c.edges("namespaces/shop/pods/" + pod + "/edges?t=1m"); !maps.Equal(got, want) {
		c.Errorf("the edges of pod %s: %v; want %v", pod, got, want)
	}
	all := len(want)
	want = map[string]string{"caller": fmt.Sprint("from e2e ", all*(fast+slow), " ", all*failing)}
	if got := c.edges("namespaces/shop/services/ledger/edges?t=1m"); !maps.Equal(got, want) {
		c.Errorf("the edges of Service ledger: %v; want %v", got, want)
	}
	a := c.callers()[0]
	to := fmt.Sprint("to shop ", fast+slow, " ", failing)
	if got := c.edges("namespaces/e2e/pods/" + a.pod.Name + "/edges?t=1m"); got[pod] != to {
		c.Errorf("the edges of pod %s: %v; want %q for %s", a.pod.Name, got, to, pod)
	}
}

// edges are what ran between an object and each other: direction, namespace,
// successes and failures by the other's name.
func (c *cluster) edges(path string) map[string]string {
	c.Helper()
	var list metricsapi.TrafficMetricsList
	c.figures("v1alpha2", path, &list)
	out := map[string]string{}
	for i := range list.Items {
		m := &list.Items[i]
		values := valuesOf(m)
		out[m.Edge.Resource.Name] = fmt.Sprint(m.Edge.Direction, " ", m.Edge.Resource.Namespace, " ", int(values["success_count"]), " ", int(values["failure_count"]))
	}
	return out
}
