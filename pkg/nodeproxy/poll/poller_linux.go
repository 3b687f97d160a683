package poll

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	// mostEvents is how many a Poller takes at once.
	mostEvents = 256
	// together is how many events are told before what was asked of the Batch is
	// done: the first of them waits for the last. Hardly any asks for more than
	// two things.
	together = 32
	// edges is what a socket is watched for, from its begin to its end.
	edges = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | syscall.EPOLLPRI | 1<<31 // EPOLLET
)

// Poller is an epoll instance of its own, whose descriptor waits in Go's poller
// while there is nothing to tell. A loop that slept in epoll_wait instead would
// cost a wake-up of a thread, and keep a processor from the others. Its zero
// value is ready for Start.
type Poller struct {
	fd     int
	file   *os.File
	err    error // it could not be made
	round  func()
	batch  Batch
	load   load
	looks  atomic.Uint32 // that were begun
	told   atomic.Uint32 // the last look of which all sockets at rest were told
	serial atomic.Int32
	mu     sync.Mutex                               // guards writing to socks
	socks  atomic.Pointer[[]atomic.Pointer[Socket]] // by descriptor
}

// Start opens the Poller and runs its loop, which running counts. Round is
// called after the events of each look were told, and again after what it asked the
// Batch for was done, by the same goroutine; it may be nil.
func (p *Poller) Start(running *sync.WaitGroup, round func()) error {
	p.round = round
	p.socks.Store(&[]atomic.Pointer[Socket]{})
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

// Stop ends the loop.
func (p *Poller) Stop() {
	if p.file != nil {
		_ = p.file.Close()
	}
}

// Add begins to watch a socket, until it is closed. Both are presumed to be
// possible at first, reading and writing.
func (p *Poller) Add(s *Socket, on Listener) error {
	if p.err != nil {
		return p.err
	}
	s.serial, s.poller, s.on = p.serial.Add(1), p, on
	s.rester, _ = on.(Rester)
	s.CanRead, s.CanWrite = true, true
	p.set(s.fd, s)
	event := syscall.EpollEvent{Events: edges, Fd: s.fd, Pad: s.serial}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, int(s.fd), &event)
}

// Now is a moment as the Poller counts them.
func (p *Poller) Now() uint32 { return p.looks.Load() }

// HasLookedSince tells whether sockets that were at rest at that moment, and
// still are, have been told of everything that happened until after it.
func (p *Poller) HasLookedSince(moment uint32) bool {
	return int32(p.told.Load()-moment) > 0
}

// set writes down which socket a descriptor is.
func (p *Poller) set(fd int32, s *Socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	socks := *p.socks.Load()
	if int(fd) >= len(socks) {
		more := make([]atomic.Pointer[Socket], 2*int(fd)+64)
		for i := range socks {
			more[i].Store(socks[i].Load())
		}
		p.socks.Store(&more)
		socks = more
	}
	socks[fd].Store(s)
}

// forget is called before a socket is closed.
func (p *Poller) forget(fd int32) { p.set(fd, nil) }

// loop tells what happens. It stays within one callback: what comes while it
// works is told to Go's poller again.
func (p *Poller) loop() {
	defer p.batch.kernel.close()
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]syscall.EpollEvent, mostEvents)
	_ = raw.Read(func(uintptr) bool {
		now := time.Now()
		if p.load.gathers(now) {
			gather()
			now = time.Now()
		}
		p.load.begin(now)
		for found := 0; ; {
			look := p.looks.Add(1)
			n := p.wait(events)
			found += n
			p.tell(events[:n], true)
			if n < len(events) {
				p.told.Store(look)
			}
			p.tell(events[:n], false)
			for again := n > 0 && p.round != nil; again; again = p.batch.flush() {
				p.round()
			}
			if n < len(events) {
				p.load.end(time.Now(), found)
				return false
			}
		}
	})
}

// gather lets others run who are ready, and sleeps. It keeps its processor of Go's
// scheduler meanwhile: to hand that over and get it back could take longer.
func gather() {
	runtime.Gosched()
	t := syscall.NsecToTimespec(int64(gathering))
	_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}

// wait takes what has happened, without waiting.
func (p *Poller) wait(events []syscall.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// tell passes on what has not been told yet, to sockets at rest or to all.
func (p *Poller) tell(events []syscall.EpollEvent, resting bool) {
	told := 0
	for i := range events {
		event := &events[i]
		if s := p.of(event); s != nil && event.Events != 0 && (!resting || s.rester != nil && s.rester.Rests()) {
			e := happened(event)
			event.Events = 0
			s.on.Happened(e, &p.batch)
			if told++; told%together == 0 {
				_ = p.batch.flush()
			}
		}
	}
	_ = p.batch.flush()
}

// of returns the socket that an event is about; nil where it was closed meanwhile.
func (p *Poller) of(event *syscall.EpollEvent) *Socket {
	socks := *p.socks.Load()
	if int(event.Fd) >= len(socks) {
		return nil
	}
	if s := socks[event.Fd].Load(); s != nil && s.serial == event.Pad {
		return s
	}
	return nil
}

// happened says what epoll says.
func happened(event *syscall.EpollEvent) (e Events) {
	if event.Events&syscall.EPOLLIN != 0 {
		e |= Readable
	}
	if event.Events&syscall.EPOLLOUT != 0 {
		e |= Writable
	}
	if event.Events&syscall.EPOLLPRI != 0 {
		e |= Readable | Urgent
	}
	if event.Events&syscall.EPOLLRDHUP != 0 {
		e |= Ended
	}
	if event.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		e |= Broken
	}
	return e
}
