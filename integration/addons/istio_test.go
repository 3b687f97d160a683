//go:build e2e

package addons_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// kiali asks what the graph of Kiali (1.x and 2.x) is drawn from: the rate of
// requests and of bytes by these labels, for a namespace as the destination and as
// the source. A series without one of them is left out of the graph.
func kiali(t *testing.T, at string) {
	sides := []string{
		"source_cluster", "source_workload_namespace", "source_workload", "source_canonical_service", "source_canonical_revision",
		"destination_cluster", "destination_service_namespace", "destination_service", "destination_service_name",
		"destination_workload_namespace", "destination_workload", "destination_canonical_service", "destination_canonical_revision", "response_flags",
	}
	request := append([]string{"request_protocol", "response_code", "grpc_response_status"}, sides...)
	for _, test := range []struct {
		metric string
		labels []string
		rows   int // 200 and 503, or one
	}{
		{"istio_requests_total", request, 2}, {"istio_tcp_sent_bytes_total", sides, 1}, {"istio_tcp_received_bytes_total", sides, 1},
	} {
		for _, label := range test.labels {
			if missing := rows(t, at, fmt.Sprintf(`%s{%s=""}`, test.metric, label)); len(missing) > 0 && label != "grpc_response_status" {
				t.Errorf("%s lacks %s: %v", test.metric, label, missing[0].Metric)
			}
		}
		for _, which := range []string{
			`reporter="destination",destination_workload_namespace="shop"`, // incoming
			`reporter="source",source_workload_namespace="front"`,          // outgoing
			`reporter="source",source_workload_namespace!="shop",source_workload!="unknown",destination_service_namespace="shop"`,
		} {
			got := rows(t, at, fmt.Sprintf(`sum(rate(%s{%s}[60s])) by (%s) > 0`, test.metric, which, strings.Join(test.labels, ",")))
			if len(got) != test.rows {
				t.Errorf("%s{%s}: %d rows, want %d: %v", test.metric, which, len(got), test.rows, got)
				continue
			}
			if test.rows == 2 && math.Abs(math.Max(got[0].Value, got[1].Value)/math.Min(got[0].Value, got[1].Value)-9) > 1e-6 {
				t.Errorf("%s{%s}: a tenth should have failed: %v", test.metric, which, got)
			}
			for name, want := range map[string]string{
				"source_workload": "web", "source_canonical_service": "web", "destination_workload": "orders", "destination_canonical_service": "orders",
				"destination_canonical_revision": "latest", "source_cluster": "Kubernetes",
			} {
				if got[0].Metric[name] != want {
					t.Errorf("%s{%s}: %s is %q, want %q", test.metric, which, name, got[0].Metric[name], want)
				}
			}
		}
	}
}

// istioDashboards asks what the panels of Istio's mesh, service and workload
// dashboards ask: by the Service's full name, by the workload, by who calls.
func istioDashboards(t *testing.T, at string) {
	const (
		service  = `destination_service=~"orders.shop.svc.cluster.local"`
		workload = `destination_workload=~"orders",destination_workload_namespace=~"shop"`
		callers  = `,source_workload=~"web",source_workload_namespace=~"front"`
		plain    = `,connection_security_policy!="mutual_tls"`
		ledger   = `destination_service=~"ledger.shop.svc.cluster.local"`
	)
	near := func(want float64) func(float64) bool { return func(v float64) bool { return math.Abs(v-want) < 1e-6 } }
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
	for _, side := range []string{"source", "destination"} {
		reporter := `reporter=~"` + side + `",`
		for _, test := range []struct {
			query string
			rows  int
			is    func(float64) bool
		}{
			// The whole mesh.
			{`round(sum(rate(istio_requests_total{` + reporter + `}[1m])), 0.01)`, 1, positive},
			{`label_join(sum(rate(istio_requests_total{` + reporter + `}[1m])) by (destination_workload, destination_workload_namespace, destination_service), "destination_workload_var", ".", "destination_workload", "destination_workload_namespace")`, 1, positive},
			{`sum(rate(istio_requests_total{` + reporter + `response_code=~"4.."}[1m])) or vector(0)`, 1, near(0)},
			// A Service.
			{`sum(rate(istio_requests_total{` + reporter + service + `,response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{` + reporter + service + `}[1m]))`, 1, near(0.9)},
			{`histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{` + reporter + service + `}[1m])) by (le))`, 1, positive},
			{`sum(rate(istio_requests_total{` + reporter + service + plain + callers + `}[1m])) by (source_workload, source_workload_namespace, response_code)`, 2, positive},
			{`histogram_quantile(0.95, sum(rate(istio_response_bytes_bucket{` + reporter + service + callers + `}[1m])) by (source_workload, source_workload_namespace, le))`, 1, positive},
			{`sum(rate(istio_tcp_received_bytes_total{` + reporter + ledger + `}[1m]))`, 1, positive},
			{`sum(rate(istio_tcp_sent_bytes_total{` + reporter + ledger + plain + callers + `}[1m])) by (source_workload, source_workload_namespace)`, 1, positive},
			// A workload, as it is called and as it calls.
			{`sum(rate(istio_requests_total{` + reporter + workload + `,response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{` + reporter + workload + `}[1m]))`, 1, near(0.9)},
			{`histogram_quantile(0.5, sum(rate(istio_request_bytes_bucket{` + reporter + workload + `}[1m])) by (source_workload, source_workload_namespace, le))`, 1, positive},
			{`sum(rate(istio_requests_total{` + reporter + `source_workload=~"web",source_workload_namespace=~"front",` + service + `}[1m])) by (destination_service, response_code)`, 2, positive},
			{`sum(rate(istio_tcp_connections_opened_total{` + reporter + `}[1m])) by (pod)`, 2, positive},
		} {
			got := rows(t, at, test.query)
			if len(got) != test.rows {
				t.Errorf("%s: %d rows, want %d", test.query, len(got), test.rows)
			}
			for _, row := range got {
				if !test.is(row.Value) {
					t.Errorf("%s: %v", test.query, row)
				}
			}
		}
	}
}
