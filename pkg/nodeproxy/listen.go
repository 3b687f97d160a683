package nodeproxy

import (
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
	return p.openTCP(key)
}

// keepAlive notices a client that is gone without a word after Idle and Count
// times Interval.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
}

// How long accepting waits after an error, at first and at most.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// wait lets time pass, less where the proxy ends.
func (p *Proxy) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.life.Done():
	}
}

// tcpVisitor is one of package net's.
type tcpVisitor struct{ *net.TCPConn }

func (v tcpVisitor) reset() { l4.Reset(v.TCPConn) }

// serve sees one connection, which is registered, to its end, or hands it to an
// HTTP engine. The Snapshot is the one to which the client was introduced. A fault
// costs this connection only.
func (p *Proxy) serve(c *net.TCPConn, at upstream.Key, snapshot *upstream.Snapshot) {
	visitor, handed := tcpVisitor{c}, false
	defer func() {
		if fault := recover(); fault != nil {
			p.faulted(fault)
			l4.Reset(c)
		}
		if !handed {
			p.conns.remove(visitor)
		}
	}()
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
	p.hand(call.Route, kind, http1.Conn{Socket: c, First: first, At: at, Client: l4.Address(c.RemoteAddr()), Ended: func() { p.conns.remove(visitor) }})
}

// hand gives a connection to the engine of its version and its Service's.
func (p *Proxy) hand(r *upstream.Route, kind l4.Kind, c http1.Conn) {
	if kind == l4.HTTP2 || r.Port.Protocol == mesh.HTTP2 {
		p.http2.Serve(http2.Conn{Socket: c.Socket, First: c.First, HTTP1: kind == l4.HTTP1, At: c.At, Client: c.Client, Ended: c.Ended})
	} else {
		p.http1.Serve(c)
	}
}

// faulted tells of a fault of the proxy.
func (p *Proxy) faulted(fault any) {
	p.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a connection failed by a fault of the proxy")
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
