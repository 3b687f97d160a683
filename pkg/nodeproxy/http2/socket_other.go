//go:build !linux

package http2

import "syscall"

// socket needs nothing.
type socket struct{}

func (s *socket) prepare(int) {}

// receive reads what is there. more tells that there may be more, or the end of
// the stream.
func (s *socket) receive(fd int, b []byte) (n int, more bool, err error) {
	n, err = syscall.Read(fd, b)
	return n, true, err
}

// send writes what the socket takes.
func (s *socket) send(fd int, b []byte) (int, error) {
	n, err := syscall.Write(fd, b)
	return max(n, 0), err
}
