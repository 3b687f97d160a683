package nodeproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/internal/tcppair"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
	"go.uber.org/goleak"
)

// world is a proxy with the objects it serves. Everybody calls from 127.0.0.1,
// which is the pod of the Deployment caller.
type world struct {
	*testing.T
	*mesh.Inputs
	proxy   *nodeproxy.Proxy
	metrics *prometheus.Registry
	drained bool
}

func newWorld(t *testing.T, config nodeproxy.Config) *world {
	t.Helper()
	before := goleak.IgnoreCurrent()
	w := &world{T: t, Inputs: mesh.NewInputs(), metrics: prometheus.NewRegistry()}
	config.Metrics = telemetry.NewProxy(w.metrics, telemetry.ProxyConfig{})
	w.proxy = nodeproxy.New(config)
	if err := telemetry.RegisterPolicies(w.metrics, w.proxy.Policies); err != nil {
		t.Fatal(err)
	}
	w.Pods[shop("caller-1")] = mesh.PodInput{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, OwnerKind: "Deployment", OwnerName: "caller"}
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	t.Cleanup(func() {
		if !w.drained {
			w.drain(0)
		}
	})
	return w
}

// drain ends the proxy; connections may go on for so long.
func (w *world) drain(grace time.Duration) {
	w.drained = true
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := w.proxy.Drain(ctx); err != nil && grace > 0 {
		w.Errorf("drain: %v", err)
	}
}

// each runs a test for several values, each in a world that ends before the next.
func each[T any](t *testing.T, values []T, test func(t *testing.T, v T)) {
	for _, v := range values {
		t.Run(fmt.Sprintf("%T %v", v, v), func(t *testing.T) { test(t, v) })
	}
}

func shop(name string) mesh.Name { return mesh.Name{Namespace: "shop", Name: name} }

// service adds a Service with port 80, served at these addresses, and returns
// where the proxy listens for it.
func (w *world) service(name, protocol string, endpoints ...string) string {
	w.Helper()
	return w.transport(mesh.TCP, name, protocol, endpoints...)
}

func (w *world) transport(transport mesh.Transport, name, protocol string, endpoints ...string) string {
	w.Helper()
	ref := mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: name}
	w.Services[shop(name)] = mesh.ServiceInput{Ref: ref, Ports: []mesh.ServicePort{{Number: 80, AppProtocol: protocol, Transport: transport}}}
	w.endpoints(transport, name, endpoints...)
	listen := freePort(w.T)
	w.Frontends[shop(name)] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Transport: transport, Listen: netip.MustParseAddrPort(listen)}}}
	return listen
}

// endpoints replaces what serves a Service.
func (w *world) endpoints(transport mesh.Transport, name string, addresses ...string) {
	for slice, s := range w.Slices {
		if s.Service == shop(name) {
			delete(w.Slices, slice)
		}
	}
	for i, a := range addresses {
		address := netip.MustParseAddrPort(a)
		w.Slices[shop(fmt.Sprint(name, i))] = mesh.SliceInput{
			Service:   shop(name),
			Ports:     []mesh.SlicePort{{Number: address.Port(), Transport: transport}},
			Endpoints: []mesh.SliceEndpoint{{Address: address.Addr(), Ready: true, Serving: true}},
		}
	}
}

// split shares the calls of a Service out.
func (w *world) split(root string, weights map[string]int64) {
	split := mesh.SplitInput{Ref: mesh.Ref{Kind: "TrafficSplit", Namespace: "shop", Name: root}, Root: root}
	for service, weight := range weights {
		split.Backends = append(split.Backends, mesh.SplitBackend{Service: service, Weight: weight * 1000})
	}
	w.Splits[shop(root)] = split
}

// publish shows the proxy what the world is now. Every port must be open.
func (w *world) publish() *world {
	w.Helper()
	w.proxy.Publish(route.Compile(mesh.Build(w.Inputs)))
	if problems := w.proxy.Problems(); len(problems) > 0 {
		w.Fatalf("problems: %v", problems)
	}
	return w
}

// count sums a metric's series whose labels include these.
func (w *world) count(name string, labels map[string]string) (sum float64) {
	w.Helper()
	for _, m := range w.with(name, labels) {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sum
}

// with returns a metric's series whose labels include these.
func (w *world) with(name string, labels map[string]string) (out []*dto.Metric) {
	w.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			has := map[string]string{}
			for _, l := range m.Label {
				has[l.GetName()] = l.GetValue()
			}
			matches := family.GetName() == name
			for k, v := range labels {
				matches = matches && has[k] == v
			}
			if matches {
				out = append(out, m)
			}
		}
	}
	return out
}

func freePort(t *testing.T) string {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return at.String()
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// protocols is HTTP/2 with prior knowledge, or HTTP/1.
func protocols(http2 bool) *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	return p
}

// backend serves HTTP on 127.0.0.1, both versions, and returns where.
func backend(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	both := protocols(true)
	both.SetHTTP1(true)
	server := &http.Server{Handler: handler, Protocols: both}
	return serveOn(t, l, server)
}

// client is an HTTP client of one version. It never follows, never waits for ever.
func client(t *testing.T, http2 bool) *http.Client {
	transport := &http.Transport{Protocols: protocols(http2), DisableCompression: true, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get returns the status and the body.
func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(content)
}

// dial opens a TCP connection that ends with the test. One that is refused by a
// reset may hear of it while it still connects; it is then one that was reset.
func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if errors.Is(err, syscall.ECONNRESET) {
		c, err = wasReset(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// wasReset returns a connection that its peer has reset.
func wasReset(t *testing.T) (net.Conn, error) {
	t.Helper()
	c, peer := tcppair.New(t)
	_ = peer.SetLinger(0)
	return c, peer.Close()
}

// tcpBackend serves connections one by one, each on a goroutine, and returns where.
func tcpBackend(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		acceptAll(l, serve)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func acceptAll(l net.Listener, serve func(*net.TCPConn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			serve(c.(*net.TCPConn))
		}()
	}
}
