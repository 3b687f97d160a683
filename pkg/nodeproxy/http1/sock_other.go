//go:build !linux

package http1

import "syscall"

// receiver needs nothing where recvmsg gives no hints.
type receiver struct{}

// prepare has nothing to set up.
func (*receiver) prepare(int) {}

// recv says that more may come: the next read finds out.
func (*receiver) recv(fd int, b []byte) (n int, more bool, err error) {
	n, err = syscall.Read(fd, b)
	return max(n, 0), true, err
}

func (*receiver) transmit(fd int, a, b []byte) (int, error) {
	if len(a) == 0 {
		a, b = b, nil
	}
	n, err := syscall.Write(fd, a)
	if err != nil || n < len(a) || len(b) == 0 {
		return max(n, 0), err
	}
	m, err := syscall.Write(fd, b)
	if err == syscall.EAGAIN {
		err = nil
	}
	return n + max(m, 0), err
}

// poll looks at the next byte: an end that stands behind unread bytes is seen
// only once they are read.
func (*receiver) poll(fd int) (readable, ended bool) {
	var b [1]byte
	n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return false, false
	}
	return true, n == 0 || err != nil
}
