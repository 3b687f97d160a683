package telemetry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// canary is a call of web to the canary of orders, both pods known.
func canary(protocol string) telemetry.Call {
	return telemetry.Call{
		Source:      telemetry.Workload{Namespace: "front", Kind: "Deployment", Name: "web", Account: "web", Pod: "web-1", Node: "a"},
		Destination: telemetry.Workload{Namespace: "shop", Kind: "Deployment", Name: "orders-v2", Account: "orders", Pod: "orders-v2-1", Node: "b"},
		Service:     "orders", Namespace: "shop", Backend: "orders-v2", Protocol: protocol,
	}
}

const (
	callText = `connection_security_policy="none",destination_backend="orders-v2",destination_principal="spiffe://cluster.local/ns/shop/sa/orders",` +
		`destination_service="orders.shop",destination_service_name="orders",destination_service_namespace="shop",destination_workload="orders-v2",destination_workload_namespace="shop",`
	sourceText = `source_principal="spiffe://cluster.local/ns/front/sa/web",source_workload="web",source_workload_namespace="front"`
)

func TestProxyMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	p := telemetry.NewProxy(registry, telemetry.ProxyConfig{})
	ok := telemetry.Outcome{Code: 200, Took: 3 * time.Millisecond, First: 2 * time.Millisecond, Received: 100, Sent: 65}
	p.Flow(canary("http")).Count(p.Lane(), &ok)
	another := canary("http")
	another.Source.Pod = "web-2"
	p.Flow(another).Count(p.Lane(), &ok)
	p.Flow(telemetry.Call{Service: "orders", Namespace: "shop", Protocol: "grpc"}).
		Count(p.Lane(), &telemetry.Outcome{Code: 999, GRPC: 15, Reason: "no-endpoints", Took: time.Second})
	c, s := p.Connection(canary("tcp")), p.Connection(canary("udp"))
	c.Sent(10)
	c.Received(3)
	s.Sent(1)
	s.Received(2)
	s.Close()
	p.NotOpened(canary("tcp"), "connect-failed")
	p.NotOpened(canary("udp"), "access-denied")
	p.Refused("no-endpoints")
	p.Listeners("TCP", 2)
	names := []string{
		"weft_listeners", "weft_refusals_total", "weft_requests_total", "weft_series", "weft_series_limit", "weft_tcp_connections_opened_total",
		"weft_tcp_connections_closed_total", "weft_tcp_received_bytes_total", "weft_tcp_sent_bytes_total", "weft_udp_datagrams_total", "weft_udp_sessions",
		"weft_tcp_connections_refused_total", "weft_udp_sessions_refused_total",
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(proxyMetrics()), names...); err != nil {
		t.Error(err)
	}
}

