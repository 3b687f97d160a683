package nodeproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
)

func TestWebSocket(t *testing.T) {
	each(t, []string{"http", "kubernetes.io/ws", ""}, func(t *testing.T, protocol string) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("chat", protocol, backend(t, func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"chat"}})
			if err != nil {
				return
			}
			c.SetReadLimit(1 << 20)
			for {
				kind, content, err := c.Read(r.Context())
				if err != nil {
					return
				}
				_ = c.Write(r.Context(), kind, content)
			}
		}))
		w.publish()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "ws://"+at+"/room", &websocket.DialOptions{HTTPClient: client(t, false), Subprotocols: []string{"chat"}})
		if err != nil {
			t.Fatal(err)
		}
		if c.Subprotocol() != "chat" {
			t.Errorf("subprotocol %q", c.Subprotocol())
		}
		c.SetReadLimit(1 << 20)
		for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 19} {
			sent := bytes.Repeat([]byte("x"), size)
			if err := c.Write(ctx, websocket.MessageBinary, sent); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("protocol %q: %d bytes came back as %d, %v", protocol, size, len(got), err)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
			t.Errorf("protocol %q: close: %v", protocol, err)
		}
		eventually(t, "the upgrade is counted", func() bool {
			return w.count("weft_requests_total", map[string]string{"response_code": "101"}) == 1
		})
	})
}

// upgrader answers an upgrade, then serves the connection.
func upgrader(t *testing.T, serve func(*net.TCPConn, *bufio.Reader)) string {
	return tcpBackend(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		serve(c, r)
	})
}

const handshake = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n"

// What a client sends right with its handshake, before the answer, is not lost;
// nor is what the server sends after the client has ended its stream.
func TestWebSocketEarlyBytesAndHalfClose(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("chat", "http", upgrader(t, func(c *net.TCPConn, r *bufio.Reader) {
		content, err := io.ReadAll(r)
		fmt.Fprintf(c, "%d %v", len(content), err)
	}))
	w.publish()
	early := bytes.Repeat([]byte("e"), 3000)
	c := dial(t, at)
	if _, err := c.Write(append([]byte(handshake), early...)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v", res, err)
	}
	_ = c.CloseWrite()
	if got, _ := io.ReadAll(r); string(got) != "3000 <nil>" {
		t.Errorf("the server got %q; want 3000 bytes and a clean end", got)
	}
}

func TestWebSocketEndsWithEitherSide(t *testing.T) {
	ended := make(chan error, 1)
	w := newWorld(t, nodeproxy.Config{})
	at := w.service("chat", "http", upgrader(t, func(c *net.TCPConn, r *bufio.Reader) {
		_, err := io.ReadAll(r)
		ended <- err
	}))
	w.publish()
	c := dial(t, at)
	_, _ = io.WriteString(c, handshake)
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
	_ = c.SetLinger(0)
	_ = c.Close()
	<-ended
}
