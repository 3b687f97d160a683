package http2_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

// fast is a rate that nobody reaches in these tests.
var fast = limits.Limits{BodyTimeout: 100 * time.Millisecond, BodyRate: 1 << 20}

// B49: an upload whose length was said does not come byte by byte for ever. One
// without, as all of gRPC, may be idle.
func TestB49SlowUploads(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: fast}, endpoint(t, func(*peer, event) {}))
	c := w.hostile()
	c.ask(1, false, "content-length", "100000")
	c.ask(3, false)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	reset := func(stream uint32) bool {
		return len(c.find(func(e event) bool { return e.kind == x.FrameRSTStream && e.stream == stream })) > 0
	}
	for deadline := time.Now().Add(10 * time.Second); !reset(1); <-ticker.C {
		c.data(1, false, "x")
		c.data(3, false, "x")
		if time.Now().After(deadline) {
			t.Fatal("it is taken for ever")
		}
	}
	if reset(3) {
		t.Error("a stream without a length was reset")
	}
}

func TestBridgeB49SlowUploads(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: fast}, endpoint(t, func(*peer, event) {}))
	c := w.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(10 * time.Second); w.conns.Load() > 0; <-ticker.C {
		_, _ = io.WriteString(c, "x")
		if time.Now().After(deadline) {
			t.Fatal("it is taken for ever")
		}
	}
}

// short is a time in which nothing moves in these tests.
var short = limits.Limits{BodyTimeout: 100 * time.Millisecond, BodyRate: 1}

// B49: a stream whose client gives it no window ends, at the endpoint too, and
// is counted; those beside it go on.
func TestB49AClientThatGivesNoWindow(t *testing.T) {
	var cancelled atomic.Int64
	w := newWorld(t, http2.Config{Limits: short}, endpoint(t, func(p *peer, e event) {
		switch {
		case e.kind == x.FrameHeaders:
			p.headers(e.stream, false, ":status", "200")
			p.data(e.stream, false, strings.Repeat("x", 10000))
		case e.kind == x.FrameRSTStream && e.code == x.ErrCodeCancel:
			cancelled.Add(1)
		}
	}))
	c := w.hostile(x.Setting{ID: x.SettingInitialWindowSize, Val: 10})
	c.ask(1, true)
	c.ask(3, true)
	c.write(func() error { return c.framer.WriteWindowUpdate(3, 10000) })
	if code := c.wasReset(1); code != x.ErrCodeCancel {
		t.Errorf("reset with %v", code)
	}
	eventually(t, "the endpoint is told", func() bool { return cancelled.Load() == 1 })
	eventually(t, "it is counted", func() bool { return w.refused("client-gone") == 1 })
	if all, _ := c.received(3); len(all) != 10000 || len(c.find(func(e event) bool { return e.kind == x.FrameRSTStream && e.stream == 3 })) > 0 {
		t.Errorf("the stream beside it got %d bytes, or was reset", len(all))
	}
}

// stingy is an endpoint that takes 10 bytes of each body. It answers what has no
// body, behind its settings, and the others at once with a status, or not at all.
func stingy(t *testing.T, status string) string {
	return endpoint(t, func(p *peer, e event) {
		switch {
		case e.kind == x.FrameHeaders && e.end:
			p.headers(e.stream, true, ":status", "204")
		case e.kind == x.FrameHeaders && status != "":
			p.headers(e.stream, true, ":status", status)
		}
	}, x.Setting{ID: x.SettingInitialWindowSize, Val: 10})
}

// uploads asks stream 1 first, which tells that the endpoint's settings are
// known, and begins an upload on stream 3.
func (w *world) uploads(end bool, more ...string) *peer {
	w.Helper()
	c := w.hostile()
	c.ask(1, true)
	c.answered(1)
	c.ask(3, false, more...)
	c.data(3, end, strings.Repeat("x", 10000))
	return c
}

// A request of whose body the endpoint takes nothing is answered.
func TestAnEndpointThatGivesNoWindow(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: short}, stingy(t, ""))
	if got := w.uploads(true).answered(3).fields; got[":status"] != "504" || got["weft-reason"] != "upstream-timeout" {
		t.Errorf("answered %v", got)
	}
	if got := w.uploads(false, "content-type", "application/grpc").answered(3).fields; got["grpc-status"] != "14" || got["weft-reason"] != "upstream-timeout" {
		t.Errorf("answered %v", got)
	}
	eventually(t, "both are counted", func() bool { return w.refused("upstream-timeout") == 2 })
}

func TestBridgeAnEndpointThatGivesNoWindow(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: short}, stingy(t, ""))
	c := w.dial()
	in := bufio.NewReader(c)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != http.StatusNoContent {
		t.Fatalf("%v, %v", res, err)
	}
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n"+strings.Repeat("x", 10000))
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%v, %v", res, err)
	}
}

// After an answer the client learns that the rest of its upload is not wanted.
func TestAnEndpointThatAnswersAndGivesNoWindow(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: short}, stingy(t, "413"))
	c := w.uploads(false)
	if got := c.answered(3).fields[":status"]; got != "413" {
		t.Errorf("answered %s", got)
	}
	if code := c.wasReset(3); code != x.ErrCodeNo {
		t.Errorf("reset with %v", code)
	}
}
