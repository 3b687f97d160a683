package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
	"go.uber.org/goleak"
)

// patience bounds every wait of a test.
const patience = 20 * time.Second

// world is an engine behind a listener, with one Service.
type world struct {
	testing.TB
	engine   *http1.Engine
	at       string
	key      upstream.Key
	state    upstream.Set
	snapshot atomic.Pointer[upstream.Snapshot]
	listener net.Listener
	open     sync.WaitGroup
	conns    atomic.Int64
}

func newWorld(t testing.TB, config http1.Config, endpoints ...string) *world {
	t.Helper()
	before := goleak.IgnoreCurrent()
	w := &world{TB: t}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.listener, w.at = l, l.Addr().String()
	w.key = upstream.Key{Listen: netip.MustParseAddrPort(w.at)}
	config.Current = w.snapshot.Load
	w.engine = http1.New(config)
	w.endpoints(endpoints...)
	w.open.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.engine.Quiesce()
		w.open.Wait()
		w.engine.Close()
		if _, bench := t.(*testing.B); !bench {
			goleak.VerifyNone(t, before)
		}
	})
	return w
}

func (w *world) accept() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.open.Add(1)
		w.conns.Add(1)
		w.engine.Serve(http1.Conn{
			Socket: c.(*net.TCPConn), At: w.key, Client: netip.MustParseAddr("127.0.0.1"),
			Ended: func() { w.conns.Add(-1); w.open.Done() },
		})
	}
}

// endpoints replaces what serves the Service.
func (w *world) endpoints(addresses ...string) {
	w.bind(w.mesh(addresses...))
}

// mesh is a Service with these endpoints.
func (w *world) mesh(addresses ...string) *mesh.Mesh {
	port := &mesh.Port{Number: 80, Protocol: mesh.HTTP, Listen: w.key.Listen}
	for _, a := range addresses {
		port.Endpoints = append(port.Endpoints, mesh.Endpoint{Address: netip.MustParseAddrPort(a)})
	}
	return &mesh.Mesh{Services: []*mesh.Service{{Name: mesh.Name{Namespace: "shop", Name: "orders"}, Ports: []*mesh.Port{port}}}}
}

// bind makes a mesh the one that decides.
func (w *world) bind(m *mesh.Mesh) {
	snapshot, gone := w.state.Bind(route.Compile(m))
	w.snapshot.Store(snapshot)
	w.engine.Forget(gone)
}

// dial connects to the engine.
func (w *world) dial() *net.TCPConn {
	w.Helper()
	return dial(w, w.at)
}

func dial(t testing.TB, at string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// ask sends bytes and returns all that comes until the connection is closed.
func (w *world) ask(raw string) string {
	w.Helper()
	c := w.dial()
	defer c.Close()
	go func() { _, _ = io.WriteString(c, raw) }()
	all, err := io.ReadAll(c)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		w.Fatalf("%.200q: %v; got so far %.200q", raw, err, all)
	}
	return string(all)
}

// origin is a raw server: each connection is served by a function, and closed
// when that returns.
type origin struct {
	at    string
	conns atomic.Int64 // accepted so far
	open  atomic.Int64
}

func newOrigin(t testing.TB, serve func(c *net.TCPConn, in *bufio.Reader)) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{at: l.Addr().String()}
	var running sync.WaitGroup
	var mu sync.Mutex // guards all
	all := map[net.Conn]struct{}{}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			o.conns.Add(1)
			o.open.Add(1)
			mu.Lock()
			all[c] = struct{}{}
			mu.Unlock()
			running.Go(func() {
				defer func() {
					_ = c.Close()
					o.open.Add(-1)
					mu.Lock()
					delete(all, c)
					mu.Unlock()
				}()
				serve(c.(*net.TCPConn), bufio.NewReaderSize(c, 128<<10))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range all {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return o
}

// readRaw reads one request and returns its bytes as they came, head and body.
func readRaw(in *bufio.Reader) (string, *http.Request, error) {
	var head bytes.Buffer
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			return head.String(), nil, err
		}
		head.WriteString(line)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head.Bytes())))
	if err != nil {
		return head.String(), nil, err
	}
	switch {
	case len(r.TransferEncoding) > 0:
		for !strings.HasSuffix(head.String(), "\r\n0\r\n\r\n") {
			line, err := in.ReadString('\n')
			if err != nil {
				return head.String(), nil, err
			}
			head.WriteString(line)
			if strings.HasPrefix(line, "X-") || strings.HasPrefix(line, "Grpc-") {
				line, _ = in.ReadString('\n')
				head.WriteString(line)
				return head.String(), r, nil
			}
		}
	case r.ContentLength > 0:
		if _, err := io.CopyN(&head, in, r.ContentLength); err != nil {
			return head.String(), nil, err
		}
	}
	return head.String(), r, nil
}

// mirror answers each request with its own bytes.
func mirror(c *net.TCPConn, in *bufio.Reader) {
	for {
		raw, r, err := readRaw(in)
		if err != nil {
			return
		}
		body := raw
		if r.Method == "HEAD" {
			body = ""
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(raw), body)
	}
}

// replies answers each request with given bytes, and closes where told.
func replies(raw string, closes bool) func(*net.TCPConn, *bufio.Reader) {
	return func(c *net.TCPConn, in *bufio.Reader) {
		for {
			if _, _, err := readRaw(in); err != nil {
				return
			}
			if _, err := io.WriteString(c, raw); err != nil || closes {
				return
			}
		}
	}
}

// statuses returns the status of each final response in what a client got.
func statuses(got string) (out []string) {
	for _, part := range strings.Split(got, "HTTP/1.1 ")[1:] {
		if part[0] != '1' {
			out = append(out, part[:3])
		}
	}
	return out
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("not in time: %s", what)
		}
	}
}
