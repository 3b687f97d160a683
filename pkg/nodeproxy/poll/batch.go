package poll

import (
	"slices"
	"syscall"
)

// Batch collects what those whom a Poller tells something want to read and to
// write, and does it for all of them with one system call where the kernel lets it.
// Where the way into the kernel and back is dear, as on virtual machines and with
// defences against speculation, that is half of what small messages cost. A nil
// Batch does each thing immediately.
//
// Whoever is told ErrAsked calls Hold, keeps its turn and the memory, and is resumed:
// then it asks for the same with the same memory once more, which gets the result.
// In between nothing is noted of that direction of the socket. A Batch belongs to
// the goroutine of its Poller.
type Batch struct {
	asks   []ask
	held   []Resumer
	spare  []Resumer // the memory of the next held
	kernel kernel
}

// Resumer is who has asked a Batch for something.
type Resumer interface {
	// Resume goes on with the result, and may ask for more.
	Resume()
}

// ask is one thing to be done: to read into a, or to write a and then b. The
// socket is nil where it is not wanted any more.
type ask struct {
	socket *Socket
	send   bool
	a, b   []byte
}

// errand is one direction of a socket in a Batch.
type errand struct {
	state errandState
	errno syscall.Errno
	n     int // the result; while wanted, the place among the asks
	batch *Batch
}

type errandState uint8

const (
	none errandState = iota
	wanted
	done // and the result not taken yet
)

// Receive is Receive of the socket, or asks for it.
func (q *Batch) Receive(s *Socket, b []byte) (int, error) {
	if q == nil || s.receiving.state == done || !s.CanRead {
		return s.Receive(b)
	}
	s.CanRead = false
	q.ask(&s.receiving, ask{socket: s, a: b})
	return 0, ErrAsked
}

// Send is Send of the socket, or asks for it.
func (q *Batch) Send(s *Socket, a, b []byte) (int, error) {
	if q == nil || s.sending.state == done || !s.CanWrite {
		return s.Send(a, b)
	}
	s.CanWrite = false
	q.ask(&s.sending, ask{socket: s, send: true, a: a, b: b})
	return 0, ErrAsked
}

func (q *Batch) ask(e *errand, a ask) {
	*e = errand{state: wanted, n: len(q.asks), batch: q}
	q.asks = append(q.asks, a)
}

// Hold has somebody resumed who has asked for something.
func (q *Batch) Hold(r Resumer) { q.held = append(q.held, r) }

// flush does what was asked for and resumes those who asked, until they ask for
// nothing more. It returns whether there was anything.
func (q *Batch) flush() (some bool) {
	for ; len(q.held) > 0; some = true {
		q.do()
		held := q.held
		q.held = q.spare[:0]
		for i, r := range held {
			held[i] = nil
			r.Resume()
		}
		q.spare = held
	}
	return some
}

// do does what was asked for.
func (q *Batch) do() {
	asks := slices.DeleteFunc(q.asks, func(a ask) bool { return a.socket == nil })
	for len(asks) > 0 {
		n := 0
		if len(asks) > 1 {
			n = q.kernel.do(asks)
		}
		if n == 0 {
			asks[0].do()
			n = 1
		}
		asks = asks[n:]
	}
	clear(q.asks)
	q.asks = q.asks[:0]
}

// do does one thing by itself.
func (a *ask) do() {
	var n int
	var err error
	if a.send {
		n, err = a.socket.transmit(a.a, a.b)
	} else {
		n, err = a.socket.recv(a.a, 0)
	}
	errno, _ := err.(syscall.Errno)
	a.did(n, errno)
}

// did notes the result. That there was nothing to read is known to the socket, and
// is none: by the time it would be taken more may be known.
func (a *ask) did(n int, errno syscall.Errno) {
	s := a.socket
	switch {
	case a.send:
		s.sending, s.CanWrite = errand{state: done, n: n, errno: errno}, true
	case errno == syscall.EAGAIN:
		s.receiving = errand{}
		s.Drained()
	default:
		s.receiving, s.CanRead = errand{state: done, n: n, errno: errno}, true
	}
}

// take takes the result.
func (e *errand) take() (n int, err error) {
	n, errno := e.n, e.errno
	*e = errand{}
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

// drop takes it that nobody wants it any more.
func (e *errand) drop() {
	if e.state == wanted {
		e.batch.asks[e.n] = ask{}
	}
	*e = errand{}
}
