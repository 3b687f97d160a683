package http1_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// refuses answers in the middle of a body and resets the connection, as one does
// that closes it unread.
func refuses(tcp *net.TCPConn, c io.ReadWriter) {
	in := bufio.NewReader(c)
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return
		}
	}
	_, _ = in.Peek(1 << 10)
	_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
	_ = tcp.SetLinger(0)
}

// uploads sends a body without end, and reads the status.
func (w *world) uploads() (status string, err error) {
	c := w.dial()
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
		for piece := strings.Repeat("x", 1<<10); ; {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	}()
	return bufio.NewReader(c).ReadString('\n')
}

// The answer arrives, though the reset may be told to who sends the body before
// anybody hears of the answer.
func TestAnAnswerBeforeAResetArrives(t *testing.T) {
	w := newWorld(t, http1.Config{}, newOrigin(t, func(c *net.TCPConn, _ *bufio.Reader) { refuses(c, c) }).at)
	for n := range much(20_000, 200) {
		if got, err := w.uploads(); !strings.Contains(got, " 413 ") {
			t.Fatalf("request %d: got %q, %v", n, got, err)
		}
	}
}

// So it does through TLS, where the reset is behind the socket.
func TestAnAnswerBeforeAResetArrivesOverTLS(t *testing.T) {
	ca, certificate := identity(t)
	o := newOrigin(t, func(c *net.TCPConn, _ *bufio.Reader) {
		refuses(c, tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*certificate}}))
	})
	w := newWorld(t, http1.Config{})
	w.secured(ca, o.at)
	for n := range much(20_000, 200) {
		if got, err := w.uploads(); !strings.Contains(got, " 413 ") {
			t.Fatalf("request %d: got %q, %v", n, got, err)
		}
	}
}
