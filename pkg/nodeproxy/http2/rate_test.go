package http2_test

import (
	"io"
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
