package nodeproxy_test

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// A connection to an endpoint that no request uses is closed after the time that
// a policy says, long before the proxy would do so by itself.
func TestUnusedConnectionsToEndpointsEnd(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := freePort(t)
		var open atomic.Int64
		both := protocols(true)
		both.SetHTTP1(true)
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Protocols: both, Handler: http.NotFoundHandler(), ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}}
		serveOn(t, l, server)
		orders := w.service("orders", "http", at)
		w.annotate("orders", "idle-timeout", "200ms")
		w.publish()
		began := time.Now()
		_, _ = get(t, client(t, http2), "http://"+orders)
		eventually(t, "the connection ends", func() bool { return open.Load() == 0 })
		if took := time.Since(began); took < 200*time.Millisecond {
			t.Errorf("it ended after %v", took)
		}
	})
}
