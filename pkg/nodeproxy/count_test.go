package nodeproxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// TestWhoServedAndHowMuch: a request is counted with who served it, how long
// that took and how many bytes went each way, whatever the protocol.
func TestWhoServedAndHowMuch(t *testing.T) {
	const up, down = 100_000, 300_000
	each(t, []string{"http", "http2"}, func(t *testing.T, protocol string) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "", backend(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, strings.Repeat("x", down))
		}))
		w.Pods[shop("orders-1")] = mesh.PodInput{
			IPs: []netip.Addr{netip.MustParseAddr("127.0.0.9")}, ServiceAccount: "orders", OwnerKind: "StatefulSet", OwnerName: "orders",
		}
		w.Slices[shop("orders0")].Endpoints[0].Pod = "orders-1"
		w.publish()
		response, err := client(t, protocol == "http2").Post("http://"+at, "text/plain", strings.NewReader(strings.Repeat("y", up)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		labels := map[string]string{
			"source_workload": "caller", "destination_workload": "orders", "destination_workload_namespace": "shop",
			"destination_principal": "spiffe://cluster.local/ns/shop/sa/orders", "request_protocol": protocol,
			"response_code": "202", "response_flags": "-", "grpc_response_status": "",
		}
		eventually(t, "the request is counted", func() bool { return w.count("weft_requests_total", labels) == 1 })
		if n := w.sum("weft_request_bytes", labels); n != up {
			t.Errorf("%v bytes of the request; want %d", n, up)
		}
		// The answer has no length, so that in HTTP/1.1 the framing of its chunks is counted too.
		if n := w.sum("weft_response_bytes", labels); n < down || n > down+down/100 {
			t.Errorf("%v bytes of the answer; want %d", n, down)
		}
		first, took := w.sum("weft_request_first_byte_milliseconds", labels), w.sum("weft_request_duration_milliseconds", labels)
		if first <= 0 || took < first {
			t.Errorf("%v ms to the first byte, %v in all", first, took)
		}
	})
}

// sum is what a histogram's observations add up to.
func (w *world) sum(name string, labels map[string]string) (sum float64) {
	w.Helper()
	for _, m := range w.with(name, labels) {
		sum += m.GetHistogram().GetSampleSum()
	}
	return sum
}

// events keeps what it is told.
type events struct {
	mu  sync.Mutex // guards all
	all []telemetry.Event
}

func (e *events) Wants(access string) bool { return access != "off" }

func (e *events) Take(event *telemetry.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, *event)
}

func (e *events) last(n int) (out telemetry.Event, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) != n {
		return out, false
	}
	return e.all[n-1], true
}

