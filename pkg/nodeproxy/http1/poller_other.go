//go:build !linux

package http1

import (
	"sync"
	"syscall"
)

// poller tells sockets what happens to them: two goroutines for each wait in
// Go's poller, within one callback, so that every edge is told.
type poller struct{ running *sync.WaitGroup }

func (p *poller) start(running *sync.WaitGroup) error {
	p.running = running
	return nil
}

func (p *poller) stop() {}

// add begins to watch a socket, until it is closed.
func (p *poller) add(s *sock) error {
	s.canRead, s.canWrite, s.running = true, true, p.running
	d := s.descriptor
	p.running.Go(func() {
		_ = d.raw.Read(func(fd uintptr) bool {
			s.on.happened(readable | d.end())
			return false
		})
	})
	p.running.Go(func() {
		_ = d.raw.Write(func(uintptr) bool {
			s.on.happened(writable)
			return false
		})
	})
	return nil
}

// end looks at the next byte: an end that stands behind unread bytes is seen
// only once they are read.
func (d *descriptor) end() events {
	var b [1]byte
	n, err := d.recv(b[:], syscall.MSG_PEEK)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR || n > 0:
		return 0
	case err != nil:
		return broken
	}
	return ended
}
