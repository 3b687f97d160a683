package http2

import (
	"syscall"
	"unsafe"
)

// tcpInq is TCP_INQ (tcp(7), Linux 4.18): recvmsg tells how much is left to
// read, and a FIN counts as one octet. So neither an end that comes with the
// last data is missed, nor is a call spent to learn that nothing is left.
const tcpInq = 36

// socket holds what recvmsg needs; the kernel writes to it. The calls neither
// block nor tell the scheduler: they only copy.
type socket struct {
	message syscall.Msghdr
	part    syscall.Iovec
	control [32]byte
}

// prepare sets the socket up. Where the option is missing, receive finds no
// hint and says that more may come.
func (s *socket) prepare(fd int) { _ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpInq, 1) }

// receive reads what is there. more tells that there may be more, or the end of
// the stream; where it is false the next arrival wakes the poller.
func (s *socket) receive(fd int, b []byte) (n int, more bool, err error) {
	s.part.Base = unsafe.SliceData(b)
	s.part.SetLen(len(b))
	s.message.Iov, s.message.Iovlen = &s.part, 1
	s.message.Control = &s.control[0]
	s.message.SetControllen(len(s.control))
	got, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.message)), syscall.MSG_DONTWAIT)
	s.part.Base = nil
	if errno != 0 {
		return 0, false, errno
	}
	return int(got), s.hint() || int(got) == len(b), nil
}

// hint reads the control message that came with the data.
func (s *socket) hint() bool {
	if int(s.message.Controllen) < syscall.CmsgLen(4) {
		return true
	}
	header := (*syscall.Cmsghdr)(unsafe.Pointer(&s.control[0]))
	if header.Level != syscall.IPPROTO_TCP || header.Type != tcpInq {
		return true
	}
	return *(*int32)(unsafe.Pointer(&s.control[syscall.CmsgLen(0)])) != 0
}

// send writes what the socket takes.
func (s *socket) send(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
