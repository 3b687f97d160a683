package tracing_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/telemetry"
	"github.com/weft-mesh/weft/pkg/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

// event is a request of the caller's trace that was tried twice.
func event(traceParent string) *telemetry.Event {
	began := time.Now().Add(-time.Second)
	return &telemetry.Event{
		Note:    &telemetry.Note{Began: began, Method: "GET", Path: "/a", Host: "orders.shop.mesh", UserAgent: "curl\xff", TraceParent: traceParent},
		Call:    telemetry.Call{Service: "orders", Namespace: "shop", Destination: telemetry.Workload{Namespace: "shop", Name: "orders"}},
		Outcome: telemetry.Outcome{Code: 503, Took: time.Second, Reason: "upstream-reset"}, Client: netip.MustParseAddr("10.0.0.1"),
		Tries: []telemetry.Attempt{
			{Endpoint: netip.MustParseAddrPort("10.0.0.8:80"), Began: began.Add(time.Millisecond)}, {Endpoint: netip.MustParseAddrPort("10.0.0.9:80"), Began: began.Add(2 * time.Millisecond)},
		},
	}
}

func TestSpansReachTheCollector(t *testing.T) {
	got := make(chan *v1.TracesData, 1)
	for name, endpoint := range testenv.StartCollectors(t, got) {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			tracer, err := tracing.New(registry, tracing.Config{Endpoint: endpoint, Node: "a"})
			if err != nil {
				t.Fatal(err)
			}
			tracer.Take(event("00-" + trace + "-" + span + "-00")) // the caller decided against it
			tracer.Take(event(""))                                 // nobody decided, and the share is 0
			tracer.Take(event("00-" + trace + "-" + span + "-01"))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := tracer.Run(ctx); err != nil { // what waits is sent at the end
				t.Fatal(err)
			}
			if n, err := testutil.GatherAndCount(registry, "weft_spans_dropped_total"); err != nil || n != 1 {
				t.Error(n, err)
			}
			select {
			case message := <-got:
				check(t, message)
			default:
				t.Fatal("nothing came")
			}
		})
	}
}

func check(t *testing.T, message *v1.TracesData) {
	t.Helper()
	spans := message.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	server := spans[0]
	if hex.EncodeToString(server.TraceId) != trace || hex.EncodeToString(server.ParentSpanId) != span || server.Kind != v1.Span_SPAN_KIND_SERVER {
		t.Errorf("not in the caller's trace: %v", server)
	}
	for i, client := range spans[1:] {
		if !slices.Equal(client.ParentSpanId, server.SpanId) || !slices.Equal(client.TraceId, server.TraceId) || client.Kind != v1.Span_SPAN_KIND_CLIENT {
			t.Errorf("not a child of the server's span: %v", client)
		}
		if text := fmt.Sprint(client.Attributes); !strings.Contains(text, fmt.Sprintf("10.0.0.%d", 8+i)) || strings.Contains(text, "resend_count") != (i == 1) {
			t.Errorf("try %d: %s", i, text)
		}
		if client.Status.GetCode() != v1.Status_STATUS_CODE_ERROR || client.EndTimeUnixNano < client.StartTimeUnixNano {
			t.Errorf("try %d: %v", i, client)
		}
	}
	if spans[1].EndTimeUnixNano != spans[2].StartTimeUnixNano || spans[2].EndTimeUnixNano != server.EndTimeUnixNano {
		t.Error("the tries do not follow each other")
	}
	text := fmt.Sprint(server.Attributes, message.ResourceSpans[0].Resource)
	for _, want := range []string{"http.request.method", "url.path", "server.address", "http.response.status_code", "client.address", "user_agent.original", "weft.reason", "service.name"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

func TestACollectorThatIsNotThereCostsSpansOnly(t *testing.T) {
	registry := prometheus.NewRegistry()
	gone := httptest.NewServer(nil)
	gone.Close()
	tracer, err := tracing.New(registry, tracing.Config{Endpoint: gone.URL, Sample: 100})
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 { // more than the queue holds
		tracer.Take(event(""))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracer.Run(ctx); err != nil {
		t.Fatal(err)
	}
	want := "# HELP weft_spans_dropped_total Requests whose spans did not reach the collector.\n# TYPE weft_spans_dropped_total counter\nweft_spans_dropped_total 5000\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestEndpointsThatAreNone(t *testing.T) {
	for _, endpoint := range []string{"collector:4317", "ftp://collector", "grpc://", "://"} {
		if _, err := tracing.New(prometheus.NewRegistry(), tracing.Config{Endpoint: endpoint}); err == nil {
			t.Errorf("%q is taken", endpoint)
		}
	}
}
