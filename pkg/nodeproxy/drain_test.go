package nodeproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"golang.org/x/net/http2"
)

// TestDrainLosesNoRequest: clients that reuse connections, as fast as they can,
// while the proxy drains. When its listener is closed they go elsewhere, as
// kube-proxy would send them.
func TestDrainLosesNoRequest(t *testing.T) {
	each(t, ways, func(t *testing.T, way way) {
		origin := backend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
		leaving := newWorld(t, nodeproxy.Config{DrainDelay: 200 * time.Millisecond})
		staying := newWorld(t, nodeproxy.Config{})
		old, next := leaving.service("orders", way.port, origin), staying.service("orders", way.port, origin)
		leaving.publish()
		staying.publish()
		var moved atomic.Bool
		var done atomic.Int32
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 4 {
			c := client(t, way.http2)
			c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				to := old
				if moved.Load() {
					to = next
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", to)
			}
			wg.Go(func() {
				for ctx.Err() == nil {
					res, err := c.Post("http://orders.shop.mesh", "text/plain", nil)
					if err != nil {
						t.Errorf("a request was lost: %v", err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					if res.StatusCode != 200 {
						t.Errorf("%v: status %d", way, res.StatusCode)
					}
					done.Add(1)
				}
			})
		}
		eventually(t, "the clients are busy", func() bool { return done.Load() > 20 })
		// The news of the drain spreads before the delay is over.
		timer := time.AfterFunc(100*time.Millisecond, func() { moved.Store(true) })
		leaving.drain(10 * time.Second)
		timer.Stop()
		before := done.Load()
		eventually(t, "the clients go on elsewhere", func() bool { return done.Load() > before+20 })
		stop()
		wg.Wait()
	})
}

// TestDrainSaysGoodbye: each HTTP/1 answer is the last of its connection, also
// on connections that come while the proxy drains.
func TestDrainSaysGoodbye(t *testing.T) {
	each(t, []string{"http", "http2"}, drainSaysGoodbye)
}

func drainSaysGoodbye(t *testing.T, port string) {
	w := newWorld(t, nodeproxy.Config{DrainDelay: 300 * time.Millisecond})
	at := w.service("orders", port, backend(t, func(http.ResponseWriter, *http.Request) {}))
	w.publish()
	open := dial(t, at)
	r := bufio.NewReader(open)
	ask := func(c net.Conn, r *bufio.Reader) *http.Response {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if ask(open, r).Close {
		t.Fatal("the connection is closed before the drain")
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		w.drain(10 * time.Second)
	}()
	// New connections are told so as soon as the drain has begun.
	eventually(t, "new connections are told to close", func() bool {
		c := dial(t, at)
		return ask(c, bufio.NewReader(c)).Close
	})
	if !ask(open, r).Close {
		t.Error("an open connection is not told to close")
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the goodbye: %v; want the end", err)
	}
	<-drained
}

// TestDrainSendsGoAway at once on an HTTP/2 connection that is idle, and with
// the first answer on one that comes later. Streams in flight are finished.
func TestDrainSendsGoAway(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{DrainDelay: 300 * time.Millisecond})
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	at := w.service("orders", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	}))
	w.publish()
	idle := newFramer(t, at)
	slow := make(chan error, 1)
	go func() {
		res, err := client(t, true).Get("http://" + at + "/slow")
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		slow <- err
	}()
	<-arrived
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		w.drain(10 * time.Second)
	}()
	idle.until(t, http2.FrameGoAway)
	late := newFramer(t, at)
	late.get(t)
	late.until(t, http2.FrameGoAway)
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	<-drained
}

// TestDrainResetsWhatIsLeft once the context ends resets what is left: an opaque
// connection, a half-open one, a WebSocket, one that is still silent, and a
// stream of HTTP/2.
func TestDrainResetsWhatIsLeft(t *testing.T) {
	w := newWorld(t, nodeproxy.Config{})
	db := w.service("db", "tcp", tcpBackend(t, echo))
	half := w.service("half", "tcp", tcpBackend(t, func(c *net.TCPConn) {
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}))
	chat := w.service("chat", "http", upgrader(t, func(c *net.TCPConn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }))
	hangs := w.service("hangs", "http", backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	w.publish()
	open := []*net.TCPConn{dial(t, db), dial(t, half), dial(t, chat), dial(t, hangs), dial(t, hangs)}
	_, _ = io.WriteString(open[0], "x")
	_, _ = io.ReadFull(open[0], make([]byte, 1))
	_, _ = open[1].Read(make([]byte, 1)) // the server's end
	_, _ = io.WriteString(open[2], handshake)
	_, _ = open[2].Read(make([]byte, 1000))
	_, _ = io.WriteString(open[3], "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	_, _ = open[3].Read(make([]byte, 1000))
	multiplexed := newFramer(t, hangs)
	multiplexed.get(t)
	multiplexed.until(t, http2.FrameHeaders)
	w.drained = true
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.proxy.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v; want that time was over", err)
	}
	for i, c := range append(open, multiplexed.conn) {
		if _, err := io.WriteString(c, "x"); err == nil {
			_, err = io.ReadAll(c)
			if err == nil && i != 1 && c != multiplexed.conn { // whose stream has not ended
				t.Errorf("connection %d ended cleanly; want a reset", i)
			}
		}
	}
}

// TestDrainClosesIdleConnections: a client that keeps a connection and says
// nothing does not hold up the drain.
func TestDrainClosesIdleConnections(t *testing.T) {
	each(t, []bool{false, true}, func(t *testing.T, http2 bool) {
		w := newWorld(t, nodeproxy.Config{})
		at := w.service("orders", "http", backend(t, func(http.ResponseWriter, *http.Request) {}))
		w.publish()
		get(t, client(t, http2), "http://"+at)
		w.drain(10 * time.Second)
	})
}

// framer speaks HTTP/2 by hand.
type framer struct {
	*http2.Framer
	conn *net.TCPConn
}

func newFramer(t *testing.T, at string) *framer {
	t.Helper()
	c := dial(t, at)
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := &framer{http2.NewFramer(c, c), c}
	_ = f.WriteSettings()
	f.until(t, http2.FrameSettings)
	_ = f.WriteSettingsAck()
	return f
}

// get sends a request on stream 1, with static HPACK indices only.
func (f *framer) get(t *testing.T) {
	t.Helper()
	block := append([]byte{0x82, 0x86, 0x84, 0x01, 0x01}, 'h') // GET, http, /, :authority h
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// until reads frames until one of a type comes.
func (f *framer) until(t *testing.T, kind http2.FrameType) {
	t.Helper()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("waiting for %v: %v", kind, err)
		}
		if frame.Header().Type == kind {
			return
		}
	}
}
