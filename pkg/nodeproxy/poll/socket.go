package poll

import (
	"errors"
	"io"
	"syscall"
)

// ErrWouldBlock tells that the kernel has nothing, or takes nothing, now.
var ErrWouldBlock = errors.New("would block")

// ErrAsked tells that a Batch will do it.
var ErrAsked = errors.New("asked of the batch")

// Events is what has happened to a socket since it was told last.
type Events uint32

// What may happen.
const (
	Readable Events = 1 << iota // there is something to read, or the end of the stream
	Writable                    // the kernel takes bytes again
	Ended                       // the peer has ended its stream
	Broken                      // the connection was reset, or both directions have ended
	Urgent                      // a byte out of band is among those to read (RFC 6093)
)

// EventBits is how many bits Events take.
const EventBits = 5

// Among are the Events among the lowest bits that were told.
func Among(bits uint32) Events { return Events(bits) & (1<<EventBits - 1) }

// Listener is who is told about a socket. On Linux it is called by the goroutine
// of the socket's Poller and may use its Batch; elsewhere by any, several at a
// time, and without one.
type Listener interface {
	Happened(Events, *Batch)
}

// Rester is a Listener whose socket nobody uses at times, which Rests tells. Of
// those that have something to be told at once such are told first: then none
// that has ended is taken into use.
type Rester interface {
	Listener
	Rests() bool
}

// Connection is what a Socket takes over: a *net.TCPConn, or a *net.UnixConn of a
// stream.
type Connection interface {
	syscall.Conn
	io.Closer
	CloseRead() error
	CloseWrite() error
}

// Socket is a connection that only a Poller watches. The Poller tells each
// change once; what is known is kept here, by whoever uses the socket: one
// goroutine at a time, or one that receives and one that sends.
type Socket struct {
	descriptor
	on       Listener
	rester   Rester // on, where it is one
	CanRead  bool   // a read may find something
	Ended    bool   // the end of the stream has come, maybe behind unread bytes
	Broken   bool
	Urgent   bool // a read stops at a byte out of band, which the next one passes over
	CanWrite bool // a write may be taken; of who sends, as sending is: all else of who receives

	receiving, sending errand
}

// Asked tells that a Batch was asked for something, or has the result. It is, as
// Unheeded and Forget are, for one who both receives and sends.
func (s *Socket) Asked() bool { return s.receiving.state != none || s.sending.state != none }

// Unheeded tells that nobody has taken what a Batch has done.
func (s *Socket) Unheeded() bool { return s.receiving.state == done || s.sending.state == done }

// Forget takes back what a Batch was asked for, before the socket is closed: what
// may be read and written is not known after it.
func (s *Socket) Forget() {
	s.receiving.drop()
	s.sending.drop()
}

// Close closes the socket; nobody hears of it any more.
func (s *Socket) Close() {
	s.Forget()
	s.descriptor.Close()
}

// Note takes in what the Poller has told, for one that does both.
func (s *Socket) Note(e Events) {
	s.NoteInput(e)
	if e&(Writable|Broken) != 0 {
		s.CanWrite = true
	}
}

// NoteInput is Note for one that only receives.
func (s *Socket) NoteInput(e Events) {
	if e&(Readable|Ended|Broken) != 0 {
		s.CanRead = true
	}
	s.Ended = s.Ended || e&(Ended|Broken) != 0
	s.Broken = s.Broken || e&Broken != 0
	s.Urgent = s.Urgent || e&Urgent != 0
}

// Receive reads what is there. The end of the stream is io.EOF. Where the
// kernel gave less than there was room for it has no more, and its next word is
// an event; only behind a known end, or a byte out of band, it is asked once
// more.
func (s *Socket) Receive(b []byte) (n int, err error) {
	if !s.CanRead {
		return 0, ErrWouldBlock
	}
	for {
		if s.receiving.state == done {
			n, err = s.receiving.take()
		} else {
			n, err = s.recv(b, 0)
		}
		switch {
		case err == nil && n > 0:
			if shortReadIsAll && n < len(b) && !s.Ended && !s.Urgent {
				s.CanRead = false
			}
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.Drained()
			return 0, ErrWouldBlock
		}
		return 0, err
	}
}

// Drained notes that the kernel had nothing to read.
func (s *Socket) Drained() { s.CanRead, s.Ended, s.Urgent = false, false, false }

// Send writes what the kernel takes of a and then b, either of which may be empty.
func (s *Socket) Send(a, b []byte) (n int, err error) {
	if !s.CanWrite {
		return 0, ErrWouldBlock
	}
	for {
		if s.sending.state == done {
			n, err = s.sending.take()
		} else {
			n, err = s.transmit(a, b)
		}
		switch {
		case err == nil:
			return n, nil
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.CanWrite = false
			return 0, ErrWouldBlock
		}
		return 0, err
	}
}

// Silent tells that there is nothing to read, not even an end.
func (s *Socket) Silent() bool {
	var b [1]byte
	_, err := s.recv(b[:], syscall.MSG_PEEK)
	return err == syscall.EAGAIN || err == syscall.EINTR
}