// TestEventsSayWhatWasAsked: what an access log and a trace need is kept of each
// request, of one that is refused too, and only where somebody wants it.
func TestEventsSayWhatWasAsked(t *testing.T) {
	each(t, []string{"http", "http2"}, func(t *testing.T, protocol string) {
		seen := &events{}
		w := newWorld(t, nodeproxy.Config{Events: telemetry.NewEvents(seen)})
		origin := backend(t, func(http.ResponseWriter, *http.Request) {})
		at, empty := w.service("orders", "", origin), w.service("empty", "")
		w.publish()
		c := client(t, protocol == "http2")
		ask := func(to string) {
			request, err := http.NewRequest(http.MethodDelete, "http://"+to+"/a%20b?secret=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("User-Agent", "test")
			request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			response, err := c.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
		for i, test := range []struct{ to, reason string }{{at, ""}, {empty, "no-endpoints"}} {
			ask(test.to)
			var e telemetry.Event
			eventually(t, "an event", func() (ok bool) { e, ok = seen.last(i + 1); return ok })
			if e.Method != "DELETE" || e.Path != "/a%20b" || e.Host != test.to || e.UserAgent != "test" || e.Trace().TraceID[0] != 0x0a ||
				e.Protocol != protocol || e.Reason != test.reason || e.Source.Name != "caller" || e.Port != 80 || e.Client.String() != "127.0.0.1" {
				t.Errorf("%+v of %+v", e, e.Note)
			}
			if test.reason == "" && (len(e.Tries) != 1 || e.Tries[0].Endpoint.String() != origin || time.Since(e.Tries[0].Began).Abs() > time.Minute) {
				t.Errorf("tries %v", e.Tries)
			}
		}
		service := w.Services[shop("orders")]
		service.Policies.All = &mesh.PolicyInput{Policy: mesh.Policy{AccessLog: "off"}, Set: []int{slices.Index(policyFields(), "AccessLog")}}
		w.Services[shop("orders")] = service
		w.publish()
		ask(at)
		eventually(t, "the request is counted", func() bool { return w.count("weft_requests_total", nil) == 3 })
		if _, ok := seen.last(2); !ok {
			t.Error("an event that nobody wants")
		}
	})
}

// TestBadHeadsAreTold: a request whose head is refused is told and counted by
// the Service that it came for, once, with what its request line says where that
// is in order.
func TestBadHeadsAreTold(t *testing.T) {
	each(t, []string{"http", "http2"}, func(t *testing.T, protocol string) {
		seen := &events{}
		w := newWorld(t, nodeproxy.Config{Events: telemetry.NewEvents(seen)})
		at := w.service("orders", protocol, backend(t, func(http.ResponseWriter, *http.Request) {}))
		w.publish()
		for _, nothing := range []string{"", "GET / HT"} {
			c := dial(t, at)
			_, _ = io.WriteString(c, nothing)
			_ = c.Close()
		}
		heads := []struct{ head, says string }{
			{"GET /host?secret=1 HTTP/1.1\r\nHost: a b\r\n\r\n", "400 bad-request GET /host"},
			{"GET /none HTTP/1.1\r\nAccept: */*\r\n\r\n", "400 bad-request GET /none"},
			{"GET http://a:b:c/ HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad-request GET "},
			{"POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400 bad-request POST /length"},
			{"GET /large HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 70<<10), "431 bad-request GET /large"},
			{"GET /" + strings.Repeat("x", 70<<10), "414 bad-request  "},
			{"TRACE /trace HTTP/1.1\r\nHost: h\r\n\r\n", "405 method-refused TRACE /trace"},
			{"CONNECT u:p@h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "405 method-refused CONNECT "},
			{"GET /a\x7fb HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad-request  "},
			{"what is this\r\n\r\nand this\r\n\r\n", "400 bad-request  "},
		}
		for i, test := range heads {
			c := dial(t, at)
			_, _ = io.WriteString(c, test.head)
			_ = c.CloseWrite()
			answer, _ := io.ReadAll(c)
			var e telemetry.Event
			eventually(t, "an event", func() (ok bool) { e, ok = seen.last(i + 1); return ok })
			says := fmt.Sprint(e.Code, " ", e.Reason, " ", e.Method, " ", e.Path)
			if says != test.says || e.Service != "orders" || e.Port != 80 || e.Source.Name != "caller" || e.Protocol != "http" {
				t.Errorf("%.60q: %s, %+v", test.head, says, e)
			}
			if len(test.head) < 1<<10 && !strings.Contains(string(answer), "weft: orders.shop: ") {
				t.Errorf("%.60q: the answer is %q", test.head, answer)
			}
		}
		counted, refused := w.count("weft_requests_total", map[string]string{"destination_service": "orders.shop"}), w.count("weft_refusals_total", nil)
		if counted != float64(len(heads)) || refused != counted {
			t.Errorf("%v requests and %v refusals are counted; want %d", counted, refused, len(heads))
		}
	})
}

// TestTheFirstByteIsNeverAfterTheLast: both are told by one clock.
func TestTheFirstByteIsNeverAfterTheLast(t *testing.T) {
	each(t, []string{"http", "http2"}, func(t *testing.T, protocol string) {
		const requests = 300
		seen := &events{}
		w := newWorld(t, nodeproxy.Config{Events: telemetry.NewEvents(seen)})
		at := w.service("orders", "", backend(t, func(http.ResponseWriter, *http.Request) {}))
		w.publish()
		c := client(t, protocol == "http2")
		for range requests {
			response, err := c.Get("http://" + at)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
		eventually(t, "an event of each", func() bool { _, ok := seen.last(requests); return ok })
		for _, e := range seen.all {
			if e.First <= 0 || e.First > e.Took {
				t.Fatalf("the first byte after %v, the last after %v", e.First, e.Took)
			}
		}
	})
}

// policyFields are the fields of a Policy, in their order.
func policyFields() (names []string) {
	for f := range reflect.TypeFor[mesh.Policy]().NumField() {
		names = append(names, reflect.TypeFor[mesh.Policy]().Field(f).Name)
	}
	return names
}
