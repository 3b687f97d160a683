package l4

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	// pieceBytes is how much is copied at a time.
	pieceBytes = 64 << 10
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

// stream is one direction of a relay. What is read is written at once, with
// plain system calls inside the callbacks of the connections, which hold the
// descriptors: by copying while the connections talk, by splice while the bytes
// go one way only. Every callback reads until there is nothing more, so that no
// end of stream is missed.
type stream struct {
	to     *net.TCPConn
	source syscall.RawConn
	target syscall.RawConn
	pieces *pieces
	count  func(int64)
	// other is the opposite direction.
	other *stream
	// moved is how many bytes were written.
	moved atomic.Int64

	// heard is what other had moved when the present run of bytes one way began.
	heard int64
	run   int64
	pipe  pipe // open while splicing
	left  int  // bytes in the pipe
	rest  []byte
	err   error // why the stream ended
	// The callbacks of target, made once.
	write, drain func(fd uintptr) bool
}

// open sets a stream up between two connections.
func (s *stream) open(to, from *net.TCPConn) (err error) {
	if s.source, err = from.SyscallConn(); err != nil {
		return err
	}
	if s.target, err = to.SyscallConn(); err != nil {
		return err
	}
	s.to, s.write, s.drain = to, s.onWritable, s.onDrainable
	return nil
}

// carry moves first and then all that is read, and passes the end on.
func (s *stream) carry(first []byte) error {
	defer s.pipe.close()
	if len(first) > 0 && !s.send(first) {
		return s.err
	}
	talk, splice := s.talk, s.splice
	for s.err == nil {
		step := talk
		if s.pipe.isOpen() {
			step = splice
		}
		if err := s.source.Read(step); err != nil {
			return err
		}
	}
	if s.err == io.EOF { //nolint:errorlint // set by this file only
		return s.to.CloseWrite()
	}
	return s.err
}

// talk copies until nothing is left to read. It returns true at the end of the
// stream, and when it is time to splice.
func (s *stream) talk(fd uintptr) bool {
	piece := s.pieces.get()
	defer s.pieces.pool.Put(piece)
	for {
		n, err := read(fd, piece[:])
		if err == syscall.EAGAIN {
			return false
		}
		if s.err = ended(n, err); s.err != nil || !s.send(piece[:n]) {
			return true
		}
		if s.isLong(n) && s.pipe.open() {
			return true
		}
	}
}

// splice moves bytes through the pipe. It returns true at the end of the stream,
// and, with the pipe closed, when there was an answer.
func (s *stream) splice(fd uintptr) bool {
	for {
		n, err := s.pipe.fill(fd)
		if err == syscall.EAGAIN {
			return s.talkAgain()
		}
		if s.err = ended(n, err); s.err != nil {
			return true
		}
		s.left = n
		if err := s.target.Write(s.drain); err != nil {
			s.err = err
		}
		if s.err != nil || s.talkAgain() {
			return true
		}
	}
}

// ended is what a read of n bytes says of the stream: nil where it goes on.
func ended(n int, err error) error {
	if err == nil && n == 0 {
		return io.EOF
	}
	return err
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

// send writes all of b; false with the error set where that fails.
func (s *stream) send(b []byte) bool {
	s.rest = b
	if err := s.target.Write(s.write); err != nil {
		s.err = err
	}
	s.rest = nil
	return s.err == nil
}

// tell counts what was written.
func (s *stream) tell(n int) {
	s.moved.Add(int64(n))
	s.count(int64(n))
}

// onWritable writes the rest.
func (s *stream) onWritable(fd uintptr) bool {
	for len(s.rest) > 0 {
		n, err := write(fd, s.rest)
		if err != nil {
			return s.blocked(err)
		}
		s.tell(n)
		s.rest = s.rest[n:]
	}
	return true
}

// onDrainable empties the pipe.
func (s *stream) onDrainable(fd uintptr) bool {
	for s.left > 0 {
		n, err := s.pipe.empty(fd, s.left)
		if err != nil {
			return s.blocked(err)
		}
		s.tell(n)
		s.left -= n
	}
	return true
}

// blocked is false where a write must wait; any other error ends the stream.
func (s *stream) blocked(err error) bool {
	if err == syscall.EAGAIN {
		return false
	}
	s.err = err
	return true
}
