package nodeproxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/route"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// BenchmarkPolicies is what a request through the whole proxy costs, over real
// sockets and with a client and an endpoint that do next to nothing: without
// policies, with each alone, with all together. Two allocations of each request
// are the client's and the endpoint's own.
func BenchmarkPolicies(b *testing.B) {
	each := []struct {
		name        string
		annotations []string
	}{
		{"none", nil},
		{"timeouts", []string{"timeout", "1m", "per-try-timeout", "1m"}},
		{"retries", []string{"retry-attempts", "3"}},
		{"circuit breaker", []string{"circuit-breaker-expression", "NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50.0) > 1000"}},
		{"ejection", []string{"outlier-consecutive-5xx", "5"}},
		{"rate limit", []string{"ratelimit-average", "1000000", "ratelimit-burst", "1000000", "ratelimit-period", "1ms"}},
		{"caps", []string{"max-requests", "1000", "max-pending", "1000"}},
		{"sizes", []string{"max-body", "100000", "max-headers", "10000"}},
		{"round robin", []string{"load-balancer", "round-robin"}},
		{"ring hash", []string{"load-balancer", "ring-hash", "load-balancer-by", "header:x-user"}},
		{"headers", []string{"request-headers-set", "x-team: shop", "response-headers-add", "x-mesh: weft"}},
		{"faults", []string{"fault-abort", "500", "fault-header", "x-chaos"}},
	}
	var all []string
	for _, one := range each {
		all = append(all, one.annotations...)
	}
	each = append(each, struct {
		name        string
		annotations []string
	}{"all", append(all, "load-balancer", "ewma")})
	for version, run := range map[string]func(*testing.B, string){"HTTP1": benchmarkHTTP1, "HTTP2": benchmarkHTTP2} {
		for _, one := range each {
			b.Run(version+"/"+strings.ReplaceAll(one.name, " ", "-"), func(b *testing.B) { run(b, benchmarked(b, one.annotations)) })
		}
	}
}

// benchmarked is a proxy before an endpoint that answers both versions of HTTP,
// under annotations.
func benchmarked(b *testing.B, pairs []string) (at string) {
	in, name := mesh.NewInputs(), mesh.Name{Namespace: "shop", Name: "orders"}
	said := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		said[annotations.Prefix+pairs[i]] = pairs[i+1]
	}
	ref := mesh.Ref{Kind: "Service", Namespace: "shop", Name: "orders"}
	in.Services[name] = mesh.ServiceInput{Ref: ref, Ports: []mesh.ServicePort{{Number: 80, AppProtocol: "http"}}, Policies: annotations.Policies(ref, said)}
	endpoint := netip.MustParseAddrPort(quickly(b))
	in.Slices[name] = mesh.SliceInput{
		Service: name, Ports: []mesh.SlicePort{{Number: endpoint.Port()}},
		Endpoints: []mesh.SliceEndpoint{{Address: endpoint.Addr(), Ready: true, Serving: true}},
	}
	listen, err := freeport.Address()
	if err != nil {
		b.Fatal(err)
	}
	in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Listen: listen}}}
	built := mesh.Build(in)
	if len(built.Problems) > 0 {
		b.Fatal(built.Problems)
	}
	proxy := nodeproxy.New(nodeproxy.Config{})
	proxy.Publish(route.Compile(built))
	b.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = proxy.Drain(ended)
	})
	return listen.String()
}

// quickly serves both versions of HTTP by hand: an answer of two bytes to each
// request.
func quickly(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		acceptAll(l, func(c *net.TCPConn) {
			_ = c.SetDeadline(time.Time{})
			in := bufio.NewReader(c)
			if begin, _ := in.Peek(len(http2.ClientPreface)); string(begin) == http2.ClientPreface {
				quicklyHTTP2(c, in)
				return
			}
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}
		})
	}()
	b.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func quicklyHTTP2(c *net.TCPConn, in *bufio.Reader) {
	_, _ = in.Discard(len(http2.ClientPreface))
	framer := http2.NewFramer(c, in)
	_ = framer.WriteSettings()
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if f.Header().Type == http2.FrameHeaders {
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.Header().StreamID, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
		}
	}
}

func benchmarkHTTP1(b *testing.B, at string) {
	c, err := net.Dial("tcp", at)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = io.WriteString(c, "GET /orders HTTP/1.1\r\nHost: orders.shop.mesh\r\nX-User: somebody\r\n\r\n")
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := in.Discard(2); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkHTTP2(b *testing.B, at string) {
	c, err := net.Dial("tcp", at)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, bufio.NewReader(c))
	_ = framer.WriteSettings()
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: http.MethodGet}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/orders"}, {Name: ":authority", Value: "orders.shop.mesh"}, {Name: "x-user", Value: "somebody"}} {
		_ = encoder.WriteField(f)
	}
	head := []byte(block.String())
	b.ReportAllocs()
	for stream := uint32(1); b.Loop(); stream += 2 {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head, EndHeaders: true, EndStream: true})
		for {
			f, err := framer.ReadFrame()
			if err != nil {
				b.Fatal(err)
			}
			if f.Header().StreamID == stream && f.Header().Flags.Has(http2.FlagHeadersEndStream) {
				break
			}
		}
	}
}