// proxyMetrics is what TestProxyMetrics expects.
func proxyMetrics() string {
	tcp := callText + `reporter="source",request_protocol="tcp",` + sourceText
	udp := callText + `%sreporter="source",request_protocol="udp",` + sourceText
	return `
# HELP weft_listeners Open listening addresses.
# TYPE weft_listeners gauge
weft_listeners{transport="TCP"} 2
# HELP weft_refusals_total Calls that Weft refused or that broke off, by reason.
# TYPE weft_refusals_total counter
weft_refusals_total{reason="no-endpoints"} 1
# HELP weft_requests_total HTTP requests by their answer; 499 where the client left first.
# TYPE weft_requests_total counter
weft_requests_total{` + callText + `grpc_response_status="",reporter="source",request_protocol="http",response_code="200",response_flags="-",` + sourceText + `} 2
weft_requests_total{connection_security_policy="none",destination_backend="unknown",destination_principal="unknown",destination_service="orders.shop",destination_service_name="orders",destination_service_namespace="shop",destination_workload="unknown",destination_workload_namespace="unknown",grpc_response_status="14",reporter="source",request_protocol="grpc",response_code="unknown",response_flags="no-endpoints",source_principal="unknown",source_workload="unknown",source_workload_namespace="unknown"} 1
# HELP weft_series Label sets of calls that are told apart.
# TYPE weft_series gauge
weft_series 5
# HELP weft_series_limit How many may be; what is over it is counted as other.
# TYPE weft_series_limit gauge
weft_series_limit 10000
# HELP weft_tcp_connections_opened_total Relayed TCP connections that reached an endpoint.
# TYPE weft_tcp_connections_opened_total counter
weft_tcp_connections_opened_total{` + tcp + `} 1
# HELP weft_tcp_connections_closed_total Relayed TCP connections that have ended.
# TYPE weft_tcp_connections_closed_total counter
weft_tcp_connections_closed_total{` + tcp + `} 0
# HELP weft_tcp_received_bytes_total Bytes relayed from clients to endpoints.
# TYPE weft_tcp_received_bytes_total counter
weft_tcp_received_bytes_total{` + tcp + `} 3
# HELP weft_tcp_sent_bytes_total Bytes relayed from endpoints to clients.
# TYPE weft_tcp_sent_bytes_total counter
weft_tcp_sent_bytes_total{` + tcp + `} 10
# HELP weft_tcp_connections_refused_total TCP connections that were refused or reached no endpoint.
# TYPE weft_tcp_connections_refused_total counter
weft_tcp_connections_refused_total{` + strings.Replace(tcp, sourceText, `response_flags="connect-failed",`+sourceText, 1) + `} 1
# HELP weft_udp_sessions_refused_total UDP sessions that were refused: one for each datagram that was dropped so.
# TYPE weft_udp_sessions_refused_total counter
weft_udp_sessions_refused_total{` + strings.Replace(strings.Replace(udp, "%s", "", 1), sourceText, `response_flags="access-denied",`+sourceText, 1) + `} 1
# HELP weft_udp_datagrams_total Relayed UDP datagrams.
# TYPE weft_udp_datagrams_total counter
weft_udp_datagrams_total{` + strings.Replace(udp, "%s", `direction="received",`, 1) + `} 2
weft_udp_datagrams_total{` + strings.Replace(udp, "%s", `direction="sent",`, 1) + `} 1
# HELP weft_udp_sessions Open UDP sessions: one per client address and port.
# TYPE weft_udp_sessions gauge
weft_udp_sessions{` + strings.Replace(udp, "%s", "", 1) + `} 0
`
}

// TestHistogramsAreExact compares the lines of each bucket with what was counted.
func TestHistogramsAreExact(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	p := telemetry.NewProxy(registry, telemetry.ProxyConfig{})
	f := p.Flow(canary("http"))
	for i, took := range []time.Duration{500 * time.Microsecond, 500*time.Microsecond + 1, 61 * time.Second} {
		f.Count(p.Lane(), &telemetry.Outcome{Code: 200, Took: took, First: took, Received: uint64(64 + i), Sent: 1 << (20 + 4*i)})
	}
	metrics, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"weft_request_duration_milliseconds":   "3 61001.000001: 0.5=1 1=2",
		"weft_request_first_byte_milliseconds": "3 61001.000001: 0.5=1 1=2",
		"weft_request_bytes":                   "3 195: 64=1 256=3",
		"weft_response_bytes":                  "3 2.86261248e+08: 1.048576e+06=1 1.6777216e+07=2",
	}
	for _, family := range metrics {
		if w, ok := want[family.GetName()]; ok {
			if got := text(family.Metric[0].GetHistogram()); got != w {
				t.Errorf("%s: %s; want %s", family.GetName(), got, w)
			}
			delete(want, family.GetName())
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestANilProxyCountsNothing(t *testing.T) {
	var p *telemetry.Proxy
	p.Flow(canary("http")).Count(p.Lane(), &telemetry.Outcome{})
	p.Refused("x")
	p.Listeners("TCP", 1)
	c := p.Connection(canary("tcp"))
	c.Sent(1)
	c.Received(1)
	c.Close()
	if rows := p.Traffic(time.Minute).Rows; rows == nil || len(rows) != 0 {
		t.Errorf("rows %v", rows)
	}
}

// TestTooManyDenialsAreOther: who is denied cannot make series without end.
func TestTooManyDenialsAreOther(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := telemetry.NewProxy(registry, telemetry.ProxyConfig{Series: 3})
	for round := range 2 {
		for i := range 10 {
			p.Denied(telemetry.Denial{Mode: "audit", Reason: "not-allowed", SourceWorkload: fmt.Sprint("web-", i), Service: "orders", Namespace: "shop"})
		}
		if n, err := testutil.GatherAndCount(registry, "weft_access_denied_total"); n != 4 || err != nil {
			t.Errorf("round %d: %d series, %v; want 3 and the one of the others", round, n, err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() == "weft_access_denied_total" {
			for _, m := range family.Metric {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	if sum != 20 {
		t.Errorf("%v of 20 are counted", sum)
	}
}
