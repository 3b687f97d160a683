package http2_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

// B48: what is held for a client that does not read is one window, whatever the
// endpoint has to say.
func TestBridgeHoldsAWindowForASlowReader(t *testing.T) {
	var sent sync.Map
	w := newWorld(t, http2.Config{}, endpoint(t, pour(&sent)))
	w.sndbuf.Store(4 << 10)
	c := w.dial()
	_ = c.SetReadBuffer(4 << 10)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	total := func() (n int64) {
		sent.Range(func(_, count any) bool { n += count.(*atomic.Int64).Load(); return true })
		return n
	}
	eventually(t, "the window is used", func() bool { return total() >= 65535 })
	for before, same := int64(0), 0; same < 10; same++ { // it has stopped
		if n := total(); n != before {
			before, same = n, 0
		}
		if other := w.dial(); true { // time passes
			_, _ = io.WriteString(other, "BAD\r\n\r\n")
			_, _ = io.ReadAll(other)
		}
	}
	if n := total(); n > 65535+64<<10 { // what the sockets hold comes on top
		t.Errorf("the endpoint was rid of %d bytes", n)
	}
	if n, err := io.CopyN(io.Discard, c, 200<<10); err != nil {
		t.Errorf("then %d bytes, %v", n, err)
	}
}

// An upload that the endpoint does not take waits in the client, and goes on
// when the endpoint does; a client that leaves meanwhile is noticed.
func TestBridgeHoldsUploadsBack(t *testing.T) {
	taken := make(chan *peer, 2)
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		switch {
		case e.kind == x.FrameHeaders:
			taken <- p
		case e.end:
			data, _ := p.received(e.stream)
			p.headers(e.stream, false, ":status", "200")
			p.data(e.stream, true, fmt.Sprint(len(data)))
		}
	}))
	for _, leaves := range []bool{false, true} {
		c := w.dial()
		wrote := make(chan error, 1)
		go func() {
			_, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n%s", bytes.Repeat([]byte("x"), 1<<20))
			wrote <- err
		}()
		p := <-taken
		stream := p.last(x.FrameHeaders).stream
		eventually(t, "the window is used", func() bool { data, _ := p.received(stream); return len(data) == 1<<16-1 })
		if leaves {
			_ = c.SetLinger(0)
			_ = c.Close()
			p.wasReset(stream)
			<-wrote
			continue
		}
		p.write(func() error { return p.framer.WriteWindowUpdate(stream, 1<<24) })
		p.write(func() error { return p.framer.WriteWindowUpdate(0, 1<<24) })
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := body(t, res); got != "1048576" || <-wrote != nil {
			t.Errorf("the endpoint got %s bytes", got)
		}
		_ = c.Close()
	}
}

// last is the last frame of a kind that was read.
func (p *peer) last(kind x.FrameType) event {
	all := p.find(func(e event) bool { return e.kind == kind })
	return all[len(all)-1]
}

// B12: an answer that comes before the request is whole is passed on, and ends
// the connection.
func TestBridgePassesEarlyAnswersOn(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		if e.kind == x.FrameHeaders {
			p.headers(e.stream, false, ":status", "413")
			p.data(e.stream, true, "no")
			p.reset(e.stream, x.ErrCodeNo)
		}
	}))
	got, err := w.say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabcGET / HTTP/1.1\r\nHost: h\r\n\r\n")
	want := "HTTP/1.1 413 Request Entity Too Large\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nno\r\n0\r\n\r\n"
	if got != want || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// B51: a client that leaves cancels its request at once, and a client that only
// ends its stream gets its answer.
func TestBridgeNoticesClientsThatLeave(t *testing.T) {
	arrived, cancelled, answer := make(chan struct{}), make(chan time.Time), make(chan struct{})
	w := newWorld(t, http2.Config{}, backend(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		if r.URL.Path == "/half" {
			<-answer
			return
		}
		<-r.Context().Done()
		cancelled <- time.Now()
	}))
	for _, reset := range []bool{true, false} {
		c := w.dial()
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
		<-arrived
		began := time.Now()
		if reset {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
		if took := (<-cancelled).Sub(began); took > 500*time.Millisecond {
			t.Errorf("reset %v: cancelled after %v", reset, took)
		}
	}
	c := w.dial()
	_, _ = io.WriteString(c, "GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
	_ = c.CloseWrite()
	<-arrived
	close(answer)
	if got, err := io.ReadAll(c); !strings.HasPrefix(string(got), "HTTP/1.1 200 OK\r\n") || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// Aborts at every offset of a request and of an answer leave nothing behind,
// and no answer that was cut looks whole.
func TestBridgeSurvivesAborts(t *testing.T) {
	const request = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nabcde\r\n3;x\r\nfgh\r\n0\r\nX-A: 1\r\n\r\n"
	w := newWorld(t, http2.Config{}, endpoint(t, func(p *peer, e event) {
		if !e.end {
			return
		}
		p.headers(e.stream, false, ":status", "200")
		p.data(e.stream, false, "hello")
		if rand.IntN(2) == 0 {
			p.reset(e.stream, x.ErrCodeInternal)
		} else {
			p.headers(e.stream, true, "x-a", "1")
		}
	}))
	before := descriptors()
	for range 5 {
		for offset := range len(request) {
			c := w.dial()
			_, _ = io.WriteString(c, request[:offset])
			if rand.IntN(2) == 0 {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
			if got, err := w.say(request); err == nil && !strings.HasSuffix(got, "0\r\nx-a: 1\r\n\r\n") {
				t.Fatalf("a clean end of %q", got)
			}
		}
	}
	eventually(t, "every connection is over", func() bool { return w.conns.Load() == 0 })
	eventually(t, "the descriptors are back", func() bool { return descriptors() <= before+8 })
}

// descriptors counts this process's open files.
func descriptors() int {
	all, _ := os.ReadDir("/proc/self/fd")
	return len(all)
}

// B49: a head that does not become whole, and a body that does not go on, end
// their connections.
func TestBridgeEndsSlowClients(t *testing.T) {
	for _, raw := range []string{"", "GET / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"} {
		w := newWorld(t, http2.Config{Limits: limits.Limits{HeadTimeout: time.Millisecond, BodyTimeout: time.Millisecond}}, endpoint(t, hello))
		if got, err := w.say(raw); got != "" || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q got %q, %v", raw, got, err)
		}
	}
}

// A proxy that drains says so with each answer; one that quiesces closes idle
// connections, and not before they have been idle for two seconds.
func TestBridgeDrains(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, hello))
	ask := func(c io.ReadWriter) *http.Response {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = body(t, res)
		return res
	}
	idle, used := w.dial(), w.dial()
	if ask(idle).Close || ask(used).Close {
		t.Error("closed before the drain")
	}
	w.engine.Drain()
	if late := w.dial(); !ask(used).Close || !ask(late).Close {
		t.Error("no goodbye")
	}
	began := time.Now()
	w.engine.Quiesce()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF || time.Since(began) < time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// A port that is gone refuses and closes, so that the client comes again.
func TestBridgeLeavesPortsThatAreGone(t *testing.T) {
	w := newWorld(t, http2.Config{}, endpoint(t, hello))
	c := w.dial()
	r := bufio.NewReader(c)
	for _, want := range []int{200, 503} {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != want || res.Close != (want == 503) {
			t.Fatalf("%v, %v; want %d", res, err, want)
		}
		_ = body(t, res)
		w.protocol = "http"
		w.serve()
	}
}
