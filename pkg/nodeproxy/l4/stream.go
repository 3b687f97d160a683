package l4

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
)

const (
	// pieceBytes is how much is copied at a time.
	pieceBytes = 64 << 10
	// mostPieces is how much of one way is moved before others have their turn.
	mostPieces = 32
	// longTransfer is how many bytes one way, without one the other way, make a
	// transfer that is spliced.
	longTransfer = 1 << 20
)

// pieces are the buffers that relays copy through. A connection has one only
// while bytes are on their way. The zero value is ready.
type pieces struct{ pool sync.Pool }

func (p *pieces) get() *[pieceBytes]byte {
	if b, ok := p.pool.Get().(*[pieceBytes]byte); ok {
		return b
	}
	return new([pieceBytes]byte)
}

// stream is one direction of a relay. What is read is written at once: by
// copying while the connections talk, by splice while the bytes go one way only.
type stream struct {
	from, to *poll.Socket
	pieces   *pieces
	count    func(int64)
	// other is the opposite direction.
	other *stream
	// moved is how many bytes were written.
	moved atomic.Int64

	// heard is what other had moved when the present run of bytes one way began.
	heard int64
	run   int64
	piece *[pieceBytes]byte // lent while there is something in it
	rest  []byte            // goes first
	pipe  pipe              // open while splicing
	left  int               // bytes in the pipe
	turns int               // pieces left until others have their turn
	over  bool              // the end of the stream was read
	done  bool              // and passed on, or the stream broke
	err   error             // why it broke
}

// move moves what is there, and passes the end on. It returns true where others
// are to have their turn before it goes on.
func (s *stream) move(batch *poll.Batch) (goesOn bool) {
	for ; s.turns > 0; s.turns-- {
		if s.done || !s.flush(batch) {
			return false
		}
		switch {
		case s.over && errors.Is(s.other.err, syscall.ECONNRESET):
			// A reset is told once, here to who sent: this looks like an end.
			s.finish(s.other.err)
			return false
		case s.over:
			s.to.CloseWrite()
			s.finish(nil)
			return false
		case !s.from.CanRead:
			s.lay()
			return false
		case s.pipe.isOpen():
			s.fill()
		default:
			if asked := s.read(batch); asked {
				return false
			}
		}
	}
	return true
}

// finish ends the stream.
func (s *stream) finish(err error) {
	s.done, s.err, s.rest = true, err, nil
	s.pipe.close()
	s.lay()
}

// lay gives the memory back.
func (s *stream) lay() {
	if s.piece != nil {
		s.pieces.pool.Put(s.piece)
		s.piece, s.rest = nil, nil // an empty rest would hold it as well
	}
}

// flush writes what was read. It returns false where that takes more time, or
// the stream broke.
func (s *stream) flush(batch *poll.Batch) bool {
	for len(s.rest)+s.left > 0 {
		n, err := s.write(batch)
		if err == poll.ErrAsked || errors.Is(err, poll.ErrWouldBlock) {
			return false
		}
		if err != nil {
			s.finish(err)
			return false
		}
		s.moved.Add(int64(n))
		s.count(int64(n))
	}
	return true
}

// write writes once.
func (s *stream) write(batch *poll.Batch) (n int, err error) {
	if len(s.rest) > 0 {
		n, err = batch.Send(s.to, s.rest, nil)
		s.rest = s.rest[n:]
		return n, err
	}
	if !s.to.CanWrite {
		return 0, poll.ErrWouldBlock
	}
	if n, err = s.pipe.empty(s.to.FD(), s.left); err == syscall.EAGAIN {
		s.to.CanWrite = false
		return 0, poll.ErrWouldBlock
	}
	s.left -= n
	return n, err
}

// read reads once, to copy, or asks the batch for it.
func (s *stream) read(batch *poll.Batch) (asked bool) {
	if s.piece == nil {
		s.piece = s.pieces.get()
	}
	n, err := batch.Receive(s.from, s.piece[:])
	switch {
	case err == poll.ErrAsked:
		return true
	case err == io.EOF:
		s.over = true
	case err != nil && !errors.Is(err, poll.ErrWouldBlock):
		s.finish(err)
		return false
	}
	if s.rest = s.piece[:n]; s.isLong(n) {
		s.pipe.open()
	}
	return false
}

// fill reads once, to splice. The pipe is empty, and closes where the other
// direction has moved something.
func (s *stream) fill() {
	if s.talkAgain() {
		return
	}
	n, err := s.pipe.fill(s.from.FD())
	switch {
	case err == syscall.EAGAIN && s.from.Urgent:
		s.pipe.close() // splice does not pass over a byte out of band
	case err == syscall.EAGAIN:
		s.from.Drained()
	case err != nil:
		s.finish(err)
	case n == 0:
		s.pipe.close() // at the end, or at a byte out of band before it: a read tells
	default:
		s.left = n
	}
}

// isLong takes in that bytes were moved, and tells whether the run of bytes one
// way has become long; a next try comes after as much again.
func (s *stream) isLong(n int) bool {
	if heard := s.other.moved.Load(); heard != s.heard {
		s.heard, s.run = heard, 0
	}
	if s.run += int64(n); s.run < longTransfer {
		return false
	}
	s.run = 0
	return true
}

// talkAgain ends splicing when bytes went the other way.
func (s *stream) talkAgain() bool {
	heard := s.other.moved.Load()
	if heard == s.heard {
		return false
	}
	s.heard, s.run = heard, 0
	s.pipe.close()
	return true
}
