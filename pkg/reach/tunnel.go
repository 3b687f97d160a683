package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/apimachinery/pkg/util/httpstream/spdy"
	forward "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/websocket"
)

// tunnel reaches the admin port of one pod through the API server, as `kubectl
// port-forward` does (SPDY in a WebSocket, KEP-4006), but without a port on this
// machine. It connects when it is first used, and again where that has ended. Nil
// is no tunnel.
type tunnel struct {
	config *rest.Config
	url    string // of the pod's portforward subresource

	mu   sync.Mutex // guards the rest
	conn httpstream.Connection
	next int // the number of the next stream
}

// dial opens one stream to the port.
func (t *tunnel) dial(ctx context.Context) (net.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		select {
		case <-t.conn.CloseChan(): // the API server or the node has ended it
			_ = t.conn.Close()
			t.conn = nil
		default:
		}
	}
	if t.conn == nil {
		conn, err := t.connect(ctx)
		if err != nil {
			return nil, fmt.Errorf("forwarding a port: %w", err)
		}
		t.conn = conn
	}
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(Port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(t.next))
	t.next++
	failure, err := t.conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	_ = failure.Close() // nothing is written to it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := t.conn.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	return &stream{Stream: data, failure: failure, forget: t.conn.RemoveStreams}, nil
}

// connect opens the WebSocket.
func (t *tunnel) connect(ctx context.Context) (httpstream.Connection, error) {
	transport, holder, err := websocket.RoundTripperFor(t.config)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	conn, err := websocket.Negotiate(transport, holder, request, forward.WebsocketsSPDYTunnelingPrefix+forward.PortForwardV1Name)
	if err != nil {
		return nil, err
	}
	return spdy.NewClientConnectionWithPings(portforward.NewTunnelingConnection("weft", conn), portforward.PingPeriod)
}

func (t *tunnel) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		_ = t.conn.Close() // it is not used again
	}
}

// stream is one forwarded connection. Deadlines are the matter of who asks, who
// closes it.
type stream struct {
	httpstream.Stream
	failure httpstream.Stream // on which the kubelet says why it cannot go on
	forget  func(...httpstream.Stream)
}

// kubeletError is why the kubelet cannot go on, in its words.
type kubeletError string

func (e kubeletError) Error() string { return string(e) }

// Read reads what the proxy says. Where that ends, the kubelet may have said why.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if errors.Is(err, io.EOF) {
		if why, _ := io.ReadAll(io.LimitReader(s.failure, 4096)); len(why) > 0 {
			err = kubeletError(strings.TrimSpace(string(why)))
		}
	}
	return n, err
}

// Close ends both directions.
func (s *stream) Close() error {
	err := s.Stream.Reset()
	_ = s.failure.Reset() // it goes with the other
	s.forget(s.Stream, s.failure)
	return err
}

// LocalAddr has no meaning here.
func (s *stream) LocalAddr() net.Addr { return forwarded{} }

// RemoteAddr has no meaning here.
func (s *stream) RemoteAddr() net.Addr { return forwarded{} }

// SetDeadline does nothing.
func (s *stream) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (s *stream) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// forwarded is the address of a forwarded connection.
type forwarded struct{}

// Network is how it is reached.
func (forwarded) Network() string { return "portforward" }

// String is the same.
func (forwarded) String() string { return "portforward" }
