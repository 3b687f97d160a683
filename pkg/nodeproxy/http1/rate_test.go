package http1_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// fast is a rate that nobody reaches in these tests: 100 KiB in 100 ms.
var fast = limits.Limits{BodyTimeout: 100 * time.Millisecond, BodyRate: 1 << 20}

// B49: a body whose length was said does not come byte by byte for ever, and no
// answer is taken so. A stream that nobody said the length of may be as slow as
// it likes.
func TestB49SlowBodies(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\n"
	for name, test := range map[string]struct {
		begin, drip string
		cut         bool
	}{
		"held":        {head + "Content-Length: 1000\r\n\r\n", "x", true},
		"streamed":    {head + "Content-Length: 1000000\r\n\r\n", "x", true},
		"one chunk":   {head + "Transfer-Encoding: chunked\r\n\r\nffff\r\n", "x", true},
		"many chunks": {head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, http1.Config{Limits: fast}, newOrigin(t, func(_ *net.TCPConn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) }).at)
			c := w.dial()
			_, _ = io.WriteString(c, test.begin)
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			began, cut := time.Now(), false
			for !cut && time.Since(began) < time.Second {
				<-ticker.C
				_, err := io.WriteString(c, test.drip)
				cut = err != nil || w.conns.Load() == 0
			}
			if cut != test.cut {
				t.Errorf("cut: %v", cut)
			}
		})
	}
}

func TestB49SlowReaders(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		_, _, _ = readRaw(in)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
		for piece := strings.Repeat("x", 1<<20); ; {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	})
	w := newWorld(t, http1.Config{Limits: limits.Limits{BodyTimeout: 500 * time.Millisecond, BodyRate: 1 << 20}}, o.at)
	c := w.dial()
	_ = c.SetReadBuffer(4 << 10)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); w.conns.Load() > 0; <-ticker.C {
		if _, err := c.Read(make([]byte, 1<<10)); err != nil && w.conns.Load() > 0 || time.Now().After(deadline) {
			t.Fatal("it is served for ever, ", err)
		}
	}
}
