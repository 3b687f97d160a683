package http1

import (
	"errors"
	"io"
	"syscall"
)

// errWouldBlock tells that the kernel has nothing, or takes nothing, now.
var errWouldBlock = errors.New("would block")

// events is what has happened to a socket since it was told last.
type events uint32

const (
	readable events = 1 << iota // there is something to read, or the end of the stream
	writable                    // the kernel takes bytes again
	ended                       // the peer has ended its stream
	broken                      // the connection was reset, or both directions have ended
	// eventBits is how many bits that takes.
	eventBits = 4
)

// listener is who is told about a socket. It is called from any goroutine,
// several at a time.
type listener interface {
	happened(events)
}

// sock is a TCP connection that only a poller watches. The poller tells each
// change once; what is known is kept here, by whoever uses the socket: one
// goroutine at a time.
type sock struct {
	descriptor
	on       listener
	canRead  bool // a read may find something
	canWrite bool // a write may be taken
	ended    bool // the end of the stream has come, maybe behind unread bytes
	broken   bool
}

// note takes in what the poller has told.
func (s *sock) note(e events) {
	if e&(readable|ended|broken) != 0 {
		s.canRead = true
	}
	if e&(writable|broken) != 0 {
		s.canWrite = true
	}
	if e&(ended|broken) != 0 {
		s.ended = true
	}
	if e&broken != 0 {
		s.broken = true
	}
}

// receive reads what is there. The end of the stream is io.EOF. Where the
// kernel gave less than there was room for it has no more, and its next word is
// an event; only behind a known end it is asked once more.
func (s *sock) receive(b []byte) (n int, err error) {
	if !s.canRead {
		return 0, errWouldBlock
	}
	for {
		n, err = s.recv(b, 0)
		switch {
		case err == nil && n > 0:
			if shortReadIsAll && n < len(b) && !s.ended {
				s.canRead = false
			}
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.canRead, s.ended = false, false
			return 0, errWouldBlock
		}
		return 0, err
	}
}

// send writes what the kernel takes of a and then b, either of which may be empty.
func (s *sock) send(a, b []byte) (n int, err error) {
	if !s.canWrite {
		return 0, errWouldBlock
	}
	for {
		n, err = s.transmit(a, b)
		switch {
		case err == nil:
			return n, nil
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.canWrite = false
			return 0, errWouldBlock
		}
		return 0, err
	}
}

// silent tells that there is nothing to read, not even an end.
func (s *sock) silent() bool {
	var b [1]byte
	_, err := s.recv(b[:], syscall.MSG_PEEK)
	return err == syscall.EAGAIN || err == syscall.EINTR
}
