//go:build !linux

package poll

import (
	"net"
	"sync"
	"syscall"
)

// shortReadIsAll is false where an edge does not tell the end of a stream
// beside the bytes: the kernel is read until it has nothing.
const shortReadIsAll = false

// descriptor is a socket that stays in Go's poller.
type descriptor struct {
	conn Connection
	raw  syscall.RawConn
	fd   int
	// running knows the goroutine that closes it; nil until it is watched.
	running *sync.WaitGroup
}

// Take takes a connection over.
func (d *descriptor) Take(conn Connection) (err error) {
	d.conn = conn
	if d.raw, err = conn.SyscallConn(); err != nil {
		return err
	}
	return d.raw.Control(func(fd uintptr) { d.fd = int(fd) })
}

// Close closes the socket. Closing waits for the callbacks of Go's poller, from one of
// which Close may be called.
func (d *descriptor) Close() {
	if d.running == nil {
		_ = d.conn.Close()
		return
	}
	d.running.Go(func() { _ = d.conn.Close() })
}

// FD is the descriptor, for system calls that are not here.
func (d *descriptor) FD() uintptr { return uintptr(d.fd) }

// CloseRead takes no more: what the peer sends is dropped. The Poller tells it as
// an end of the stream.
func (d *descriptor) CloseRead() { _ = d.conn.CloseRead() }

// CloseWrite ends the stream that is sent.
func (d *descriptor) CloseWrite() { _ = d.conn.CloseWrite() }

// Abort makes Close reset the connection, where it is one of TCP.
func (d *descriptor) Abort() {
	if tcp, ok := d.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

func (d *descriptor) recv(b []byte, flags int) (int, error) {
	n, _, err := syscall.Recvfrom(d.fd, b, flags|syscall.MSG_DONTWAIT)
	return max(n, 0), err
}

func (d *descriptor) transmit(a, b []byte) (int, error) {
	if len(a) == 0 {
		a, b = b, nil
	}
	n, err := syscall.Write(d.fd, a)
	if err != nil || n < len(a) || len(b) == 0 {
		return max(n, 0), err
	}
	m, err := syscall.Write(d.fd, b)
	if err == syscall.EAGAIN {
		err = nil
	}
	return n + max(m, 0), err
}
