package http2

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
	"golang.org/x/net/http2/hpack"
)

// memory is a wire that keeps the last bytes.
type memory struct{ b []byte }

func (m *memory) write(_ *work, b []byte) (int, error) {
	m.b = append(m.b[:0], b...)
	return len(b), nil
}
func (m *memory) closeWrite() {}
func (m *memory) cut()        {}

// bench is a client's and an endpoint's connection without sockets.
type bench struct {
	w        *work
	down, up *conn
	toClient memory
	toServer memory
}

func newBench(tb testing.TB) *bench {
	in, name := mesh.NewInputs(), mesh.Name{Namespace: "shop", Name: "orders"}
	at := upstream.Key{Listen: netip.MustParseAddrPort("127.0.0.1:1")}
	in.Services[name] = mesh.ServiceInput{Ref: mesh.Ref{Kind: "Service", Namespace: "shop", Name: "orders"}, Ports: []mesh.ServicePort{{Number: 80}}}
	in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Listen: at.Listen}}}
	in.Slices[name] = mesh.SliceInput{
		Service: name, Ports: []mesh.SlicePort{{Number: 2}},
		Endpoints: []mesh.SliceEndpoint{{Address: netip.MustParseAddr("127.0.0.1"), Ready: true, Serving: true}},
	}
	var set upstream.Set
	snapshot, _ := set.Bind(route.Compile(mesh.Build(in)))
	e := New(Config{Current: func() *upstream.Snapshot { return snapshot }, Metrics: telemetry.NewProxy(prometheus.NewRegistry(), telemetry.ProxyConfig{})})
	tb.Cleanup(e.Close)
	b := &bench{w: &work{engine: e, now: time.Now()}}
	b.down = newConn(e, &b.toClient, b.w.now)
	b.down.client = &client{at: at, address: netip.MustParseAddr("127.0.0.1"), text: []byte("127.0.0.1"), ended: func() {}}
	try := new(upstream.Caller).Decide(snapshot, snapshot.Route(at), nil).Cluster.Try(netip.Addr{})
	endpoint := try.Next()
	b.up = newConn(e, &b.toServer, b.w.now)
	b.up.pool, b.up.last, b.up.limit = e.poolOf(endpoint), 1, 1000
	b.up.pool.conns.Store(&[]*conn{b.up})
	settings := appendWindowUpdate(appendSettings(nil), 0, 1<<30)
	for _, c := range []*conn{b.down, b.up} {
		if _, err := c.feed(b.w, settings); err != nil {
			tb.Fatal(err)
		}
	}
	b.w.finish()
	return b
}

// block encodes fields as a client would that has sent them before.
func block(tb testing.TB, c *conn, pairs ...string) []byte {
	var out bytes.Buffer
	encoder := hpack.NewEncoder(&out)
	for range 2 {
		out.Reset()
		for i := 0; i < len(pairs); i += 2 {
			if err := encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}); err != nil {
				tb.Fatal(err)
			}
		}
		c.decoder.Begin(bytes.Clone(out.Bytes()))
		for c.decoder.Next(&c.message.field) {
		}
	}
	return bytes.Clone(out.Bytes())
}

// run returns what makes one exchange.
func (b *bench) run(tb testing.TB) func() {
	head := block(tb, b.down, ":method", "POST", ":scheme", "http", ":path", "/shop.Orders/Get", ":authority", "orders.shop.mesh",
		"content-type", "application/grpc", "user-agent", "grpc-go/1.85.0", "te", "trailers")
	status := block(tb, b.up, ":status", "200", "content-type", "application/grpc")
	trailer := block(tb, b.up, "grpc-status", "0")
	data := make([]byte, 100)
	var in []byte
	down, up := uint32(1), uint32(1)
	return func() {
		in = appendBlock(in[:0], down, head, false)
		in = appendFrameHeader(in, len(data), frameData, flagEndStream, down)
		in = append(in, data...)
		if _, err := b.down.feed(b.w, in); err != nil {
			tb.Fatal(err)
		}
		b.w.finish()
		in = appendBlock(in[:0], up, status, false)
		in = appendFrameHeader(in, len(data), frameData, 0, up)
		in = append(in, data...)
		in = appendBlock(in, up, trailer, true)
		if _, err := b.up.feed(b.w, in); err != nil {
			tb.Fatal(err)
		}
		b.w.finish()
		if len(b.down.halves)+len(b.up.halves) != 0 || len(b.toClient.b) == 0 || len(b.toServer.b) == 0 {
			tb.Fatalf("%d and %d streams left", len(b.down.halves), len(b.up.halves))
		}
		down, up = down+2, up+2
	}
}

func BenchmarkExchange(b *testing.B) {
	run := newBench(b).run(b)
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}
