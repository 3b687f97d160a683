package nodeproxy_test

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
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
