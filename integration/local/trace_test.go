package local

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/weft-mesh/weft/integration/testenv"
)

// The trace that the test's client is in, its span, and the span of the service
// that it calls.
const (
	traceID    = "0af7651916cd43dd8448eb211c80319c"
	clientSpan = "b7ad6b7169203331"
	ordersSpan = "00f067aa0ba902b7"
)

// ways are how a caller may say where it stands in a trace, as fields of a
// request that is made in a span.
func ways(span string) map[string]http.Header {
	return map[string]http.Header{
		"traceparent": {"Traceparent": {"00-" + traceID + "-" + span + "-01"}, "Tracestate": {"vendor=1"}},
		"b3":          {"B3": {traceID + "-" + span + "-1"}},
		"x-b3":        {"X-B3-Traceid": {traceID}, "X-B3-Spanid": {span}, "X-B3-Sampled": {"1"}},
	}
}

// TestOneTraceAcrossTwoServices: a client calls orders, and orders, which goes on
// with the trace as a service does, calls stock. What the proxy saw of both calls
// is one trace, each span below that of whoever made the call.
func TestOneTraceAcrossTwoServices(t *testing.T) {
	got := make(chan *v1.TracesData, 16)
	for name, collector := range testenv.StartCollectors(t, got) {
		t.Run(name, func(t *testing.T) {
			c := newChain(t, collector)
			for way := range ways("") {
				for _, protocol := range []string{"http", "http2"} {
					t.Run(way+" by "+protocol, func(t *testing.T) {
						if status, body := c.call("orders", protocol, ways(clientSpan)[way]); status != http.StatusOK || body != "orders, stock" {
							t.Fatalf("%d %q", status, body)
						}
						oneTrace(t, got)
					})
				}
			}
		})
	}
}

// oneTrace waits for the spans of both calls and checks where they stand.
func oneTrace(t *testing.T, got <-chan *v1.TracesData) {
	t.Helper()
	var spans []*v1.Span
	for len(spans) < 4 {
		select {
		case message := <-got:
			spans = append(spans, message.ResourceSpans[0].ScopeSpans[0].Spans...)
		case <-time.After(patience):
			t.Fatalf("only %d spans came: %v", len(spans), spans)
		}
	}
	parents, tries := map[string]string{}, map[string]int{}
	for _, s := range spans {
		if id := hex.EncodeToString(s.TraceId); id != traceID {
			t.Errorf("a span of trace %s: %v", id, s)
		}
		parent := hex.EncodeToString(s.ParentSpanId)
		if s.Kind == v1.Span_SPAN_KIND_SERVER {
			parents[attribute(s, "weft.service")] = parent
			tries[hex.EncodeToString(s.SpanId)]++
		} else {
			tries[parent]--
		}
	}
	want := map[string]string{"orders.shop": clientSpan, "stock.shop": ordersSpan}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Errorf("whose span the proxy's are below, by the service that was called (- want, + got)\n%s", diff)
	}
	for id, n := range tries {
		if n != 0 {
			t.Errorf("span %s: not one try below one request: %v", id, spans)
		}
	}
}

func attribute(s *v1.Span, name string) string {
	for _, a := range s.Attributes {
		if a.Key == name {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// chain is a mesh of two services, of which the first calls the second.
type chain struct {
	*process
	clients map[string]*http.Client // by protocol
}

// numbers are the ports of both services.
func (c *chain) numbers() map[string]int32 { return map[string]int32{"http": 80, "http2": 81} }

func newChain(t *testing.T, collector string) *chain {
	t.Helper()
	c := &chain{clients: map[string]*http.Client{}}
	orders, stock := serveHTTP(t, c.orders), serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "stock") })
	files := map[string]string{}
	for name, at := range map[string]netip.AddrPort{"orders": orders, "stock": stock} {
		var ports []port
		for protocol, number := range c.numbers() {
			ports = append(ports, port{name: protocol, number: number, at: []netip.AddrPort{at}})
		}
		files[name+".yaml"] = service(t, name, ports...)
	}
	// What no caller has decided is not recorded: all spans are of traces.
	c.process = start(t, files, "--tracing.endpoint="+collector, "--tracing.sample=0")
	for protocol := range c.numbers() {
		transport := c.transport()
		transport.Protocols = protocols(protocol)
		c.clients[protocol] = &http.Client{Transport: transport}
	}
	return c
}

// orders goes on with the trace of a request, in a span of its own, to stock.
func (c *chain) orders(w http.ResponseWriter, r *http.Request) {
	protocol := map[int]string{1: "http", 2: "http2"}[r.ProtoMajor]
	for way, fields := range ways(clientSpan) {
		came := true
		for name, values := range fields {
			came = came && slices.Equal(r.Header[name], values)
		}
		if came {
			_, body := c.call("stock", protocol, ways(ordersSpan)[way])
			_, _ = io.WriteString(w, "orders, "+body)
			return
		}
	}
	http.Error(w, fmt.Sprintf("the fields of the trace did not pass: %v", r.Header), http.StatusBadRequest)
}

// call asks a service.
func (c *chain) call(service, protocol string, fields http.Header) (status int, body string) {
	request := newRequest(c.t, fmt.Sprintf("http://%s.shop.mesh:%d/", service, c.numbers()[protocol]+offset))
	request.Header = fields
	response, err := c.clients[protocol].Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// protocols are HTTP/1.1, or HTTP/2 without TLS.
func protocols(protocol string) *http.Protocols {
	out := new(http.Protocols)
	out.SetHTTP1(protocol == "http")
	out.SetUnencryptedHTTP2(protocol == "http2")
	return out
}
