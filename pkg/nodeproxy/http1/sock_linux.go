package http1

import (
	"syscall"
	"unsafe"
)

// tcpInq is TCP_INQ (tcp(7), Linux 4.18): recvmsg tells how much is left to
// read, and a FIN counts as one byte. So a FIN that comes with the last data is
// seen without another read.
const tcpInq = 36

// receiver holds what recvmsg needs; the kernel writes to it.
type receiver struct {
	msg   syscall.Msghdr
	iov   [1]syscall.Iovec
	out   syscall.Msghdr
	parts [2]syscall.Iovec
	ctl   [32]byte
}

// prepare sets the socket up.
func (r *receiver) prepare(fd int) {
	// Where the option is missing, recv finds no hint and says that more may come.
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpInq, 1)
}

func (r *receiver) recv(fd int, b []byte) (n int, more bool, err error) {
	r.iov[0].Base = &b[0]
	r.iov[0].SetLen(len(b))
	r.msg.Iov, r.msg.Iovlen = &r.iov[0], 1
	r.msg.Control = &r.ctl[0]
	r.msg.SetControllen(len(r.ctl))
	got, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.msg)), syscall.MSG_DONTWAIT)
	r.iov[0].Base = nil
	if errno != 0 {
		return 0, false, errno
	}
	return int(got), r.hint(), nil
}

// hint reads the control message that came with the data.
func (r *receiver) hint() bool {
	if int(r.msg.Controllen) < syscall.CmsgLen(4) {
		return true
	}
	header := (*syscall.Cmsghdr)(unsafe.Pointer(&r.ctl[0]))
	if header.Level != syscall.IPPROTO_TCP || header.Type != tcpInq {
		return true
	}
	return *(*int32)(unsafe.Pointer(&r.ctl[syscall.CmsgLen(0)])) != 0
}

func (r *receiver) transmit(fd int, a, b []byte) (int, error) {
	if len(a) == 0 {
		a, b = b, nil
	}
	if len(b) == 0 {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(len(a)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		return result(n, errno)
	}
	r.parts[0].Base, r.parts[1].Base = &a[0], &b[0]
	r.parts[0].SetLen(len(a))
	r.parts[1].SetLen(len(b))
	r.out.Iov, r.out.Iovlen = &r.parts[0], 2
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.out)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	r.parts[0].Base, r.parts[1].Base = nil, nil
	return result(n, errno)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// pollfd is struct pollfd of poll(2).
type pollfd struct {
	fd              int32
	events, revents int16
}

const (
	pollIn    = 0x1
	pollErr   = 0x8
	pollHup   = 0x10
	pollRdHup = 0x2000
)

// poll asks what has happened to a connection: anything to read, its end included.
func (r *receiver) poll(fd int) (readable, ended bool) {
	p := pollfd{fd: int32(fd), events: pollIn | pollRdHup}
	var now syscall.Timespec
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if errno != 0 {
		return false, false
	}
	return p.revents != 0, p.revents&(pollRdHup|pollHup|pollErr) != 0
}
