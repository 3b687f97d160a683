//go:build !linux

package http2

import "syscall"

// receive reads what is there.
func receive(fd int, b []byte) (int, error) { return syscall.Read(fd, b) }

// send writes what the socket takes.
func send(fd int, b []byte) (int, error) {
	n, err := syscall.Write(fd, b)
	return max(n, 0), err
}
