package http1_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
)

// An endpoint that switches to WebSocket before it has taken the whole request does
// not speak HTTP: what is left of the request would be lost, or the tunnel's bytes
// taken for it.
func TestAnEndpointThatSwitchesTooEarly(t *testing.T) {
	narrow := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { shrink(t, int(fd), syscall.SO_RCVBUF) })
	}}
	l, err := narrow.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t, http1.Config{}, l.Addr().String())
	c := w.dial()
	in := bufio.NewReader(c)
	answer := func(want int) {
		t.Helper()
		if got, err := http.ReadResponse(in, nil); err != nil || got.StatusCode != want {
			t.Fatalf("got %+v, %v; want %d", got, err, want)
		}
	}
	_, _ = io.WriteString(c, get(""))
	o, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	from := bufio.NewReaderSize(o, 16)
	if _, _, err := readRaw(from); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(o, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	answer(200)
	for fd := range 1 << 10 {
		if a, err := syscall.Getpeername(fd); err == nil && is(a, l.Addr()) {
			shrink(t, fd, syscall.SO_SNDBUF)
		}
	}
	go func() { // what is too large to be taken at once
		_, _ = io.WriteString(c, strings.Replace(handshake, "\r\n\r\n", "\r\nX-Long: "+strings.Repeat("x", 60<<10)+"\r\n\r\n", 1))
	}()
	if _, err := from.ReadByte(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(o, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
	answer(502)
}

func shrink(t *testing.T, fd, buffer int) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, buffer, 4<<10); err != nil {
		t.Error(err)
	}
}

// is tells whether two addresses of IPv4 are the same.
func is(a syscall.Sockaddr, b net.Addr) bool {
	v4, ok := a.(*syscall.SockaddrInet4)
	return ok && netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port)).String() == b.String()
}
