package http1_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

const handshake = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n"

// echoes switches to WebSocket and sends back what it gets.
func echoes(hello string) func(*net.TCPConn, *bufio.Reader) {
	return func(c *net.TCPConn, in *bufio.Reader) {
		raw, _, err := readRaw(in)
		if err != nil || !strings.Contains(raw, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n") {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"+hello)
		_, _ = io.Copy(c, in)
		_ = c.CloseWrite()
	}
}

// B17: no byte is lost at the switch, whoever sends it with the handshake, and
// the bytes stay as they are, whatever their number.
func TestB17WebSocketIsTransparent(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		w := newWorld(t, http1.Config{}, newOrigin(t, echoes("hello")).at)
		sent := make([]byte, size)
		for i := range sent {
			sent[i] = byte(rand.Uint32())
		}
		c := w.dial()
		early := min(size, 1000)
		go func() {
			_, _ = c.Write(append([]byte(handshake), sent[:early]...))
			_, _ = c.Write(sent[early:])
			_ = c.CloseWrite()
		}()
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Connection") != "Upgrade" {
			t.Fatalf("%d bytes: %+v, %v", size, res, err)
		}
		got, err := io.ReadAll(in)
		if err != nil || !bytes.Equal(got, append([]byte("hello"), sent...)) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		eventually(t, "the connection is over", func() bool { return w.conns.Load() == 0 })
	}
}

// B17: an abort of either side ends the other, and nothing stays.
func TestB17WebSocketAborts(t *testing.T) {
	abort := make(chan *net.TCPConn, 1)
	o := newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
		abort <- c
		echoes("")(c, in)
	})
	w := newWorld(t, http1.Config{}, o.at)
	before := descriptors()
	for n := range much(10_000, 300) {
		c := dial(t, w.at)
		_, _ = io.WriteString(c, handshake+"early")
		if n%3 == 0 {
			_ = c.SetLinger(0)
			_ = c.Close()
			<-abort
			continue
		}
		in := bufio.NewReader(c)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 101 {
			t.Fatal(err)
		}
		server := <-abort
		if n%3 == 1 {
			_ = server.SetLinger(0)
			_ = server.Close()
			_, _ = io.Copy(io.Discard, in)
		}
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	eventually(t, "every connection is over", func() bool { return w.conns.Load() == 0 && o.open.Load() == 0 })
	eventually(t, "the descriptors are back", func() bool { return descriptors() <= before+2 })
}

// B15, B16: only what was asked for is switched to.
func TestB16NoTunnelWithoutAnEqualToken(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
	} {
		w := newWorld(t, http1.Config{}, newOrigin(t, replies(answer, false)).at)
		got := w.ask(handshake + "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if s := statuses(got); len(s) != 2 || s[0] != "502" || strings.Contains(got, "101") {
			t.Errorf("%q: got %q", answer, got)
		}
	}
}

// A side that is reset after it ended its stream has nothing more to be read of:
// the tunnel ends all the same.
func TestAResetBehindAHalfCloseEndsTheTunnel(t *testing.T) {
	for _, by := range []string{"client", "endpoint"} {
		half, reset := make(chan struct{}), make(chan struct{})
		w := newWorld(t, http1.Config{}, newOrigin(t, func(c *net.TCPConn, in *bufio.Reader) {
			_, _, _ = readRaw(in)
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			if by == "client" {
				_, _ = io.Copy(io.Discard, in)
				close(half)
				<-reset
				<-t.Context().Done()
				return
			}
			_ = c.CloseWrite()
			<-reset
			_ = c.SetLinger(0)
		}).at)
		c := w.dial()
		_, _ = io.WriteString(c, handshake)
		in := bufio.NewReader(c)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 101 {
			t.Fatal(res, err)
		}
		if by == "client" {
			_ = c.CloseWrite()
			<-half
			_ = c.SetLinger(0)
			_ = c.Close()
		} else {
			_, _ = io.Copy(io.Discard, in)
		}
		close(reset)
		eventually(t, "the tunnel is over", func() bool { return w.conns.Load() == 0 })
	}
}
