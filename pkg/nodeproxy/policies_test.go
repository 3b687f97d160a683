package nodeproxy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

// policyVersions are the versions of HTTP in which policies hold: HTTP/2 or not.
var policyVersions = []bool{false, true}

// annotate puts weft.mesh/ annotations, as pairs of name and value, on a Service.
func (w *world) annotate(service string, pairs ...string) {
	w.Helper()
	all := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		all[annotations.Prefix+pairs[i]] = pairs[i+1]
	}
	input := w.Services[shop(service)]
	input.Annotations, input.Policies = annotations.Own(all), annotations.Policies(input.Ref, all)
	if len(input.Policies.Problems) > 0 {
		w.Fatal(input.Policies.Problems)
	}
	w.Services[shop(service)] = input
}

// stalled accepts requests and answers none before the test ends.
func stalled(t *testing.T) string {
	end := make(chan struct{})
	at := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-end:
		}
	})
	t.Cleanup(func() { close(end) })
	return at
}

// says answers with a status and counts.
func says(t *testing.T, status int, count *atomic.Int64) string {
	return backend(t, func(w http.ResponseWriter, _ *http.Request) {
		count.Add(1)
		w.WriteHeader(status)
	})
}

// resets accepts connections and resets each at its first byte.
func resets(t *testing.T, count *atomic.Int64) string {
	return tcpBackend(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		count.Add(1)
		_ = c.SetLinger(0)
	})
}

// refused asks once and checks that the mesh refused for a reason.
func (w *world) refused(c *http.Client, at string, status int, reason string) *http.Response {
	w.Helper()
	res, content := get(w.T, c, "http://"+at)
	if res.StatusCode != status || res.Header.Get("Weft-Reason") != reason {
		w.Errorf("got %d %s %q; want %d %s", res.StatusCode, res.Header.Get("Weft-Reason"), content, status, reason)
	}
	return res
}

func TestTimeouts(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		for _, test := range []struct{ annotation, reason string }{
			{"timeout", "timeout"}, {"per-try-timeout", "upstream-timeout"},
		} {
			t.Run(test.annotation, func(t *testing.T) {
				w := newWorld(t, nodeproxy.Config{})
				at := w.service("orders", "http", stalled(t))
				w.annotate("orders", test.annotation, "50ms")
				w.publish()
				began := time.Now()
				w.refused(client(t, http2), at, 504, test.reason)
				if took := time.Since(began); took < 50*time.Millisecond || took > 2*time.Second {
					t.Errorf("the answer came after %v", took)
				}
			})
		}
	})
}

// An answer that has begun is broken off at its deadline.
func TestTimeoutWithinAnAnswer(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		w.annotate("orders", "timeout", "100ms")
		w.publish()
		res, err := client(t, http2).Get("http://" + at)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if content, err := io.ReadAll(res.Body); err == nil || string(content) != "some" {
			t.Errorf("the answer was %q, %v; want it broken off", content, err)
		}
	})
}

func TestRetries(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		for _, test := range []struct {
			name     string
			endpoint func(*testing.T, *atomic.Int64) string
			retryOn  string
		}{
			{"503", func(t *testing.T, n *atomic.Int64) string { return says(t, 503, n) }, "5xx"},
			{"429", func(t *testing.T, n *atomic.Int64) string { return says(t, 429, n) }, "429"},
			{"reset", resets, "reset-before-response"},
			{"stall", func(t *testing.T, n *atomic.Int64) string { n.Add(1); return stalled(t) }, "per-try-timeout"},
		} {
			t.Run(test.name, func(t *testing.T) {
				w := newWorld(t, nodeproxy.Config{})
				var bad, good atomic.Int64
				at := w.service("orders", "http", test.endpoint(t, &bad), says(t, 200, &good))
				w.annotate("orders", "retry-attempts", "3", "retry-on", test.retryOn, "per-try-timeout", "200ms", "retry-budget", "100", "retry-budget-min", "100")
				w.publish()
				c := client(t, http2)
				for range 20 {
					if res, content := get(t, c, "http://"+at); res.StatusCode != 200 {
						t.Fatalf("got %d %v %q", res.StatusCode, res.Header, content)
					}
				}
				if bad.Load() == 0 || good.Load() != 20 {
					t.Errorf("%d requests met the bad endpoint, %d the good one; want some and 20", bad.Load(), good.Load())
				}
			})
		}
	})
}

