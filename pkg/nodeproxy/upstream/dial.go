package upstream

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/tlsrelay"
)

// Dialer opens connections to endpoints.
type Dialer struct {
	// Timeout of one attempt, where no policy says another; zero means one second.
	Timeout time.Duration
	// Most is how many connections to one endpoint may be open at once; zero
	// means no limit.
	Most int
}

// errFull is that an endpoint has as many connections as it may.
var errFull = errors.New("as many connections to the endpoint are open as there may be")

// DialError is a connection that was not made: nothing was delivered, so the
// call may be tried elsewhere.
type DialError struct {
	Endpoint *Endpoint
	Err      error
}

// Error says which endpoint and why, in the words of package net.
func (e *DialError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *DialError) Unwrap() error { return e.Err }

// Reason is UpstreamTimeout, Overloaded, TLSFailed or ConnectFailed.
func (e *DialError) Reason() Reason {
	if errors.Is(e.Err, errFull) {
		return Overloaded
	}
	if errors.Is(e.Err, os.ErrDeadlineExceeded) || errors.Is(e.Err, context.DeadlineExceeded) {
		return UpstreamTimeout
	}
	if insecure := (*tlsError)(nil); errors.As(e.Err, &insecure) {
		return TLSFailed
	}
	return ConnectFailed
}

// Socket is a connection to an endpoint: a *net.TCPConn, or a *net.UnixConn in
// front of TLS.
type Socket interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
}

// Conn is a connection to an endpoint over which HTTP is spoken.
type Conn struct {
	Socket
	// Relay is what is behind the Socket where TLS is spoken to the endpoint,
	// else nil. It must be told when the Socket is closed.
	Relay *tlsrelay.Relay
}

// Close closes the connection.
func (c Conn) Close() error {
	err := c.Socket.Close()
	if c.Relay != nil {
		c.Relay.Close()
	}
	return err
}

// Dial opens a TCP connection to an endpoint, whatever is to be spoken over it,
// and remembers how that went. Every error is a *DialError. A connection counts
// as open until Disconnected.
func (d Dialer) Dial(ctx context.Context, e *Endpoint) (*net.TCPConn, error) {
	if err := d.admit(e); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout(e))
	defer cancel()
	c, err := connect(ctx, e)
	return c, e.dialed(ctx, err)
}

// Open opens a connection to an endpoint as its Services say, over TLS or not,
// as Dial does. protocol is HTTP's version by its name in ALPN (RFC 7301 §6).
// The Relay of TLS runs in the group, until the connection is closed.
func (d Dialer) Open(ctx context.Context, e *Endpoint, protocol string, running *sync.WaitGroup) (Conn, error) {
	if e.tls == nil {
		c, err := d.Dial(ctx, e)
		return Conn{Socket: c}, err
	}
	if err := d.admit(e); err != nil {
		return Conn{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout(e))
	defer cancel()
	c, err := connect(ctx, e)
	if err != nil {
		return Conn{}, e.dialed(ctx, err)
	}
	out, err := e.secure(ctx, c, protocol)
	if err = e.dialed(ctx, err); err == nil {
		running.Go(out.Relay.Run)
	}
	return out, err
}

// admit counts a connection that is to be opened.
func (d Dialer) admit(e *Endpoint) error {
	if n := e.connections.Add(1); d.Most > 0 && n > int64(d.Most) {
		e.Disconnected()
		return &DialError{Endpoint: e, Err: errFull}
	}
	return nil
}

// timeout is how long an attempt to connect to an endpoint may take.
func (d Dialer) timeout(e *Endpoint) time.Duration {
	if said := time.Duration(e.connect.Load()); said > 0 {
		return said
	}
	if d.Timeout == 0 {
		return time.Second
	}
	return d.Timeout
}

func connect(ctx context.Context, e *Endpoint) (*net.TCPConn, error) {
	dialer := net.Dialer{KeepAliveConfig: keepAlive()}
	c, err := dialer.DialContext(ctx, "tcp", e.Address.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// dialed remembers how an attempt went, unless it was given up.
func (e *Endpoint) dialed(ctx context.Context, err error) error {
	if err == nil {
		e.connected()
		if e.tls != nil && e.tls.distrust.Load() != nil {
			e.tls.distrust.Store(nil)
		}
		return nil
	}
	if insecure := (*tlsError)(nil); errors.As(err, &insecure) {
		e.tls.distrust.Store(&insecure.err)
	}
	e.Disconnected()
	if !errors.Is(ctx.Err(), context.Canceled) {
		e.Failed()
	}
	return &DialError{Endpoint: e, Err: err}
}

// keepAlive finds a peer that vanished within half a minute.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
}
