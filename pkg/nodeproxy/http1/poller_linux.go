package http1

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	// batch is how many events a loop takes at once.
	batch = 64
	// edges is what a socket is watched for, from its begin to its end.
	edges = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | 1<<31 // EPOLLET
)

// poller tells sockets what happens to them: an epoll instance of the engine's
// own, whose descriptor waits in Go's poller while there is nothing to tell. A
// loop that slept in epoll_wait instead would cost a wake-up of a thread, and
// keep a processor from the others.
type poller struct {
	fd     int
	file   *os.File
	err    error // it could not be made
	serial atomic.Int32
	mu     sync.Mutex                             // guards writing to socks
	socks  atomic.Pointer[[]atomic.Pointer[sock]] // by descriptor
}

// start opens the poller and runs its loop.
func (p *poller) start(running *sync.WaitGroup) error {
	p.socks.Store(&[]atomic.Pointer[sock]{})
	if p.fd, p.err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); p.err != nil {
		return p.err
	}
	if p.err = syscall.SetNonblock(p.fd, true); p.err != nil {
		return p.err
	}
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	running.Go(p.loop)
	return nil
}

// stop ends the loop.
func (p *poller) stop() {
	if p.file != nil {
		_ = p.file.Close()
	}
}

// add begins to watch a socket.
func (p *poller) add(s *sock) error {
	if p.err != nil {
		return p.err
	}
	s.serial, s.poller = p.serial.Add(1), p
	s.canRead, s.canWrite = true, true
	p.set(s.fd, s)
	event := syscall.EpollEvent{Events: edges, Fd: s.fd, Pad: s.serial}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, int(s.fd), &event)
}

// set writes down which socket a descriptor is.
func (p *poller) set(fd int32, s *sock) {
	p.mu.Lock()
	defer p.mu.Unlock()
	socks := *p.socks.Load()
	if int(fd) >= len(socks) {
		more := make([]atomic.Pointer[sock], 2*int(fd)+64)
		for i := range socks {
			more[i].Store(socks[i].Load())
		}
		p.socks.Store(&more)
		socks = more
	}
	socks[fd].Store(s)
}

// forget is called before a socket is closed.
func (p *poller) forget(fd int32) { p.set(fd, nil) }

// loop tells what happens. It stays within one callback: what comes while it
// works is told to Go's poller again.
func (p *poller) loop() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]syscall.EpollEvent, batch)
	_ = raw.Read(func(uintptr) bool {
		for {
			n := p.wait(events)
			for i := range events[:n] {
				p.tell(&events[i])
			}
			if n < len(events) {
				return false
			}
		}
	})
}

// wait takes what has happened, without waiting.
func (p *poller) wait(events []syscall.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// tell passes one event on. It may be about a socket that was closed meanwhile.
func (p *poller) tell(event *syscall.EpollEvent) {
	socks := *p.socks.Load()
	if int(event.Fd) >= len(socks) {
		return
	}
	s := socks[event.Fd].Load()
	if s == nil || s.serial != event.Pad {
		return
	}
	var e events
	if event.Events&syscall.EPOLLIN != 0 {
		e |= readable
	}
	if event.Events&syscall.EPOLLOUT != 0 {
		e |= writable
	}
	if event.Events&syscall.EPOLLRDHUP != 0 {
		e |= ended
	}
	if event.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		e |= broken
	}
	s.on.happened(e)
}
