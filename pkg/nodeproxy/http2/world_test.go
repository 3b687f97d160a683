package http2_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
	"go.uber.org/goleak"
)

// world is an engine behind one listener, which leads to the Service orders.
type world struct {
	*testing.T
	engine   *http2.Engine
	at       string       // where the engine listens
	http1    bool         // clients speak HTTP/1
	sndbuf   atomic.Int32 // of clients' connections; 0 leaves it to the kernel
	protocol string       // of the port
	key      upstream.Key
	set      upstream.Set
	snapshot atomic.Pointer[upstream.Snapshot]
	open     sync.WaitGroup // connections of clients
	conns    atomic.Int64
	registry *prometheus.Registry
}

func newWorld(t *testing.T, config http2.Config, endpoints ...string) *world {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, protocol: "h2c", http1: strings.HasPrefix(t.Name(), "TestBridge"), at: l.Addr().String(), registry: prometheus.NewRegistry(), key: upstream.Key{Listen: netip.MustParseAddrPort(l.Addr().String())}}
	w.serve(endpoints...)
	config.Current = w.snapshot.Load
	config.Metrics = telemetry.NewProxy(w.registry, telemetry.ProxyConfig{})
	w.engine = http2.New(config)
	var accepting sync.WaitGroup
	accepting.Go(func() { w.accept(l) })
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		w.engine.Close()
		w.open.Wait()
	})
	return w
}

func (w *world) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if n := w.sndbuf.Load(); n > 0 {
			_ = c.(*net.TCPConn).SetWriteBuffer(int(n))
		}
		w.open.Add(1)
		w.conns.Add(1)
		ended := func() { w.conns.Add(-1); w.open.Done() }
		w.engine.Serve(http2.Conn{Socket: c.(*net.TCPConn), HTTP1: w.http1, At: w.key, Client: netip.MustParseAddr("127.0.0.1"), Ended: ended})
	}
}

// serve replaces the endpoints of the Service.
func (w *world) serve(endpoints ...string) {
	in, name := mesh.NewInputs(), mesh.Name{Namespace: "shop", Name: "orders"}
	ref := mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "orders"}
	in.Services[name] = mesh.ServiceInput{Ref: ref, Ports: []mesh.ServicePort{{Number: 80, AppProtocol: w.protocol}}}
	in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Listen: w.key.Listen}}}
	for i, e := range endpoints {
		address := netip.MustParseAddrPort(e)
		in.Slices[mesh.Name{Namespace: "shop", Name: fmt.Sprint(i)}] = mesh.SliceInput{
			Service: name, Ports: []mesh.SlicePort{{Number: address.Port()}},
			Endpoints: []mesh.SliceEndpoint{{Address: address.Addr(), Ready: true, Serving: true}},
		}
	}
	snapshot, gone := w.set.Bind(route.Compile(mesh.Build(in)))
	w.snapshot.Store(snapshot)
	if w.engine != nil {
		w.engine.Forget(gone)
	}
}

// refused is how many calls are counted as refused, or broken off, for a reason.
func (w *world) refused(reason string) (n float64) {
	families, err := w.registry.Gather()
	if err != nil {
		w.Error(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "weft_refusals_total" && m.GetLabel()[0].GetValue() == reason {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// backend serves HTTP/2 with prior knowledge and returns where.
func backend(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: &http.Protocols{}}
	server.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// client returns a client that speaks HTTP/2 over its own connections.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{Protocols: &http.Protocols{}, DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// body reads a response to its end.
func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}
