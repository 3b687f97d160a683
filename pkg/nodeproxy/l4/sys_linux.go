package l4

import "syscall"

const (
	// pipeBytes is asked for as the size of a pipe; leastPipe is with how much
	// splicing is still better than copying. The kernel gives less to a user
	// that has many (pipe(7), pipe-user-pages-soft).
	pipeBytes = 1 << 20
	leastPipe = 64 << 10

	fSetPipeSize   = 1031 // F_SETPIPE_SZ of fcntl(2)
	spliceMove     = 1    // SPLICE_F_MOVE of splice(2)
	spliceNonBlock = 2    // SPLICE_F_NONBLOCK
)

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// pipe is what bytes are spliced through. The zero value is closed.
type pipe struct{ reader, writer int }

// isOpen relies on descriptor 0 being taken, as it is in every process.
func (p *pipe) isOpen() bool { return p.writer != 0 }

// open returns false where there is no pipe to be had that is worth it.
func (p *pipe) open() bool {
	var ends [2]int
	if syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK) != nil {
		return false
	}
	p.reader, p.writer = ends[0], ends[1]
	size, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(p.writer), fSetPipeSize, pipeBytes)
	if errno != 0 {
		const fGetPipeSize = fSetPipeSize + 1
		size, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(p.writer), fGetPipeSize, 0)
	}
	if int(size) < leastPipe {
		p.close()
		return false
	}
	return true
}

// close loses what the pipe holds.
func (p *pipe) close() {
	if p.isOpen() {
		_ = syscall.Close(p.reader)
		_ = syscall.Close(p.writer)
		*p = pipe{}
	}
}

// fill moves what a socket has into the empty pipe; zero is the end of the stream,
// or a byte out of band while that end is known.
func (p *pipe) fill(socket uintptr) (int, error) {
	return splice(socket, uintptr(p.writer), pipeBytes)
}

// empty moves up to n bytes on to a socket.
func (p *pipe) empty(socket uintptr, n int) (int, error) {
	return splice(uintptr(p.reader), socket, n)
}

// splice does not wait, so the scheduler need not be told of it. The error is an
// Errno or nil.
func splice(from, to uintptr, most int) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, from, 0, to, 0, uintptr(most), spliceMove|spliceNonBlock)
		if errno != syscall.EINTR {
			return result(n, errno)
		}
	}
}
