package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// errWouldBlock tells that the kernel has nothing, or takes nothing, now.
var errWouldBlock = errors.New("would block")

// sock is a TCP connection that is read and written by plain system calls. At
// most one goroutine receives and one sends at a time; whoever closes it is the
// only one who uses it.
type sock struct {
	tcp *net.TCPConn
	raw syscall.RawConn
	fd  int
	receiver
}

// open takes a connection over.
func (s *sock) open(tcp *net.TCPConn) error {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	s.tcp, s.raw = tcp, raw
	if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
		return err
	}
	s.prepare(s.fd)
	return nil
}

// receive reads what is there. more tells that the kernel may hold more, or the
// end of the stream; where it is false the next arrival wakes the poller. The
// end is io.EOF.
func (s *sock) receive(b []byte) (n int, more bool, err error) {
	for {
		n, more, err = s.recv(s.fd, b)
		switch {
		case err == nil && n == 0:
			return 0, false, io.EOF
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, false, errWouldBlock
		}
		return n, more || n == len(b), err
	}
}

// send writes what the kernel takes of a and then b, either of which may be empty.
func (s *sock) send(a, b []byte) (n int, err error) {
	for {
		n, err = s.transmit(s.fd, a, b)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, errWouldBlock
		}
		return n, err
	}
}

// sendAll writes b, waiting for the kernel to take it.
func (s *sock) sendAll(b []byte, progress func()) error {
	var failed error
	err := s.raw.Write(func(uintptr) bool {
		for len(b) > 0 && failed == nil {
			n, err := s.send(b, nil)
			if err == errWouldBlock {
				return false
			}
			failed, b = err, b[n:]
			progress()
		}
		return true
	})
	if err != nil {
		return err
	}
	return failed
}

// wake ends every wait on the connection, now and later. A waiter gets
// os.ErrDeadlineExceeded.
func (s *sock) wake() { _ = s.tcp.SetDeadline(time.Unix(1, 0)) }

// woken tells that a wait was ended by wake.
func woken(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
