package poll

import (
	"io"
	"syscall"
	"unsafe"
)

// shortReadIsAll: an edge of epoll comes with each arrival, and tells an end of
// stream beside the bytes that came with it (EPOLLRDHUP).
const shortReadIsAll = true

// descriptor is a socket that Go's poller does not know.
type descriptor struct {
	fd     int32
	serial int32 // tells it from others that have the same number
	poller *Poller
	out    syscall.Msghdr
	parts  [2]syscall.Iovec
}

// Take takes a connection over: it goes on under another descriptor, and is
// closed as far as package net is concerned. One that package net does not know
// keeps its descriptor.
func (d *descriptor) Take(conn Connection) error {
	if a, ok := conn.(*Accepted); ok {
		d.fd = a.fd
		return nil
	}
	return d.take(conn)
}

func (d *descriptor) take(conn interface {
	syscall.Conn
	io.Closer
},
) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		var got uintptr
		got, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
		d.fd = int32(got)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return err
	}
	_ = conn.Close()
	return nil
}

// Close closes the socket; nobody hears of it any more.
func (d *descriptor) Close() {
	if d.poller != nil {
		d.poller.forget(d.fd)
	}
	_ = syscall.Close(int(d.fd))
}

// FD is the descriptor, for system calls that are not here.
func (d *descriptor) FD() uintptr { return uintptr(d.fd) }

// CloseRead takes no more: what the peer sends is dropped. The Poller tells it as
// an end of the stream.
func (d *descriptor) CloseRead() { _ = syscall.Shutdown(int(d.fd), syscall.SHUT_RD) }

// CloseWrite ends the stream that is sent.
func (d *descriptor) CloseWrite() { _ = syscall.Shutdown(int(d.fd), syscall.SHUT_WR) }

// Abort makes Close reset the connection, where it is one of TCP.
func (d *descriptor) Abort() {
	_ = syscall.SetsockoptLinger(int(d.fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
}

// recv and transmit never block, so they need not tell Go's scheduler.
func (d *descriptor) recv(b []byte, flags int) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(d.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		uintptr(syscall.MSG_DONTWAIT|flags), 0, 0)
	return result(n, errno)
}

func (d *descriptor) transmit(a, b []byte) (int, error) {
	if len(a) == 0 {
		a, b = b, nil
	}
	if len(b) == 0 {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(d.fd), uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(len(a)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		return result(n, errno)
	}
	d.parts[0].Base, d.parts[1].Base = &a[0], &b[0]
	d.parts[0].SetLen(len(a))
	d.parts[1].SetLen(len(b))
	d.out.Iov, d.out.Iovlen = &d.parts[0], 2
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(d.fd), uintptr(unsafe.Pointer(&d.out)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	d.parts[0].Base, d.parts[1].Base = nil, nil
	return result(n, errno)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
