package http2_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	x "golang.org/x/net/http2"
)

// The limits are what the configuration says, and peers are told of them.
func TestLimitsAreConfigured(t *testing.T) {
	most := limits.Limits{HeadBytes: 2 << 10, Fields: 16, Streams: 2, HeldBytes: 100 << 10}
	w := newWorld(t, http2.Config{Limits: most}, endpoint(t, func(*peer, event) {}))
	c := w.hostile()
	told := c.expect("settings", func(e event) bool { return e.kind == x.FrameSettings && !e.ack })
	for id, want := range map[x.SettingID]uint32{x.SettingMaxHeaderListSize: 2 << 10, x.SettingMaxConcurrentStreams: 2, x.SettingInitialWindowSize: 100 << 10} {
		if told.settings[id] != want {
			t.Errorf("%v is %d; want %d", id, told.settings[id], want)
		}
	}
	c.ask(1, true, "x-a", strings.Repeat("a", 2<<10))
	c.ask(3, true, strings.Split(strings.Repeat("x a ", 16), " ")[:32]...)
	for _, stream := range []uint32{1, 3} {
		if got := c.answered(stream).fields[":status"]; got != "431" {
			t.Errorf("stream %d: %s", stream, got)
		}
	}
	c.ask(5, false)
	c.ask(7, false)
	for range 7 { // a window of 100 KiB, and no less
		c.data(5, false, strings.Repeat("x", 14<<10))
	}
	c.ask(9, true)
	if code := c.wasReset(9); code != x.ErrCodeRefusedStream {
		t.Errorf("a third stream: %v", code)
	}
	if n := len(c.find(func(e event) bool { return e.kind == x.FrameRSTStream && e.stream == 5 })); n > 0 {
		t.Error("a window of less than 100 KiB")
	}
}

// A head that is as large as it may be as HTTP/1 is taken, though it is more as a
// list of HTTP/2.
func TestBridgeLimitsAreThoseOfHTTP1(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: limits.Limits{HeadBytes: 2 << 10, Fields: 16}}, endpoint(t, hello))
	head := func(fields, bytes int) string {
		start, end := "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n"+strings.Repeat("a: b\r\n", fields-4), "\r\n\r\n"
		return start + "X: " + strings.Repeat("x", bytes-len(start)-len("X: ")-len(end)) + end
	}
	for raw, want := range map[string]int{
		head(16, 2<<10): 200, head(17, 1<<10): 431, head(16, 2<<10+1): 431,
		"GET /" + strings.Repeat("x", 2000) + " HTTP/1.1\r\nHost: h\r\n\r\n": 200,
	} {
		c := w.dial()
		_, _ = io.WriteString(c, raw)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != want {
			t.Errorf("%.60q, %d bytes: %v, %v; want %d", raw, len(raw), res, err, want)
		}
	}
}

func TestBridgeLimitsAreConfigured(t *testing.T) {
	w := newWorld(t, http2.Config{Limits: limits.Limits{HeadBytes: 2 << 10, Fields: 16}}, endpoint(t, hello))
	for raw, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 2<<10) + "\r\n\r\n": 431,
		"GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: x\r\n", 17) + "\r\n":    431,
		"GET /" + strings.Repeat("x", 2<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n":        414,
		"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", 1<<10) + "\r\n\r\n": 200,
	} {
		c := w.dial()
		_, _ = io.WriteString(c, raw)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != want {
			t.Errorf("%.40q: %v, %v; want %d", raw, res, err, want)
		}
	}
}
