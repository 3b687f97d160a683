package nodeproxy

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/l4"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// listener is one open listening address.
type listener struct {
	close func()
	udp   *l4.UDP // nil for TCP
}

// open listens on an address. The caller holds the lock.
func (p *Proxy) open(key upstream.Key) (*listener, error) {
	if key.Transport == mesh.UDP {
		return p.openUDP(key)
	}
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	l, err := config.Listen(context.Background(), "tcp", address(key.Listen))
	if err != nil {
		return nil, err
	}
	p.running.Go(func() { p.accept(l.(*net.TCPListener), key) })
	return &listener{close: func() { _ = l.Close() }}, nil
}

// How long accept waits after an error, at first and at most.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// accept takes connections until the listener is closed. Any other error (no
// file descriptor left, a connection that was aborted in the queue) passes.
func (p *Proxy) accept(l *net.TCPListener, at upstream.Key) {
	pause := shortestPause
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.config.Log.Warn().Err(err).Stringer("listen", at.Listen).Msg("accepting a connection failed; going on")
			p.wait(pause)
			pause = min(2*pause, longestPause)
			continue
		}
		pause = shortestPause
		p.conns.add(c)
		go p.serve(c, at)
	}
}

// wait lets time pass, less where the proxy ends.
func (p *Proxy) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.life.Done():
	}
}

// serve sees one connection to its end, or hands it to the HTTP engine. A fault
// costs this connection only.
func (p *Proxy) serve(c *net.TCPConn, at upstream.Key) {
	handed := false
	defer func() {
		if fault := recover(); fault != nil {
			p.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a connection failed by a fault of the proxy")
			l4.Reset(c)
		}
		if !handed {
			p.conns.remove(c)
		}
	}()
	snapshot := p.introduce(at, l4.Address(c.RemoteAddr()))
	call := l4.Call{Snapshot: snapshot, Route: snapshot.Route(at), At: at, Client: c}
	if call.Route == nil {
		p.tcp.Refuse(call, upstream.NoRoute)
		return
	}
	first, kind := p.begin(call)
	if kind != l4.HTTP1 && kind != l4.HTTP2 {
		return
	}
	handed = true
	client, ended := l4.Address(c.RemoteAddr()), func() { p.conns.remove(c) }
	if kind == l4.HTTP2 || call.Route.Port.Protocol == mesh.HTTP2 {
		p.http2.Serve(http2.Conn{TCPConn: c, First: first, HTTP1: kind == l4.HTTP1, At: at, Client: client, Ended: ended})
	} else {
		p.http1.Serve(http1.Conn{TCPConn: c, First: first, At: at, Client: client, Ended: ended})
	}
}

// begin finds out what a connection carries. Unless that is HTTP, the
// connection has ended when begin returns.
func (p *Proxy) begin(call l4.Call) (first []byte, kind l4.Kind) {
	switch call.Route.Port.Protocol {
	case mesh.HTTP, mesh.HTTP2:
		first, kind, err := l4.ReadHTTP(call.Client, p.config.Limits.HeadTimeout)
		if err != nil {
			_ = call.Client.Close()
		}
		return first, kind
	case mesh.Opaque:
		p.tcp.Relay(p.life, call, nil)
		return nil, l4.Opaque
	default:
		return p.tcp.Detect(p.life, call)
	}
}