// What an endpoint may have begun with is not sent twice, unless it may be.
func TestWhatIsNotIdempotentIsSentOnce(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var failed, broken atomic.Int64
		at := w.service("orders", "http", says(t, 503, &failed), says(t, 503, &failed))
		other := w.service("carts", "http", resets(t, &broken), resets(t, &broken))
		for _, service := range []string{"orders", "carts"} {
			w.annotate(service, "retry-attempts", "5", "retry-on", "5xx,reset-before-response", "retry-budget-min", "100")
		}
		w.publish()
		c := client(t, http2)
		for _, url := range []string{at, other} {
			res, err := c.Post("http://"+url, "text/plain", strings.NewReader("an order"))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		if failed.Load() != 1 || broken.Load() != 1 {
			t.Errorf("POSTs met endpoints %d and %d times; want once each", failed.Load(), broken.Load())
		}
	})
}

// A body that was sent is sent again whole, from what was kept of it; what is
// larger is not tried again.
func TestBodiesAreSentAgain(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var tries atomic.Int64
		got := make(chan string, 10)
		at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
			content, _ := io.ReadAll(r.Body)
			if got <- string(content); tries.Add(1)%3 != 0 {
				w.WriteHeader(503)
			}
		}))
		w.annotate("orders", "retry-attempts", "3", "retry-on", "503", "retry-budget-min", "100")
		w.publish()
		c := client(t, http2)
		for _, test := range []struct {
			size, tries, status int
			chunked             bool // its length is not said
		}{
			{60 << 10, 3, 200, false}, {100, 3, 200, false}, {1 << 20, 1, 503, false},
			{60 << 10, 3, 200, true}, {100, 3, 200, true}, {1 << 20, 1, 503, true},
		} {
			tries.Store(0)
			sent := strings.Repeat("0123456789", test.size/10)
			request, err := http.NewRequest(http.MethodPut, "http://"+at, strings.NewReader(sent))
			if err != nil {
				t.Fatal(err)
			}
			if test.chunked {
				request.ContentLength = -1
			}
			res, err := c.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != test.status {
				t.Errorf("%d bytes: got %d; want %d", test.size, res.StatusCode, test.status)
			}
			for range test.tries {
				if content := <-got; content != sent {
					t.Errorf("%d bytes came as %d others", len(sent), len(content))
				}
			}
		}
	})
}

// When every endpoint fails, retries add a fifth of the load and no more.
func TestRetriesMakeNoStorm(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		at := w.service("orders", "http", says(t, 503, &met), says(t, 503, &met), says(t, 503, &met))
		w.annotate("orders", "retry-attempts", "5", "retry-on", "5xx", "retry-backoff", "1ms")
		w.publish()
		c := client(t, http2)
		const offered = 1000
		for range offered {
			res, _ := get(t, c, "http://"+at)
			if res.StatusCode != 503 {
				t.Fatalf("got %d", res.StatusCode)
			}
		}
		if load := float64(met.Load()) / offered; load < 1.1 || load > 1.2 {
			t.Errorf("endpoints met %.3f times the offered load; want at most 1.2, and some retries", load)
		}
	})
}

