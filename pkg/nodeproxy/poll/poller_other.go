//go:build !linux

package poll

import (
	"sync"
	"syscall"
)

// Poller has two goroutines for each socket wait in Go's poller, within one
// callback, so that every edge is told. Its zero value is ready for Start.
type Poller struct {
	running *sync.WaitGroup
	round   func()
	mu      sync.Mutex // held while round is called
}

// Start makes the Poller ready. Running counts its goroutines; round is called
// after each event, never twice at a time; it may be nil.
func (p *Poller) Start(running *sync.WaitGroup, round func()) error {
	p.running, p.round = running, round
	return nil
}

// Stop does nothing: the goroutines end with their sockets.
func (p *Poller) Stop() {}

// Now is a moment.
func (p *Poller) Now() uint32 { return 0 }

// HasLookedSince is false: nobody knows.
func (p *Poller) HasLookedSince(uint32) bool { return false }

// Add begins to watch a socket, until it is closed.
func (p *Poller) Add(s *Socket, on Listener) error {
	s.on, s.CanRead, s.CanWrite, s.running = on, true, true, p.running
	d := s.descriptor
	p.running.Go(func() {
		_ = d.raw.Read(func(fd uintptr) bool {
			p.tell(on, Readable|d.end())
			return false
		})
	})
	p.running.Go(func() {
		_ = d.raw.Write(func(uintptr) bool {
			p.tell(on, Writable)
			return false
		})
	})
	return nil
}

func (p *Poller) tell(on Listener, e Events) {
	p.mu.Lock()
	defer p.mu.Unlock()
	on.Happened(e, nil)
	if p.round != nil {
		p.round()
	}
}

// end looks at the next byte: an end that stands behind unread bytes is seen
// only once they are read.
func (d *descriptor) end() Events {
	var b [1]byte
	n, err := d.recv(b[:], syscall.MSG_PEEK)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR || n > 0:
		return 0
	case err != nil:
		return Broken
	}
	return Ended
}
