package l4

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// receive waits for one datagram and returns it in a buffer from the pool, which
// the caller gives back. The buffer is taken only once there is something to
// read: ten thousand waiting sessions hold none. Nothing may be locked inside:
// closing the socket waits for its reader.
func (u *UDP) receive(c *net.UDPConn) (buffer *[]byte, n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buffer = u.buffer()
		n, failed = syscall.Read(int(fd), *buffer)
		if errors.Is(failed, syscall.EAGAIN) {
			u.buffers.Put(buffer)
			buffer = nil
			return false
		}
		return true
	})
	if failed != nil && err == nil {
		err = os.NewSyscallError("read", failed)
	}
	return buffer, n, err
}

func (u *UDP) buffer() *[]byte {
	if b, ok := u.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, largestDatagram)
	return &b
}
