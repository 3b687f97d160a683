package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// impatient is an origin that counts each request by its path and closes idle
// connections 1 to 5 ms after an answer.
type impatient struct {
	*origin
	seen sync.Map // path → *atomic.Int64
}

func newImpatient(t testing.TB) *impatient {
	i := &impatient{}
	i.origin = newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		for served := 0; ; served++ {
			if served > 0 {
				_ = c.SetReadDeadline(time.Now().Add(time.Millisecond + rand.N(4*time.Millisecond)))
			}
			if _, err := in.Peek(1); err != nil {
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			count, _ := i.seen.LoadOrStore(r.URL.Path, &atomic.Int64{})
			count.(*atomic.Int64).Add(1)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	return i
}

// B55, B56: requests to origins that close idle connections after 1 to 5 ms:
// none is lost, and no POST arrives twice.
func TestB55KeepAliveRace(t *testing.T) {
	origins := []*impatient{newImpatient(t), newImpatient(t), newImpatient(t)}
	w := newWorld(t, http1.Config{}, origins[0].at, origins[1].at, origins[2].at)
	work := make(chan int)
	var lost atomic.Int64
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			c := w.dial()
			_ = c.SetDeadline(time.Time{})
			in := bufio.NewReader(c)
			for n := range work {
				method, body := [...]string{"POST", "POST", "POST", "GET", "PUT"}[n%5], "body"
				if method == "GET" {
					body = ""
				}
				_, _ = fmt.Fprintf(c, "%s /%d HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", method, n, len(body), body)
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Errorf("%s %d: %v", method, n, err)
					return
				}
				got, _ := io.ReadAll(res.Body)
				if res.StatusCode != 200 {
					lost.Add(1)
					t.Logf("%s %d: %d %s", method, n, res.StatusCode, got)
				}
			}
		})
	}
	requests := much(334_000, 10_000) // three of five are POSTs
	for n := range requests {
		work <- n
	}
	close(work)
	callers.Wait()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d of %d lost", n, requests)
	}
	for n := range requests {
		var times int64
		for _, o := range origins {
			if count, ok := o.seen.Load(fmt.Sprintf("/%d", n)); ok {
				times += count.(*atomic.Int64).Load()
			}
		}
		if times == 0 || times > 1 && n%5 < 3 {
			t.Errorf("request %d arrived %d times", n, times)
		}
	}
}

// B56: an origin that dies at any offset of a POST, on a connection that was
// used before, sees it at most once; a request not a byte of which was taken,
// and one that is idempotent, is sent again.
func TestB56WhatIsSentAgain(t *testing.T) {
	for _, test := range []struct {
		method string
		status string
	}{{"POST", "502"}, {"PATCH", "502"}, {"GET", "200"}, {"PUT", "200"}, {"DELETE", "200"}} {
		var tried atomic.Int64
		o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
			for {
				raw, _, err := readRaw(in)
				if err != nil {
					return
				}
				if strings.Contains(raw, "/die") && tried.Add(1) == 1 {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		w := newWorld(t, http1.Config{}, o.at)
		c := w.dial()
		in := bufio.NewReader(c)
		ask := func(method, path string) string {
			_, _ = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", method, path)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			return res.Status[:3]
		}
		if got := ask("GET", "/warm"); got != "200" {
			t.Fatal(got)
		}
		if got := ask(test.method, "/die"); got != test.status {
			t.Errorf("%s: %s; want %s", test.method, got, test.status)
		}
		if n := tried.Load(); test.status == "502" && n != 1 || test.status == "200" && n != 2 {
			t.Errorf("%s was tried %d times", test.method, n)
		}
	}
}

// B57: a body that is not held in memory is not sent again.
func TestB57ALargeBodyIsSentOnce(t *testing.T) {
	var tried atomic.Int64
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		tried.Add(1)
		_, _ = io.CopyN(io.Discard, in, 100_000)
		_ = c.SetLinger(0)
	})
	w := newWorld(t, http1.Config{}, o.at)
	got := w.ask("PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2097152\r\n\r\n" + strings.Repeat("a", 2<<20))
	if s := statuses(got); len(s) != 1 || s[0] != "502" || tried.Load() != 1 {
		t.Errorf("got %v after %d tries", s, tried.Load())
	}
}

// An idle connection that the origin has closed is never used, whatever the method.
func TestAStaleConnectionIsNotUsed(t *testing.T) {
	closed := make(chan struct{}, 100)
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		_, _, _ = readRaw(in)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_ = c.Close()
		closed <- struct{}{}
	})
	w := newWorld(t, http1.Config{}, o.at)
	for range 50 {
		if got := w.ask("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"); statuses(got)[0] != "200" {
			t.Fatal(got)
		}
		<-closed
	}
}

// In steady state, connections to a patient origin are used again by every method.
func TestPatientOriginsAreTrusted(t *testing.T) {
	o := newOrigin(t, mirror)
	w := newWorld(t, http1.Config{}, o.at)
	c := w.dial()
	in := bufio.NewReader(c)
	post := func() {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na")
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
	post()
	eventually(t, "POSTs use one connection", func() bool {
		before := o.conns.Load()
		for range 10 {
			post()
		}
		return o.conns.Load() == before
	})
}
