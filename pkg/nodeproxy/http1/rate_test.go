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

// slow is one that allows for pauses of the machine.
var slow = limits.Limits{BodyTimeout: 400 * time.Millisecond, BodyRate: 1 << 20}

// drips is a client that sends a piece of a body every 10 ms, until it is cut
// off or for some time. gap is the longest time between two pieces.
func (w *world) drips(begin, piece string, most time.Duration) (cut bool, gap time.Duration) {
	c := w.dial()
	_, _ = io.WriteString(c, begin)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for last := began; !cut && time.Since(began) < most; {
		<-ticker.C
		gap, last = max(gap, time.Since(last)), time.Now()
		_, err := io.WriteString(c, piece)
		cut = err != nil || w.conns.Load() == 0
	}
	return cut, gap
}

// B49: a body whose length was said does not come byte by byte for ever, and no
// answer is taken so. A stream that nobody said the length of may be as slow as
// it likes.
func TestB49SlowBodies(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\n"
	sink := func(_ *net.TCPConn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) }
	for name, begin := range map[string]string{
		"held":      head + "Content-Length: 1000\r\n\r\n",
		"streamed":  head + "Content-Length: 1000000\r\n\r\n",
		"one chunk": head + "Transfer-Encoding: chunked\r\n\r\nffff\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, http1.Config{Limits: fast}, newOrigin(t, sink).at)
			if cut, _ := w.drips(begin, "x", patience); !cut {
				t.Error("it is taken for ever")
			}
		})
	}
	t.Run("many chunks", func(t *testing.T) {
		w := newWorld(t, http1.Config{Limits: slow}, newOrigin(t, sink).at)
		for range 5 { // a machine that stops for a while stops the client, too
			cut, gap := w.drips(head+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 3*slow.BodyTimeout)
			if !cut {
				return
			}
			if gap < slow.BodyTimeout/4 {
				t.Fatalf("it was cut off, with a piece every %v", gap)
			}
		}
		t.Error("the machine never ran for long enough")
	})
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
