package nodeproxy_test

import (
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