func TestRateLimit(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		each(t, []string{"all", "source", "address"}, func(t *testing.T, by string) {
			w := newWorld(t, nodeproxy.Config{})
			var met atomic.Int64
			at := w.service("orders", "http", says(t, 200, &met))
			w.annotate("orders", "ratelimit-average", "1", "ratelimit-burst", "3", "ratelimit-period", "1h", "ratelimit-by", by)
			w.publish()
			c := client(t, http2)
			for range 3 {
				if res, _ := get(t, c, "http://"+at); res.StatusCode != 200 {
					t.Errorf("got %d within the burst", res.StatusCode)
				}
			}
			w.publish() // a new Table forgets nothing
			res := w.refused(c, at, 429, "rate-limited")
			if after := res.Header.Get("Retry-After"); after != "3600" || met.Load() != 3 {
				t.Errorf("Retry-After is %q, the endpoint met %d requests; want 3600 and 3", after, met.Load())
			}
		})
	})
}

func TestCircuitBreaker(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		at := w.service("orders", "http", says(t, 500, &met))
		w.annotate("orders", "circuit-breaker-expression", "ResponseCodeRatio(500, 600, 0, 600) > 0.5", "circuit-breaker-open", "1h")
		w.publish()
		c := client(t, http2)
		for range 50 {
			_, _ = get(t, c, "http://"+at)
		}
		eventually(t, "the circuit opens", func() bool {
			res, _ := get(t, c, "http://"+at)
			return res.StatusCode == 503 && res.Header.Get("Weft-Reason") == "circuit-open"
		})
		before := met.Load()
		w.refused(c, at, 503, "circuit-open")
		if met.Load() != before {
			t.Error("the endpoint was asked though the circuit is open")
		}
	})
}

func TestMaxRequests(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		began, goOn := make(chan struct{}), make(chan struct{})
		at := w.service("orders", "http", backend(t, func(http.ResponseWriter, *http.Request) {
			began <- struct{}{}
			<-goOn
		}))
		w.annotate("orders", "max-requests", "2")
		w.publish()
		c := client(t, http2)
		done := make(chan error, 2)
		for range 2 {
			go func() {
				res, err := c.Get("http://" + at)
				if err == nil {
					_ = res.Body.Close()
				}
				done <- err
			}()
			<-began
		}
		w.refused(c, at, 503, "overloaded")
		close(goOn)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		go func() { <-began }()
		if res, _ := get(t, c, "http://"+at); res.StatusCode != 200 {
			t.Errorf("got %d once there is room again", res.StatusCode)
		}
	})
}

func TestFaults(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var met atomic.Int64
		late := w.service("orders", "http", says(t, 200, &met))
		never := w.service("carts", "http", says(t, 200, &met))
		w.annotate("orders", "fault-delay", "100ms")
		w.annotate("carts", "fault-abort", "418", "fault-abort-percent", "100")
		w.publish()
		began := time.Now()
		c := client(t, http2)
		if res, _ := get(t, c, "http://"+late); res.StatusCode != 200 || time.Since(began) < 100*time.Millisecond {
			t.Errorf("got %d after %v; want 200 after 100ms", res.StatusCode, time.Since(began))
		}
		w.refused(c, never, 418, "fault")
		if met.Load() != 1 {
			t.Errorf("endpoints met %d requests; want 1", met.Load())
		}
	})
}

// One of ten endpoints answers 500 at once, which draws whoever looks at
// latencies: it is ejected.
func TestAnEndpointThatFailsFastIsEjected(t *testing.T) {
	each(t, policyVersions, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		var bad, good atomic.Int64
		endpoints := []string{says(t, 500, &bad)}
		for range 9 {
			endpoints = append(endpoints, says(t, 200, &good))
		}
		at := w.service("orders", "http", endpoints...)
		w.annotate("orders", "outlier-consecutive-5xx", "5")
		w.publish()
		c := client(t, http2)
		for bad.Load() < 5 {
			_, _ = get(t, c, "http://"+at)
		}
		w.publish() // a new Table forgets nothing
		before := bad.Load()
		for range 500 {
			if res, _ := get(t, c, "http://"+at); res.StatusCode != 200 {
				t.Fatalf("got %d after the ejection", res.StatusCode)
			}
		}
		if bad.Load() != before {
			t.Errorf("the ejected endpoint met %d requests more", bad.Load()-before)
		}
	})
}
