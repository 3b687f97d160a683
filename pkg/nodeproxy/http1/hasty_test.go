package http1_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// An endpoint may answer a request in the middle of its body and reset the
// connection, as one does that closes it unread. The answer arrives, though the
// reset may be told to who sends the body before anybody hears of the answer.
func TestAnAnswerBeforeAResetArrives(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
		}
		_, _ = in.Peek(1 << 10)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		_ = c.SetLinger(0)
	})
	w := newWorld(t, http1.Config{}, o.at)
	piece := strings.Repeat("x", 1<<10)
	for n := range much(20_000, 200) {
		c := w.dial()
		go func() {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
			for {
				if _, err := io.WriteString(c, piece); err != nil {
					return
				}
			}
		}()
		line, err := bufio.NewReader(c).ReadString('\n')
		if !strings.Contains(line, " 413 ") {
			t.Fatalf("request %d: got %q, %v", n, line, err)
		}
		_ = c.Close()
	}
}
