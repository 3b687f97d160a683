package http2

import (
	"syscall"
	"unsafe"
)

// receive reads what is there, send writes what the socket takes. The sockets
// are non-blocking, so these calls only copy and need not tell the scheduler.
//
// Whoever reads goes on until there is nothing: the end of a stream, and above
// all a reset, may have come with the last data, and the poller tells that only
// once. TCP_INQ would save the last call, but knows nothing of resets.
func receive(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		syscall.MSG_DONTWAIT, 0, 0)
	return result(n, errno)
}

func send(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	return result(n, errno)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
