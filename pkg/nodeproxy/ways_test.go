package nodeproxy_test

import (
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// The fields that no endpoint gets of a client, and no client of an endpoint,
// are the same whatever both speak (docs/http.md).
func TestEveryWayDropsTheSameFields(t *testing.T) {
	kept := []string{"X-A", "My_header", "Cookie", "X-Forwarded-Proto", "Via", "L5d", "Weft", "Authorization"}
	identity := []string{"Forwarded", "X-Real-Ip", "X-Forwarded-Client-Cert", "L5d-Client-Id", "X-Envoy-Peer", "Proxy"}
	never := []string{
		"Weft-Source", "Weft-Reason", "Proxy-Authorization", "Proxy-Authenticate", "Http2-Settings",
		"X_forwarded_for", "X-Forwarded_for", "Weft_reason", "Content_length", "Transfer_encoding", "X_real_ip",
	}
	offered := slices.Concat(kept, identity, never)
	each(t, ways, func(t *testing.T, way way) {
		w := newWorld(t, nodeproxy.Config{})
		var got http.Header
		at := w.service("orders", way.port, backend(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header
			for _, name := range offered {
				w.Header()[name] = []string{"1"}
			}
		}))
		w.publish()
		r, _ := http.NewRequest(http.MethodGet, "http://"+at, nil)
		for _, name := range offered {
			r.Header[name] = []string{"1"}
		}
		res, err := client(t, way.http2).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		for _, name := range offered {
			key := http.CanonicalHeaderKey(name)
			if _, has := got[key]; has != slices.Contains(kept, name) {
				t.Errorf("the endpoint gets %s: %v", name, has)
			}
			if _, has := res.Header[key]; has == slices.Contains(never, name) {
				t.Errorf("the client gets %s: %v", name, has)
			}
		}
	})
}
