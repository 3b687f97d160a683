package nodeproxy_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

func TestHTTP(t *testing.T) {
	for _, protocol := range []string{"http", "http2", ""} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("port %q, client HTTP/2 %v", protocol, http2), func(t *testing.T) {
				w := newWorld(t, nodeproxy.Config{})
				at := w.service("orders", protocol, backend(t, func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, r.Header.Get("X-Forwarded-For"))
				}))
				w.publish()
				version := "HTTP/1.1"
				if http2 || protocol == "http2" {
					version = "HTTP/2.0"
				}
				want := version + " " + at + " 127.0.0.1"
				if res, got := get(t, client(t, http2), "http://"+at+"/"); res.StatusCode != 200 || got != want {
					t.Errorf("got %d %q; want 200 %q", res.StatusCode, got, want)
				}
			})
		}
	}
}
