package http1_test

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
)

// A chunk size that is written anew and comes at once with a head that fills
// what is gathered is not lost.
func TestAChunkSizeBehindALongHeadIsKept(t *testing.T) {
	for _, size := range []string{"5", "05", "5;a=b"} {
		for _, long := range []int{10, 5000} {
			o := newOrigin(t, replies("HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", long)+"\r\nTransfer-Encoding: chunked\r\n\r\n"+size+"\r\nhello\r\n0\r\n\r\n", true))
			w := newWorld(t, http1.Config{}, o.at)
			got := w.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			if _, body, _ := strings.Cut(got, "\r\n\r\n"); body != "5\r\nhello\r\n0\r\n\r\n" {
				t.Errorf("size %q, head of %d: body %q", size, long, body)
			}
		}
	}
}

// An answer whose end only the end of the connection tells is broken off by a
// reset where its client takes it too slowly: it must not look whole.
func TestAnAnswerThatIsCutForASlowClientDoesNotLookWhole(t *testing.T) {
	const size = 32 << 20 // more than the kernel takes
	body := strings.Repeat("x", size)
	for name, answer := range map[string]string{
		"chunked for an HTTP/1.0 client": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(size, 16) + "\r\n" + body + "\r\n0\r\n\r\n",
		"closed by the endpoint":         "HTTP/1.1 200 OK\r\n\r\n" + body,
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, replies(answer, true))
			w := newWorld(t, http1.Config{Limits: limits.Limits{BodyTimeout: 300 * time.Millisecond, BodyRate: 1}}, o.at)
			c := w.dial()
			_, _ = io.WriteString(c, "GET / HTTP/1.0\r\nHost: h\r\n\r\n")
			eventually(t, "the connection is on", func() bool { return w.conns.Load() == 1 })
			eventually(t, "it is over", func() bool { return w.conns.Load() == 0 })
			if got, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) || len(got) >= size {
				t.Errorf("%d bytes of %d and %v", len(got), size, err)
			}
		})
	}
}
