//go:build e2e

package addons_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/node"
)

const shipped = "../../manifests/addons/"

// objects are a caller at 127.0.0.1 and one pod, which two Services lead to: one
// by HTTP, one by TCP.
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
ports: [{name: http, port: %[1]d}]
endpoints: [{addresses: [127.0.0.9], conditions: {ready: true}, targetRef: {kind: Pod, name: orders-1, namespace: shop}}]
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: shop}
spec: {ports: [{name: tcp, port: 81}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ledger-1, namespace: shop, labels: {kubernetes.io/service-name: ledger}}
addressType: IPv4
ports: [{name: tcp, port: %[1]d}]
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

// running is a node proxy: where it listens for orders and for the ledger, and
// where it is scraped.
type running struct{ orders, ledger, metrics string }

// proxy runs a node proxy.
func proxy(t *testing.T, port int) running {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, objects, port), 0o600); err != nil {
		t.Fatal(err)
	}
	r := running{address(t), address(t), address(t)}
	n, err := node.New(node.Config{
		Source: kube.NewFiles(kube.FilesConfig{Paths: []string{file}}), MetricsAddress: r.metrics,
		Frontends: func(*mesh.Inputs) map[mesh.Name]mesh.Frontend {
			at := func(port uint16, listen string) mesh.Frontend {
				return mesh.Frontend{Ports: []mesh.FrontendPort{{Number: port, Listen: netip.MustParseAddrPort(listen)}}}
			}
			return map[mesh.Name]mesh.Frontend{{Namespace: "shop", Name: "orders"}: at(80, r.orders), {Namespace: "shop", Name: "ledger"}: at(81, r.ledger)}
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
		c, err := net.Dial("tcp", r.orders)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return r
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

// prometheus runs the shipped configuration as it is, and returns where it
// answers. It finds the proxies as in a cluster: as pods, by its service account.
func prometheus(t *testing.T, proxies ...running) string {
	t.Helper()
	folder, at := t.TempDir(), address(t)
	for _, name := range []string{"prometheus.yml", "alerts.yml"} {
		content, err := os.ReadFile(shipped + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	cmd := newCluster(t, proxies).inPod(testenv.Tool(t, "prometheus"), "--config.file="+filepath.Join(folder, "prometheus.yml"), "--storage.tsdb.path="+folder, "--web.listen-address="+at)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
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

// speak sends a line over a connection and waits for its end.
func speak(t *testing.T, at string) {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /tcp HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
}

// sample is one row of an answer.
type sample struct {
	Metric map[string]string
	Value  float64
}

// ask returns the values of a query.
func ask(t *testing.T, at, query string) (values []float64) {
	t.Helper()
	for _, s := range rows(t, at, query) {
		values = append(values, s.Value)
	}
	return values
}

// rows returns the answer of a query.
func rows(t *testing.T, at, query string) (out []sample) {
	t.Helper()
	response, err := http.Get("http://" + at + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %s %v", query, answer.Error, err)
	}
	for _, r := range answer.Data.Result {
		value, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, sample{r.Metric, value})
	}
	return out
}

// backend serves both Services, of HTTP and of TCP, on a port of its own.
func backend(t *testing.T) (port int) {
	t.Helper()
	var served atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tcp" {
			return
		}
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
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

// TestARealPrometheus scrapes two proxies under known load; what Flagger, the
// alerts and the dashboards ask gets the known figures.
func TestARealPrometheus(t *testing.T) {
	port := backend(t)
	proxies := []running{proxy(t, port), proxy(t, port)}
	load := func(n int) {
		for i := range n {
			response, err := http.Get("http://" + proxies[i%2].orders)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if i%10 < 2 { // HTTP over a port of TCP: the proxy sees bytes
				speak(t, proxies[i%2].ledger)
			}
		}
	}
	load(40)
	at := prometheus(t, proxies...)
	is := func(query string, want float64) bool {
		got := ask(t, at, query)
		return len(got) == 1 && math.Abs(got[0]-want) < 1e-9
	}
	const flagger = `reporter="destination",destination_workload_namespace="shop",destination_workload=~"orders"`
	scraped := func(n float64) func() bool {
		return func() bool { // by each of the three jobs, and the connections with them
			return is(`sum(weft_requests_total)`, n) && is(`sum(istio_requests_total{reporter="source"})`, n) && is(`sum(istio_requests_total{`+flagger+`})`, n) &&
				is(`sum(istio_tcp_connections_closed_total{reporter="source"})`, n/5) && is(`sum(istio_tcp_connections_closed_total{reporter="destination"})`, n/5)
		}
	}
	await(t, "the begin is scraped", scraped(40))
	load(400)
	await(t, "all is scraped", scraped(440))
	for query, want := range map[string]float64{
		// Flagger's request-success-rate (observer istio).
		`sum(rate(istio_requests_total{` + flagger + `,response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{` + flagger + `}[1m])) * 100`:     90,
		`sum(istio_requests_total{reporter="source",source_workload="web",destination_service="orders.shop.svc.cluster.local",response_code="503"})`: 44,
		`sum(istio_requests_total{reporter="source",source_canonical_service="web",source_principal="spiffe://cluster.local/ns/front/sa/web"})`:      440,
		`sum(weft_requests_total)`: 440, `count(up{job="weft"} == 1)`: 2, `count(up)`: 6,
		`count(up{job="weft",pod="weft-node-1",node="node-1"})`: 1, `sum(istio_request_duration_milliseconds_count{` + flagger + `})`: 440,
	} {
		if !is(query, want) {
			t.Errorf("%s: %v; want %v", query, ask(t, at, query), want)
		}
	}
	// Flagger's request-duration.
	if got := ask(t, at, `histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{`+flagger+`}[1m])) by (le))`); len(got) != 1 || !(got[0] > 0 && got[0] < 10_000) {
		t.Errorf("p99 %v", got)
	}
	t.Run("Kiali", func(t *testing.T) { kiali(t, at) })
	t.Run("Istio's dashboards", func(t *testing.T) { istioDashboards(t, at) })
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
	silent := []string{"weft_refusals_total", "weft_problems", "weft_watch_stale_seconds", "weft_circuit_breaker", "weft_ejected_endpoints", "weft_retries_total", "weft_policy_refusals_total"}
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
