package http1_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// identity is a CA and a certificate of its for "orders".
func identity(t testing.TB) (*pki.Authority, *tls.Certificate) {
	t.Helper()
	ca, err := pki.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Issue("orders", "orders")
	if err != nil {
		t.Fatal(err)
	}
	return ca, certificate
}

// secured makes an endpoint over TLS the Service's.
func (w *world) secured(ca *pki.Authority, at string) {
	m := w.mesh(at)
	m.Services[0].Ports[0].TLS = &mesh.TLS{ServerName: "orders", CASecret: "ca", CA: string(ca.Certificate)}
	w.bind(m)
}

// BenchmarkExchangeOverTLS is BenchmarkExchange with an endpoint over TLS, whose
// own share of that is counted too.
func BenchmarkExchangeOverTLS(b *testing.B) {
	ca, certificate := identity(b)
	o := newOrigin(b, func(tcp *net.TCPConn, _ *bufio.Reader) {
		c := tls.Server(tcp, &tls.Config{Certificates: []tls.Certificate{*certificate}})
		in, out := make([]byte, 4096), []byte(smallAnswer)
		for {
			if _, err := c.Read(in); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	})
	w := newWorld(b, http1.Config{Metrics: telemetry.NewProxy(prometheus.NewRegistry(), telemetry.ProxyConfig{})})
	w.secured(ca, o.at)
	once := w.exchanger()
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}

// hasty is an origin over TLS that counts POSTs by their path and closes
// connections right after an answer, or a moment later.
type hasty struct {
	*origin
	mu   sync.Mutex
	seen map[string]int
}

func newHasty(t *testing.T, certificate *tls.Certificate) *hasty {
	h := &hasty{seen: map[string]int{}}
	h.origin = newOrigin(t, func(tcp *net.TCPConn, _ *bufio.Reader) {
		c := tls.Server(tcp, &tls.Config{Certificates: []tls.Certificate{*certificate}})
		defer c.Close()
		in := bufio.NewReader(c)
		for _ = c.SetReadDeadline(time.Now().Add(patience)); ; _ = c.SetReadDeadline(time.Now().Add(rand.N(300 * time.Microsecond))) {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			h.mu.Lock()
			h.seen[r.URL.Path]++
			h.mu.Unlock()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	return h
}

// A POST over TLS that crosses the end of its connection arrives once at most,
// and once where it is answered. It is sent again only where the relay proves
// that nothing of it went on.
func TestPostsThatCrossTheEndOfTLS(t *testing.T) {
	ca, certificate := identity(t)
	h := newHasty(t, certificate)
	w := newWorld(t, http1.Config{})
	w.secured(ca, h.at)
	c := w.dial()
	in := bufio.NewReader(c)
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	answered, broken := map[string]bool{}, 0
	posts := much(20_000, 1000)
	for n := range posts {
		w.engine.Trust()
		path := fmt.Sprint("/", n)
		_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", path)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		switch reason := res.Header.Get("Weft-Reason"); {
		case res.StatusCode == 200:
			answered[path] = true
		case reason == "upstream-reset":
			broken++
		default:
			t.Fatalf("POST %s: %d %s", path, res.StatusCode, reason)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range posts {
		path := fmt.Sprint("/", n)
		if times := h.seen[path]; times > 1 || answered[path] && times != 1 {
			t.Errorf("POST %s arrived %d times, answered: %v", path, times, answered[path])
		}
	}
	t.Logf("%d of %d POSTs met the end of a connection where nobody could tell, over %d connections", broken, posts, h.conns.Load())
}
