package http1_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// pour writes until nobody takes it any more, and counts.
func pour(to io.Writer, count *atomic.Int64) {
	for piece := strings.Repeat("x", 64<<10); ; {
		n, err := io.WriteString(to, piece)
		count.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// deaf is an origin that reads nothing until it is released.
func deaf(t *testing.T) (o *origin, release func()) {
	over := make(chan struct{})
	return newOrigin(t, func(*net.TCPConn, *bufio.Reader) { <-over }), func() { close(over) }
}

// B49: it is the endpoint that takes nothing of a body, so the client is told,
// and not counted as gone.
func TestAnEndpointThatTakesNothing(t *testing.T) {
	o, release := deaf(t)
	w := newWorld(t, http1.Config{Limits: limits.Limits{BodyTimeout: 100 * time.Millisecond, BodyRate: 1}}, o.at)
	defer release()
	c := w.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
	var sent atomic.Int64
	poured := make(chan struct{})
	go func() {
		pour(c, &sent)
		close(poured)
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusGatewayTimeout || res.Header.Get("weft-reason") != "upstream-timeout" {
		t.Errorf("%v, %v", res, err)
	}
	_ = c.Close()
	<-poured
}

// B48: what a receiver does not take is held back from its sender: a stalled
// connection holds a bounded amount, whichever side stalls.
func TestB48AStalledConnectionHoldsLittle(t *testing.T) {
	const stalled, most = 20, 160 << 10
	for name, request := range map[string]string{
		"client":   "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"endpoint": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			o, release := deaf(t)
			if name == "client" {
				o = newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
					_, _, _ = readRaw(in)
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
					pour(c, &sent)
				})
			}
			w := newWorld(t, http1.Config{}, o.at)
			defer release()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range stalled {
				c := w.dial()
				_ = c.SetLinger(0)
				_, _ = io.WriteString(c, request)
				if name == "endpoint" {
					poured := make(chan struct{})
					go func() {
						pour(c, &sent)
						close(poured)
					}()
					t.Cleanup(func() { _ = c.Close(); <-poured })
				}
			}
			eventually(t, "all have connected", func() bool { return o.conns.Load() == stalled })
			quiet, last := 0, int64(0)
			eventually(t, "nothing moves any more", func() bool {
				now := sent.Load()
				if quiet++; now != last || now == 0 {
					quiet, last = 0, now
				}
				return quiet > 200
			})
			runtime.GC()
			runtime.ReadMemStats(&after)
			origins := int64(stalled * 128 << 10) // what newOrigin reads into
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc) - origins; grown > stalled*most {
				t.Errorf("%d stalled connections hold %d KiB", stalled, grown>>10)
			} else {
				t.Logf("%d stalled connections hold %d KiB; %d KiB were sent", stalled, grown>>10, last>>10)
			}
		})
	}
}
