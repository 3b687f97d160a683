package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// retries makes the world's endpoints those of a Service whose requests are
// tried three times.
func (w *world) retries(addresses ...string) {
	m := w.mesh(addresses...)
	spec := mesh.DefaultPolicy()
	spec.RetryAttempts, spec.RetryBackoff, spec.RetryBudgetMin = 3, time.Millisecond, 100
	m.Services[0].Ports[0].Policy = &spec
	w.bind(m)
}

// A body in chunks goes on as it comes, although it is kept: the endpoint has
// the first chunk before the client sends the second.
func TestChunksThatAreKeptDoNotWait(t *testing.T) {
	got := make(chan string)
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		for piece := make([]byte, 100); ; {
			n, err := r.Body.Read(piece)
			if n > 0 {
				got <- string(piece[:n])
			}
			if err != nil {
				break
			}
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	w := newWorld(t, http1.Config{}, o.at)
	w.retries(o.at)
	c := w.dial()
	_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, piece := range []string{"one", "two", "three"} {
		_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", len(piece), piece)
		if have := <-got; have != piece {
			t.Fatalf("the endpoint got %q; want %q", have, piece)
		}
	}
	_, _ = io.WriteString(c, "0\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("got %v, %v", res, err)
	}
}

// An endpoint that refuses a body in chunks before it is whole is left; the next
// one gets what was kept, and the rest as it comes.
func TestChunksAreSentAgainBeforeTheyAreWhole(t *testing.T) {
	for _, fate := range []string{"503", "reset"} {
		var tried atomic.Int64
		refused, bodies := make(chan struct{}), make(chan string, 1)
		o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if tried.Add(1) == 1 {
				_, _ = io.ReadFull(r.Body, make([]byte, 3))
				if fate == "503" {
					_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				} else {
					_ = c.SetLinger(0)
				}
				close(refused)
				return
			}
			body, _ := io.ReadAll(r.Body)
			bodies <- string(body)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		w := newWorld(t, http1.Config{}, o.at)
		w.retries(o.at)
		c := w.dial()
		_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
		<-refused
		eventually(t, fate+": another try", func() bool { return tried.Load() == 2 })
		_, _ = io.WriteString(c, "3\r\ntwo\r\n0\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: got %v, %v", fate, res, err)
		}
		if body := <-bodies; body != "onetwo" {
			t.Errorf("%s: the second endpoint got %q", fate, body)
		}
	}
}

// A POST is sent once, and so is what is larger than is kept.
func TestChunksThatAreSentOnce(t *testing.T) {
	for what, test := range map[string]struct{ method, body string }{
		"a POST": {"POST", "one"}, "a large body": {"PUT", strings.Repeat("x", 100_000)},
	} {
		var tried atomic.Int64
		o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
			if r, err := http.ReadRequest(in); err == nil {
				tried.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			}
		})
		w := newWorld(t, http1.Config{}, o.at)
		w.retries(o.at)
		got := w.ask(fmt.Sprintf("%s / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", test.method, len(test.body), test.body))
		if s := statuses(got); len(s) != 1 || s[0] != "503" || tried.Load() != 1 {
			t.Errorf("%s: got %v after %d tries", what, s, tried.Load())
		}
	}
}
