package local

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// echoHTTP serves HTTP/1.1 and h2c: what arrived stands in the headers of the
// answer, and the body comes back. /ws is a WebSocket that echoes.
func echoHTTP(t *testing.T, version string) netip.AddrPort {
	t.Helper()
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echoWebSocket(w, r)
			return
		}
		h := w.Header()
		h.Set("Version", version)
		h.Set("Seen-Proto", r.Proto)
		h.Set("Seen-Host", r.Host)
		h.Set("Seen-Forwarded", fmt.Sprint(r.Header.Values("X-Forwarded-For")))
		h.Set("Seen-Hop", r.Header.Get("Keep-Alive")+r.Header.Get("X-Named"))
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = w.Write(body) // a caller that is gone is its own test's matter
		}
	}
	return serveHTTP(t, handler)
}

// serveHTTP serves HTTP/1.1 and h2c.
func serveHTTP(t *testing.T, handler http.HandlerFunc) netip.AddrPort {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return addrPort(server.Listener.Addr())
}

func echoWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // the answer says it
	}
	defer conn.CloseNow()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// serveGRPC is the gRPC project's own interoperability server.
func serveGRPC(t *testing.T) netip.AddrPort {
	t.Helper()
	listener := listenTCP(t)
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return addrPort(listener.Addr())
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// serveTCP hands each connection to a function and waits for all of them.
func serveTCP(t *testing.T, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	listener := listenTCP(t)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return addrPort(listener.Addr())
}

// echoUDP sends each datagram back with a word before it.
func echoUDP(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.WriteTo(append([]byte("echo "), buffer[:n]...), from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return addrPort(conn.LocalAddr())
}
