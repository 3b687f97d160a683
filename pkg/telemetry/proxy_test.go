package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

var canary = telemetry.Call{SourceWorkload: "web", SourceNamespace: "front", Service: "orders", Namespace: "shop", Backend: "orders-v2"}

func TestProxyMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := telemetry.NewProxy(registry)
	p.Request(canary, "http", 200, 3*time.Millisecond)
	p.Request(telemetry.Call{Service: "orders", Namespace: "shop"}, "grpc", 999, time.Second)
	c := p.Connection(canary)
	c.Sent(10)
	c.Received(3)
	s := p.Session(canary)
	s.Sent()
	s.Received()
	s.Close()
	p.Refused("no-endpoints")
	p.Listeners("TCP", 2)
	const call = `destination_backend="orders-v2",destination_service="orders.shop",destination_service_name="orders",destination_service_namespace="shop"`
	const source = `reporter="source",source_workload="web",source_workload_namespace="front"`
	want := `
# HELP weft_listeners Open listening addresses.
# TYPE weft_listeners gauge
weft_listeners{transport="TCP"} 2
# HELP weft_refusals_total Calls that Weft refused or that broke off, by reason.
# TYPE weft_refusals_total counter
weft_refusals_total{reason="no-endpoints"} 1
# HELP weft_requests_total HTTP requests by their answer; 499 where the client left first.
# TYPE weft_requests_total counter
weft_requests_total{` + call + `,` + `reporter="source",request_protocol="http",response_code="200",source_workload="web",source_workload_namespace="front"} 1
weft_requests_total{destination_backend="unknown",destination_service="orders.shop",destination_service_name="orders",destination_service_namespace="shop",reporter="source",request_protocol="grpc",response_code="unknown",source_workload="unknown",source_workload_namespace="unknown"} 1
# HELP weft_tcp_connections_open Relayed TCP connections that are open.
# TYPE weft_tcp_connections_open gauge
weft_tcp_connections_open{` + call + `,` + source + `} 1
# HELP weft_tcp_received_bytes_total Bytes relayed from clients to endpoints.
# TYPE weft_tcp_received_bytes_total counter
weft_tcp_received_bytes_total{` + call + `,` + source + `} 3
# HELP weft_tcp_sent_bytes_total Bytes relayed from endpoints to clients.
# TYPE weft_tcp_sent_bytes_total counter
weft_tcp_sent_bytes_total{` + call + `,` + source + `} 10
# HELP weft_udp_sessions Open UDP sessions: one per client address and port.
# TYPE weft_udp_sessions gauge
weft_udp_sessions{` + call + `,` + source + `} 0
`
	names := []string{"weft_listeners", "weft_refusals_total", "weft_requests_total", "weft_tcp_connections_open", "weft_tcp_received_bytes_total", "weft_tcp_sent_bytes_total", "weft_udp_sessions"}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "weft_request_duration_milliseconds"); err != nil || n != 2 {
		t.Errorf("%d histograms, %v; want 2", n, err)
	}
}

func TestANilProxyCountsNothing(t *testing.T) {
	var p *telemetry.Proxy
	p.Request(canary, "http", 200, 0)
	p.Refused("x")
	p.Listeners("TCP", 1)
	c, s := p.Connection(canary), p.Session(canary)
	c.Sent(1)
	c.Received(1)
	c.Close()
	s.Sent()
	s.Received()
	s.Close()
}
