package stdhttp

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// conn is a client's connection as net/http sees it. It hides that it is a
// *net.TCPConn, whose shortcuts would pass by the bytes read before.
type conn struct {
	net.Conn
	tcp    *net.TCPConn
	first  []byte // one reader at a time
	at     upstream.Key
	client netip.Addr
	ended  func()
	once   sync.Once
	// idleSince is when the last answer was complete, in Unix nanoseconds; 0
	// while a request runs.
	idleSince atomic.Int64
}

func newConn(c Conn) *conn {
	return &conn{Conn: c.TCPConn, tcp: c.TCPConn, first: c.First, at: c.At, client: c.Client, ended: c.Ended}
}

// Read gives what was read before, then what comes.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite ends the stream to the client.
func (c *conn) CloseWrite() error { return c.tcp.CloseWrite() }

// Close closes the connection; only the first call tells its end.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.ended)
	return err
}

// connKey is the context key of a request's *conn.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// upgraded is a connection after its HTTP has ended: what the server had read
// ahead comes first.
type upgraded struct {
	*conn
	ahead *bufio.Reader
}

// Read gives what was read ahead, then what comes.
func (u *upgraded) Read(p []byte) (int, error) {
	if u.ahead.Buffered() > 0 {
		return u.ahead.Read(p[:min(len(p), u.ahead.Buffered())])
	}
	return u.conn.Read(p)
}

// given is a listener whose connections are given to it.
type given struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newGiven() *given {
	return &given{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over, or returns false where the listener is closed.
func (g *given) give(c net.Conn) bool {
	select {
	case g.conns <- c:
		return true
	case <-g.closed:
		return false
	}
}

// Accept waits for the next connection.
func (g *given) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (g *given) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}

// Addr is nowhere in particular.
func (g *given) Addr() net.Addr { return &net.TCPAddr{} }

// How Quiesce closes idle connections.
const (
	idleLongEnough = 2 * time.Second
	idleCheckEvery = 100 * time.Millisecond
)

// idlers knows which HTTP/1 connections wait for a request.
type idlers struct {
	mu    sync.Mutex // guards conns
	conns map[*conn]struct{}
}

// add begins to watch a connection.
func (i *idlers) add(c *conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.conns == nil {
		i.conns = map[*conn]struct{}{}
	}
	i.conns[c] = struct{}{}
	ended := c.ended
	c.ended = func() {
		i.mu.Lock()
		delete(i.conns, c)
		i.mu.Unlock()
		ended()
	}
}

// observe is the server's ConnState hook.
func (i *idlers) observe(nc net.Conn, state http.ConnState) {
	c := nc.(*conn)
	if state == http.StateIdle {
		c.idleSince.Store(time.Now().UnixNano())
	} else {
		c.idleSince.Store(0)
	}
}

// closeIdle closes connections that are idle long enough, until the context ends.
func (i *idlers) closeIdle(ctx context.Context) {
	ticker := time.NewTicker(idleCheckEvery)
	defer ticker.Stop()
	for {
		for _, c := range i.waiting() {
			_ = c.Close()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (i *idlers) waiting() (out []*conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := time.Now().Add(-idleLongEnough).UnixNano()
	for c := range i.conns {
		if since := c.idleSince.Load(); since != 0 && since < before {
			out = append(out, c)
		}
	}
	return out
}
