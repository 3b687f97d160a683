package upstream

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// Dialer opens TCP connections to endpoints.
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

// Reason is UpstreamTimeout, Overloaded or ConnectFailed.
func (e *DialError) Reason() Reason {
	if errors.Is(e.Err, errFull) {
		return Overloaded
	}
	if errors.Is(e.Err, os.ErrDeadlineExceeded) || errors.Is(e.Err, context.DeadlineExceeded) {
		return UpstreamTimeout
	}
	return ConnectFailed
}

// Dial connects to an endpoint and remembers how that went. Every error is a
// *DialError. A connection counts as open until Disconnected.
func (d Dialer) Dial(ctx context.Context, e *Endpoint) (*net.TCPConn, error) {
	if n := e.connections.Add(1); d.Most > 0 && n > int64(d.Most) {
		e.Disconnected()
		return nil, &DialError{Endpoint: e, Err: errFull}
	}
	timeout := d.Timeout
	if said := time.Duration(e.connect.Load()); said > 0 {
		timeout = said
	}
	if timeout == 0 {
		timeout = time.Second
	}
	dialer := net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive()}
	c, err := dialer.DialContext(ctx, "tcp", e.Address.String())
	if err != nil {
		e.Disconnected()
		if ctx.Err() == nil {
			e.Failed()
		}
		return nil, &DialError{Endpoint: e, Err: err}
	}
	e.connected()
	return c.(*net.TCPConn), nil
}

// keepAlive finds a peer that vanished within half a minute.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
}
