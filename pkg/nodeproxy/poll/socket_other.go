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
	tcp *net.TCPConn
	raw syscall.RawConn
	fd  int
	// running knows the goroutine that closes it; nil until it is watched.
	running *sync.WaitGroup
}

// Take takes a connection over.
func (d *descriptor) Take(tcp *net.TCPConn) (err error) {
	d.tcp = tcp
	if d.raw, err = tcp.SyscallConn(); err != nil {
		return err
	}
	return d.raw.Control(func(fd uintptr) { d.fd = int(fd) })
}

// Close closes the socket. Closing waits for the callbacks of Go's poller, from one of
// which Close may be called.
func (d *descriptor) Close() {
	if d.running == nil {
		_ = d.tcp.Close()
		return
	}
	d.running.Go(func() { _ = d.tcp.Close() })
}

// CloseRead takes no more: what the peer sends is dropped. The Poller tells it as
// an end of the stream.
func (d *descriptor) CloseRead() { _ = d.tcp.CloseRead() }

// CloseWrite ends the stream that is sent.
func (d *descriptor) CloseWrite() { _ = d.tcp.CloseWrite() }

// Abort makes Close reset the connection.
func (d *descriptor) Abort() { _ = d.tcp.SetLinger(0) }

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
