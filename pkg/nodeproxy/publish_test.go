package nodeproxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/route"
)

// TestTableSwapsLoseNothing: endpoints come and go under load, and so do other
// ports, a Table every few requests.
func TestTableSwapsLoseNothing(t *testing.T) {
	each(t, []bool{false, true}, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var origins []string
		for range 4 {
			origins = append(origins, backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
		}
		at := w.service("orders", "http", origins...)
		w.publish()
		ctx, stop := context.WithCancel(t.Context())
		var done atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			c := client(t, http2)
			wg.Go(func() {
				for ctx.Err() == nil {
					if res, content := get(t, c, "http://"+at); res.StatusCode != 200 {
						t.Errorf("HTTP/2 %v: %d %q", http2, res.StatusCode, content)
						return
					}
					done.Add(1)
				}
			})
		}
		for i := range 100 {
			w.endpoints(mesh.TCP, "orders", origins[i%4], origins[(i+1+i%3)%4])
			if i%10 == 0 {
				w.service("other", "http", origins[0])
			}
			w.publish()
			before := done.Load()
			eventually(t, "requests go on", func() bool { return done.Load() > before || t.Failed() })
		}
		stop()
		wg.Wait()
	})
}

// TestACanaryIsExact: 90/10 over real requests, one by one and at once, and
// without a request lost or shifted while Tables are swapped.
func TestACanaryIsExact(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	var v1, v2 atomic.Int32
	count := func(n *atomic.Int32) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { n.Add(1) }
	}
	w.service("v1", "http", backend(t, count(&v1)), backend(t, count(&v1)))
	w.service("v2", "http", backend(t, count(&v2)))
	at := w.service("orders", "http")
	w.split("orders", map[string]int64{"v1": 90, "v2": 10})
	w.publish()
	var wg sync.WaitGroup
	for range 8 {
		c := client(t, false)
		wg.Go(func() {
			for i := range 50 {
				get(t, c, "http://"+at)
				if i%10 == 0 {
					w.proxy.Publish(route.Compile(mesh.Build(w.Inputs)))
				}
			}
		})
	}
	wg.Wait()
	if v1.Load() != 360 || v2.Load() != 40 {
		t.Errorf("400 requests were shared out as %d and %d; want 360 and 40", v1.Load(), v2.Load())
	}
	eventually(t, "the canary is seen in the metrics", func() bool {
		labels := map[string]string{
			"reporter": "source", "source_workload": "caller", "source_workload_namespace": "shop",
			"destination_service": "orders.shop", "destination_service_name": "orders", "destination_service_namespace": "shop",
			"request_protocol": "http", "response_code": "200", "destination_backend": "v2",
		}
		return w.count("weft_requests_total", labels) == 40
	})
}

func TestAffinityKeepsAClientOnOneEndpoint(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	var origins []string
	for i := range 5 {
		origins = append(origins, backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) }))
	}
	at := w.service("orders", "http", origins...)
	service := w.Services[shop("orders")]
	service.Affinity = true
	w.Services[shop("orders")] = service
	w.publish()
	_, first := get(t, client(t, false), "http://"+at)
	for range 50 {
		if _, next := get(t, client(t, false), "http://"+at); next != first {
			t.Fatalf("the client was at %s, now at %s", first, next)
		}
	}
}

// TestAnAddressInUse is a problem of its Service, and no other's. It is opened
// as soon as it is free.
func TestAnAddressInUse(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	origin := backend(t, func(http.ResponseWriter, *http.Request) {})
	taken, free := w.service("taken", "http", origin), w.service("free", "http", origin)
	holder, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy.Publish(route.Compile(mesh.Build(w.Inputs)))
	problems := w.proxy.Problems()
	want := mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "taken"}
	if len(problems) != 1 || problems[0].Object != want || problems[0].Reason != nodeproxy.ListenFailed {
		t.Errorf("problems %v", problems)
	}
	if res, _ := get(t, client(t, false), "http://"+free); res.StatusCode != 200 {
		t.Errorf("the other Service answers %d", res.StatusCode)
	}
	_ = holder.Close()
	eventually(t, "the address is opened", func() bool { return len(w.proxy.Problems()) == 0 })
	if res, _ := get(t, client(t, false), "http://"+taken); res.StatusCode != 200 {
		t.Errorf("the Service answers %d", res.StatusCode)
	}
	if n := w.count("weft_listeners", map[string]string{"transport": "TCP"}); n != 2 {
		t.Errorf("%v listeners are counted", n)
	}
}

// TestTwoServicesOnOneAddress: one has it, the other is told.
func TestTwoServicesOnOneAddress(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("a", "http", backend(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") }))
	w.service("b", "http", closedPort(t))
	w.Frontends[shop("b")] = w.Frontends[shop("a")]
	w.proxy.Publish(route.Compile(mesh.Build(w.Inputs)))
	if problems := w.proxy.Problems(); len(problems) != 1 || problems[0].Object.Name != "b" {
		t.Errorf("problems %v", problems)
	}
	if _, got := get(t, client(t, false), "http://"+at); got != "a" {
		t.Errorf("got %q", got)
	}
}

func TestIdleConnectionsOfGoneEndpointsAreClosed(t *testing.T) {
	each(t, []bool{false, true}, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var open atomic.Int32
		origin := tracked(t, &open)
		at := w.service("orders", "http", origin)
		w.publish()
		get(t, client(t, http2), "http://"+at)
		if open.Load() != 1 {
			t.Fatalf("HTTP/2 %v: %d connections are open", http2, open.Load())
		}
		w.endpoints(mesh.TCP, "orders")
		w.publish()
		eventually(t, "the idle connection is closed", func() bool { return open.Load() == 0 })
	})
}

// tracked is a backend that counts its open connections.
func tracked(t *testing.T, open *atomic.Int32) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	both := protocols(true)
	both.SetHTTP1(true)
	server := &http.Server{Protocols: both, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(&countingListener{l, open})
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return l.Addr().String()
}

type countingListener struct {
	net.Listener
	open *atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.open.Add(1)
		c = &countedConn{Conn: c, open: l.open}
	}
	return c, err
}

type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
