package nodeproxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"google.golang.org/grpc/codes"
)

// failure is a way in which an endpoint fails its calls.
type failure struct {
	name string
	at   func(*testing.T) string
	// begun tells that the answer has begun when it fails, fine that no call needs
	// to fail, unsent that no byte of a request reaches the endpoint.
	begun, fine, unsent bool
}

var failures = []failure{
	{name: "stalls", at: stalled},
	{name: "resets before its head", at: func(t *testing.T) string { return resets(t, new(atomic.Int64)) }},
	{name: "resets within its head", at: resetsWithinItsHead},
	{name: "resets within its body", begun: true, at: func(t *testing.T) string {
		return backend(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
	}},
	{name: "answers 500", at: func(t *testing.T) string { return says(t, 500, new(atomic.Int64)) }},
	{name: "refuses", unsent: true, at: closedPort},
	{name: "closes idle connections", fine: true, at: func(t *testing.T) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		both := protocols(true)
		both.SetHTTP1(true)
		return serveOn(t, l, &http.Server{Protocols: both, IdleTimeout: time.Millisecond, Handler: http.HandlerFunc(answers)})
	}},
	{name: "vanished", unsent: true, at: fullListener},
}

// answers answers well, whatever the request speaks.
func answers(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		_, _ = io.WriteString(w, "whole")
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = io.WriteString(w, "\x00\x00\x00\x00\x00")
	w.Header().Set("Grpc-Status", "0")
}

func resetsWithinItsHead(t *testing.T) string {
	return tcpBackend(t, func(c *net.TCPConn) {
		first := make([]byte, 3)
		_, _ = io.ReadFull(c, first)
		head := "HTTP/1.1 200 OK\r\nContent-Le"
		if string(first) == "PRI" {
			head = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x20\x01\x04\x00\x00\x00\x01\x88"
			_, _ = c.Read(make([]byte, 1<<10)) // the preface goes on
		}
		_, _ = io.WriteString(c, head)
		_ = c.SetLinger(0)
	})
}

// caller is how a call is made. It tells whether the call succeeded.
type caller struct {
	name     string
	protocol string // of the Service
	call     func(t *testing.T, at string) bool
	// posts tells that calls may not be made twice.
	posts bool
}

var callers = []caller{
	{name: "HTTP/1.1", protocol: "http", call: func(t *testing.T, at string) bool { return whole(t, client(t, false), at) }},
	{name: "HTTP/2", protocol: "http", call: func(t *testing.T, at string) bool { return whole(t, client(t, true), at) }},
	{name: "gRPC", protocol: "grpc", posts: true, call: func(t *testing.T, at string) bool { return grpcCall(t, at, 5*time.Second) == codes.OK }},
}

// whole makes a call, which must not take long. What is not whole must not look so.
func whole(t *testing.T, c *http.Client, at string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if ctx.Err() != nil {
		t.Fatal("the call does not end")
	}
	if err != nil {
		return false
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if res.StatusCode != 200 || err != nil {
		return false
	}
	if string(content) != "whole" {
		t.Errorf("an answer that is not whole looks so: %q", content)
	}
	return true
}

// eachFailure runs a test for each failure in each way. Tries and attempts to
// connect are given up soon.
func eachFailure(t *testing.T, policies []string, test func(t *testing.T, w *world, policies []string, f failure, by caller)) {
	policies = append([]string{"per-try-timeout", "200ms", "connect-timeout", "100ms"}, policies...)
	for _, f := range failures {
		for _, by := range callers {
			t.Run(f.name+", "+by.name, func(t *testing.T) {
				test(t, newWorld(t, nodeproxy.Config{}), policies, f, by)
			})
		}
	}
}

// Whatever one endpoint does, the calls succeed by another where they may be
// made again.
func TestRetriesAgainstEachFailure(t *testing.T) {
	policies := []string{
		"retry-attempts", "3", "retry-on", "connect-failure,refused-stream,reset-before-response,per-try-timeout,5xx", "retry-budget", "100", "retry-budget-min", "100",
	}
	eachFailure(t, policies, func(t *testing.T, w *world, policies []string, f failure, by caller) {
		at := w.service("orders", by.protocol, f.at(t), backend(t, answers))
		w.annotate("orders", policies...)
		w.publish()
		fine := 0
		for range 10 {
			if by.call(t, at) {
				fine++
			}
		}
		if fine < 10 && !f.begun && (f.unsent || f.fine || !by.posts) {
			t.Errorf("%d of 10 calls succeeded", fine)
		}
		if fine == 0 {
			t.Error("not one call succeeded")
		}
	})
}

// An endpoint that fails, however, is left out in the end. It is judged by the
// head of its answer: one that breaks off behind it stays.
func TestEjectionAgainstEachFailure(t *testing.T) {
	policies := []string{"outlier-consecutive-5xx", "2", "outlier-consecutive-gateway", "2", "outlier-ejection", "1m"}
	eachFailure(t, policies, func(t *testing.T, w *world, policies []string, f failure, by caller) {
		at := w.service("orders", by.protocol, f.at(t), backend(t, answers))
		w.annotate("orders", policies...)
		w.publish()
		if f.begun {
			_ = by.call(t, at)
			return
		}
		inARow := 0
		eventually(t, "ten calls in a row succeed", func() bool {
			if inARow++; !by.call(t, at) {
				inARow = 0
			}
			return inARow == 10
		})
	})
}

// Where all calls fail, however, the circuit opens.
func TestCircuitBreakerAgainstEachFailure(t *testing.T) {
	policies := []string{"circuit-breaker-expression", "NetworkErrorRatio() > 0.3 || ResponseCodeRatio(500, 600, 0, 600) > 0.3", "circuit-breaker-open", "1h"}
	eachFailure(t, policies, func(t *testing.T, w *world, policies []string, f failure, by caller) {
		at := w.service("orders", by.protocol, f.at(t))
		w.annotate("orders", policies...)
		w.publish()
		if f.fine {
			for range 20 {
				if !by.call(t, at) {
					t.Error("a call failed")
				}
			}
			w.told("weft_circuit_breaker", "orders", 1, "state", "closed")
			return
		}
		open := w.labelled("orders")
		open["state"] = "open"
		eventually(t, "the circuit opens", func() bool {
			if by.call(t, at) {
				t.Error("a call succeeded")
			}
			return w.count("weft_circuit_breaker", open) == 1
		})
	})
}

// Another Service takes over from endpoints that fail, however, before the head
// of their answer.
func TestFailoverAgainstEachFailure(t *testing.T) {
	policies := []string{"failover", "backup", "outlier-consecutive-5xx", "2", "outlier-consecutive-gateway", "2", "outlier-ejection", "1m", "outlier-max-ejected", "100"}
	eachFailure(t, policies, func(t *testing.T, w *world, policies []string, f failure, by caller) {
		at := w.service("orders", by.protocol, f.at(t))
		w.service("backup", by.protocol, backend(t, answers))
		w.annotate("orders", policies...)
		w.publish()
		if f.begun {
			if by.call(t, at) {
				t.Error("a call succeeded")
			}
			return
		}
		eventually(t, "a call succeeds", func() bool { return by.call(t, at) })
	})
}
