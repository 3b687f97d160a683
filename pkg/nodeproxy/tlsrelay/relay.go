// Package tlsrelay puts a plain socket in front of a TLS connection to an
// endpoint, so that engines which move bytes by system calls need not know of
// TLS:
//
//	relay, err := tlsrelay.Handshake(ctx, tcp, config)
//	near, err := relay.Near()
//	running.Go(relay.Run)   // until both ends have closed
//	…                       // near is used like a TCP connection
//	near.Close()
//	relay.Close()
//
// The handshake is over, and the endpoint has proved who it is, before anybody
// has a socket to write to. A half-close of the near socket is passed on as
// close_notify (RFC 8446 §6.1). The endpoint's end of the stream is the end of
// both directions: in HTTP nothing that is sent to an endpoint which answers no
// more has a use, and what the relay has taken by then and not passed on is
// told as refused, so that it may be sent elsewhere.
package tlsrelay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// piece is how much is moved at once: what one record holds (RFC 8446 §5.1).
	piece = 16 << 10
	// lastWords is how long an endpoint may take what is still to be sent to it
	// once the near socket is closed.
	lastWords = time.Second
)

// errTruncated is that the endpoint's stream ended without close_notify: whoever
// is in between may have cut it.
var errTruncated = errors.New("the endpoint's stream ended without TLS's close_notify")

// Relay moves bytes between a near socket and a TLS connection.
type Relay struct {
	tls  *tls.Conn
	tcp  *ending
	near *net.UnixConn // the relay's end

	mu        sync.Mutex // guards what follows
	forwarded int64      // bytes that went on to TLS, or are just going
	over      bool       // no more will
	end       error      // how the endpoint's stream ended; io.EOF for well
	half      bool       // the near socket's stream was read to its end
	closed    bool       // nobody uses the near socket any more
}

// ending notes the end of a TCP stream, which package tls does not tell from
// close_notify.
type ending struct {
	*net.TCPConn
	seen atomic.Bool
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.TCPConn.Read(b)
	if err == io.EOF {
		e.seen.Store(true)
	}
	return n, err
}

// Handshake begins TLS on a connection, which is the Relay's from then on. The
// context bounds it. Where there is an error the connection is closed.
func Handshake(ctx context.Context, tcp *net.TCPConn, config *tls.Config) (*Relay, error) {
	r := &Relay{tcp: &ending{TCPConn: tcp}}
	r.tls = tls.Client(r.tcp, config)
	err := r.tls.HandshakeContext(ctx)
	if err == nil {
		return r, nil
	}
	_ = tcp.Close()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, err
}

// Near makes the near socket. The Relay must be run then; where there is an
// error the connection is closed.
func (r *Relay) Near() (near *net.UnixConn, err error) {
	if near, r.near, err = pair(); err != nil {
		r.Discard()
	}
	return near, err
}

// pair returns two sockets that are connected to each other.
func pair() (one, other *net.UnixConn, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if one, err = socket(fds[0]); err != nil {
		_ = syscall.Close(fds[1])
		return nil, nil, err
	}
	if other, err = socket(fds[1]); err != nil {
		_ = one.Close()
		return nil, nil, err
	}
	return one, other, nil
}

// socket makes a descriptor a connection of package net, whose it is then.
func socket(fd int) (*net.UnixConn, error) {
	file := os.NewFile(uintptr(fd), "tlsrelay")
	defer file.Close() // FileConn has duplicated it
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// Discard closes a connection that has no near socket, and never will.
func (r *Relay) Discard() { _ = r.tls.Close() }

// Protocol is what was agreed by ALPN (RFC 7301); empty for nothing.
func (r *Relay) Protocol() string { return r.tls.ConnectionState().NegotiatedProtocol }

// Run moves bytes until both directions have ended.
func (r *Relay) Run() {
	defer r.near.Close()
	defer r.tcp.Close()
	var up sync.WaitGroup
	up.Go(r.upload)
	r.download()
	up.Wait()
}

// download passes on what the endpoint sends, to its end.
func (r *Relay) download() {
	b := make([]byte, piece)
	var err error
	for err == nil {
		var n int
		n, err = r.tls.Read(b)
		if n > 0 {
			if _, gone := r.near.Write(b[:n]); gone != nil {
				err = gone
			}
		}
	}
	if err == io.EOF && r.tcp.seen.Load() {
		err = errTruncated
	}
	r.finish(err)
	// Only now may the engine see the end: it asks how it came about.
	_ = r.near.CloseWrite()
	_ = r.near.CloseRead()
	_ = r.tls.Close()
}

// finish lets nothing more go on to the endpoint.
func (r *Relay) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over, r.end = true, err
}

// upload passes on what the engine sends, to its end. What the endpoint does not
// take is dropped; its answer, or its end, says why.
func (r *Relay) upload() {
	b := make([]byte, piece)
	dropping := false
	for {
		n, err := r.near.Read(b)
		if n > 0 && !dropping {
			if dropping = !r.begin(n); !dropping {
				_, broken := r.tls.Write(b[:n])
				dropping = broken != nil
			}
			if dropping {
				_ = r.near.CloseRead()
			}
		}
		if err != nil {
			break
		}
	}
	if r.left() {
		_ = r.tls.Close()
	} else {
		_ = r.tls.CloseWrite()
	}
}

// begin counts bytes that go on to the endpoint; false means that none may.
func (r *Relay) begin(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.forwarded += int64(n)
	return true
}

// left takes the end of what the engine sends, and tells whether it has closed
// the near socket for good.
func (r *Relay) left() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.half = true
	return r.closed || r.over
}

// Close tells that the near socket is closed. It does not wait; Run ends when
// what was sent has gone on, or within a second.
func (r *Relay) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.half {
		_ = r.tcp.SetDeadline(time.Unix(1, 0))
	} else {
		_ = r.tcp.SetWriteDeadline(time.Now().Add(lastWords))
	}
}

// Forwarded is how many bytes have gone on to the endpoint, or are just going.
func (r *Relay) Forwarded() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forwarded
}

// Refused tells that nothing went on to the endpoint since Forwarded was so
// much, and that nothing will: what was sent meanwhile was not delivered.
func (r *Relay) Refused(forwarded int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over && r.forwarded == forwarded
}

// End is why the near socket's stream has ended: io.EOF where the endpoint said
// that it is the end. One that was cut is no end of a message (RFC 9112 §9.8).
func (r *Relay) End() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end == nil {
		return io.EOF
	}
	return r.end
}

// Silent tells that the endpoint has sent nothing that waits to be read, not
// even its end.
func (r *Relay) Silent() bool {
	raw, err := r.tcp.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return silent && err == nil
}
