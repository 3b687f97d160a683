package nodeproxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc/codes"
)

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string { return freePort(t) }

// TestEachRefusalExplainsItself asks for what cannot be had and looks at the
// status, the reason and the metric.
func TestEachRefusalExplainsItself(t *testing.T) {
	answers := func(bytes string) func(t *testing.T) string {
		return func(t *testing.T) string {
			at, _ := recorder(t, bytes)
			return at
		}
	}
	for _, test := range []struct {
		name     string
		endpoint func(t *testing.T) string // nil for none
		status   int
		reason   string
	}{
		{"no endpoints", nil, 503, "no-endpoints"},
		{"nobody listens", closedPort, 503, "connect-failed"},
		{"breaks off before the answer", answers(""), 502, "upstream-reset"},
		{"half a head", answers("HTTP/1.1 200 OK\r\nContent-Le"), 502, "upstream-malformed"},
		{"not HTTP", answers("SSH-2.0-x\r\n\r\n"), 502, "upstream-malformed"},
		{"status 099", answers("HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n"), 502, "upstream-malformed"},
		{"status 000", answers("HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"), 502, "upstream-malformed"},
		{"an upgrade nobody asked for", answers("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), 502, "upstream-malformed"},
		{"two lengths", answers("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 502, "upstream-malformed"},
		{"an endless head", answers("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n"), 502, "upstream-malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nodeproxy.Config{})
			at := w.service("orders", "http")
			if test.endpoint != nil {
				w.endpoints(0, "orders", test.endpoint(t))
			}
			w.publish()
			res, content := get(t, client(t, false), "http://"+at)
			if res.StatusCode != test.status || res.Header.Get("Weft-Reason") != test.reason || !strings.Contains(content, "orders.shop") {
				t.Errorf("got %d %v %q; want %d %s", res.StatusCode, res.Header, content, test.status, test.reason)
			}
			eventually(t, "the refusal is counted", func() bool {
				return w.count("weft_refusals_total", map[string]string{"reason": test.reason}) == 1
			})
		})
	}
}

func TestARouteWithoutBackendRefuses(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "http", closedPort(t))
	w.service("canary", "http", closedPort(t))
	w.split("orders", map[string]int64{"canary": 0})
	w.publish()
	if res, content := get(t, client(t, false), "http://"+at); res.StatusCode != 503 || res.Header.Get("Weft-Reason") != "no-backend" {
		t.Errorf("got %d %v %q", res.StatusCode, res.Header, content)
	}
}

// A port that leaves the Table ends what stays connected with an answer.
func TestAPortThatLeaves(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "http", backend(t, func(http.ResponseWriter, *http.Request) {}))
	w.publish()
	c := client(t, false)
	get(t, c, "http://"+at)
	delete(w.Frontends, shop("orders"))
	w.publish()
	if res, _ := get(t, c, "http://"+at); res.StatusCode != 503 || res.Header.Get("Weft-Reason") != "no-route" || !res.Close {
		t.Errorf("got %d %v, close %v", res.StatusCode, res.Header, res.Close)
	}
	if _, err := net.Dial("tcp", at); err == nil {
		t.Error("the port still accepts connections")
	}
}

func TestARefusalSpeaksGRPC(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "grpc")
	w.publish()
	r, _ := http.NewRequest(http.MethodPost, "http://"+at+"/a.B/C", http.NoBody)
	r.Header.Set("Content-Type", "application/grpc+proto")
	res, err := client(t, true).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	h := res.Header
	if res.StatusCode != 200 || h.Get("Grpc-Status") != "14" || codes.Unavailable != 14 || h.Get("Weft-Reason") != "no-endpoints" || h.Get("Content-Type") != "application/grpc" || h.Get("Grpc-Message") == "" {
		t.Errorf("got %d %v", res.StatusCode, h)
	}
}

// TestADeadEndpointIsPassedOver: nothing was delivered, so also a POST goes to
// another endpoint, with its body.
func TestADeadEndpointIsPassedOver(t *testing.T) {
	each(t, []bool{false, true}, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		alive := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		at := w.service("orders", "http", closedPort(t), alive, closedPort(t))
		w.publish()
		c := client(t, http2)
		for range 50 {
			res, err := c.Post("http://"+at, "text/plain", strings.NewReader("abc"))
			if err != nil {
				t.Fatal(err)
			}
			content, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if string(content) != "abc" {
				t.Fatalf("HTTP/2 %v: got %d %q", http2, res.StatusCode, content)
			}
		}
	})
}

// TestAConnectionThatDiedIsReplaced: an endpoint that closes after each answer
// without saying so loses no GET.
func TestAConnectionThatDiedIsReplaced(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("orders", "http", tcpBackend(t, func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}))
	w.publish()
	c := client(t, false)
	for i := range 200 {
		if res, content := get(t, c, "http://"+at); res.StatusCode != 200 {
			t.Fatalf("request %d: %d %q", i, res.StatusCode, content)
		}
	}
}

func TestAnEndpointThatDiesMidBody(t *testing.T) {
	each(t, []bool{false, true}, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))
		w.publish()
		res, err := client(t, http2).Get("http://" + at)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(content) != "half" || err == nil {
			t.Errorf("HTTP/2 %v: got %q, %v; want half and an error", http2, content, err)
		}
		eventually(t, "the break is counted", func() bool {
			return w.count("weft_refusals_total", map[string]string{"reason": "upstream-reset"}) == 1
		})
	})
}

// TestAClientThatLeaves cancels the endpoint's work, while it uploads and while
// it waits.
func TestAClientThatLeaves(t *testing.T) {
	each(t, []string{"mid-upload", "waiting"}, func(t *testing.T, name string) {
		each(t, []bool{false, true}, func(t *testing.T, http2 bool) {
			w := newWorld(t, nodeproxy.Config{})
			arrived, cancelled := make(chan struct{}), make(chan struct{})
			at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
				close(arrived)
				_, err := io.Copy(io.Discard, r.Body)
				if err == nil {
					<-r.Context().Done()
				}
				close(cancelled)
			}))
			w.publish()
			ctx, leave := context.WithCancel(context.Background())
			var content io.Reader
			in, feed := io.Pipe()
			if name == "mid-upload" {
				go func() { _, _ = io.WriteString(feed, "abc") }()
				content = in
			}
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at, content)
			failed := make(chan error)
			go func() {
				_, err := client(t, http2).Do(r)
				failed <- err
			}()
			<-arrived
			leave()
			_ = feed.CloseWithError(ctx.Err())
			<-failed
			<-cancelled
			eventually(t, name+" is counted as 499", func() bool {
				return w.count("weft_requests_total", map[string]string{"response_code": "499"}) == 1
			})
		})
	})
}

func TestManyClientsThatLeave(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	var running atomic.Int32
	at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		<-r.Context().Done()
	}))
	w.publish()
	for range 200 {
		c := dial(t, at)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	eventually(t, "all are counted", func() bool {
		return w.count("weft_requests_total", nil)+w.count("weft_listeners", nil) >= 1 && running.Load() == 0
	})
}
