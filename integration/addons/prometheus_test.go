//go:build e2e

package addons_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/node"
)

const shipped = "../../manifests/addons/"

// objects are a caller at 127.0.0.1 and a Service with one pod.
const objects = `
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: front, labels: {pod-template-hash: abc}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, controller: true}]}
spec: {serviceAccountName: web}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {pod-template-hash: abc}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: orders-abc, controller: true}]}
spec: {serviceAccountName: orders}
status: {phase: Running, podIP: 127.0.0.9, podIPs: [{ip: 127.0.0.9}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{name: http, port: %d}]
endpoints: [{addresses: [127.0.0.9], conditions: {ready: true}, targetRef: {kind: Pod, name: orders-1, namespace: shop}}]
`

func address(t *testing.T) string {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return at.String()
}

// proxy runs a node proxy and returns where it listens for orders and where it
// is scraped.
func proxy(t *testing.T, port int) (listen, metrics string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, objects, port), 0o600); err != nil {
		t.Fatal(err)
	}
	listen, metrics = address(t), address(t)
	n, err := node.New(node.Config{
		Source: kube.NewFiles(kube.FilesConfig{Paths: []string{file}}), MetricsAddress: metrics,
		Frontends: func(*mesh.Inputs) map[mesh.Name]mesh.Frontend {
			return map[mesh.Name]mesh.Frontend{{Namespace: "shop", Name: "orders"}: {Ports: []mesh.FrontendPort{{Number: 80, Listen: netip.MustParseAddrPort(listen)}}}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node: %v", err)
		}
	})
	await(t, "the proxy listens", func() bool {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return listen, metrics
}

// await waits for a fact.
func await(t *testing.T, what string, fact func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(time.Minute), time.NewTicker(100*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// prometheus runs the shipped configuration, with the proxies in the place of
// the pods and a scrape each second, and returns where it answers.
func prometheus(t *testing.T, targets ...string) string {
	t.Helper()
	text, err := os.ReadFile(shipped + "prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	config["global"].(map[string]any)["scrape_interval"] = "1s"
	for _, job := range config["scrape_configs"].([]any) {
		job := job.(map[string]any)
		delete(job, "kubernetes_sd_configs")
		delete(job, "relabel_configs")
		job["static_configs"] = []any{map[string]any{"targets": targets}}
	}
	folder := t.TempDir()
	rules, err := os.ReadFile(shipped + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.Marshal(config); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"prometheus.yml": text, "alerts.yml": rules} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := address(t)
	var said bytes.Buffer
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(folder, "prometheus.yml"), "--storage.tsdb.path="+folder, "--web.listen-address="+at)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; Debian's package prometheus has it", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	await(t, "Prometheus is ready", func() bool {
		response, err := http.Get("http://" + at + "/-/ready")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return at
}

// ask returns the values of a query.
func ask(t *testing.T, at, query string) (values []float64) {
	t.Helper()
	response, err := http.Get("http://" + at + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %s %v", query, answer.Error, err)
	}
	for _, r := range answer.Data.Result {
		value, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}

// TestARealPrometheus scrapes two proxies under known load; what Flagger, the
// alerts and the dashboards ask gets the known figures.
func TestARealPrometheus(t *testing.T) {
	var served atomic.Int64
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// A tenth fails, at both proxies alike: else what Prometheus extrapolates
		// differs between them.
		if n := served.Add(1) % 20; n == 0 || n == 11 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	listener, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = backend.Serve(listener) }()
	t.Cleanup(func() { _ = backend.Close() })
	port := listener.Addr().(*net.TCPAddr).Port
	oneListen, oneMetrics := proxy(t, port)
	otherListen, otherMetrics := proxy(t, port)
	load := func(n int) {
		for i := range n {
			response, err := http.Get("http://" + []string{oneListen, otherListen}[i%2])
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
	}
	load(40)
	at := prometheus(t, oneMetrics, otherMetrics)
	is := func(query string, want float64) bool {
		got := ask(t, at, query)
		return len(got) == 1 && math.Abs(got[0]-want) < 1e-9
	}
	const flagger = `reporter="destination",destination_workload_namespace="shop",destination_workload=~"orders"`
	await(t, "the begin is scraped", func() bool { return is(`sum(istio_requests_total{`+flagger+`})`, 40) })
	load(400)
	await(t, "all is scraped", func() bool { return is(`sum(istio_requests_total{`+flagger+`})`, 440) })
	for query, want := range map[string]float64{
		// Flagger's request-success-rate (observer istio).
		`sum(rate(istio_requests_total{` + flagger + `,response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{` + flagger + `}[1m])) * 100`:     90,
		`sum(istio_requests_total{reporter="source",source_workload="web",destination_service="orders.shop.svc.cluster.local",response_code="503"})`: 44,
		`sum(istio_requests_total{reporter="source",source_canonical_service="web",source_principal="spiffe://cluster.local/ns/front/sa/web"})`:      440,
		`sum(weft_requests_total)`: 440, `count(up{job="weft"} == 1)`: 2, `sum(istio_request_duration_milliseconds_count{` + flagger + `})`: 440,
	} {
		if !is(query, want) {
			t.Errorf("%s: %v; want %v", query, ask(t, at, query), want)
		}
	}
	// Flagger's request-duration.
	if got := ask(t, at, `histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{`+flagger+`}[1m])) by (le))`); len(got) != 1 || !(got[0] > 0 && got[0] < 10_000) {
		t.Errorf("p99 %v", got)
	}
	t.Run("Alerts", func(t *testing.T) { alerts(t, at) })
	t.Run("Dashboards", func(t *testing.T) { dashboards(t, at) })
}

// alerts: each expression is asked; the failures of the load are found.
func alerts(t *testing.T, at string) {
	text, err := os.ReadFile(shipped + "alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, rule := range file.Groups[0].Rules {
		got := ask(t, at, rule.Expr)
		if fires := len(got) > 0; fires != (rule.Alert == "WeftServiceFails") {
			t.Errorf("%s: %v", rule.Alert, got)
		}
	}
}

// dashboards: each query of a panel is asked; all but those about what did not
// happen have an answer.
func dashboards(t *testing.T, at string) {
	silent := []string{"weft_tcp_", "weft_refusals_total", "weft_problems", "weft_watch_stale_seconds", "weft_circuit_breaker", "weft_ejected_endpoints", "weft_retries_total", "weft_policy_refusals_total"}
	files, err := filepath.Glob(shipped + "*.json")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	asked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(file, err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				query := strings.NewReplacer("$__rate_interval", "1m", "$service", ".*", "$source", ".*").Replace(target.Expr)
				quiet := false
				for _, name := range silent {
					quiet = quiet || strings.Contains(query, name)
				}
				if got := ask(t, at, query); len(got) == 0 && !quiet {
					t.Errorf("%s, %s: nothing for %s", filepath.Base(file), p.Title, query)
				}
				asked++
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d queries", asked)
	}
}
