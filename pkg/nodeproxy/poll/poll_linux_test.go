package poll

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/tcppair"
)

// socket is one that tells the test what it is told.
type socket struct {
	Socket
	peer  *net.TCPConn
	rests bool
	over  bool // the test has closed it
	told  chan<- told
}

type told struct {
	of   *socket
	what Events
}

func (s *socket) Happened(e Events, _ *Batch) { s.told <- told{s, e} }
func (s *socket) Rests() bool                 { return s.rests }

// world is a Poller and what it tells.
type world struct {
	*testing.T
	poller Poller
	rounds chan struct{}
	told   chan told
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, rounds: make(chan struct{}, 100), told: make(chan told, 100)}
	var running sync.WaitGroup
	if err := w.poller.Start(&running, func() { w.rounds <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.poller.Stop()
		running.Wait()
	})
	return w
}

// socket returns a connection that is watched once watch is called.
func (w *world) socket(rests bool) *socket {
	w.Helper()
	peer, taken := tcppair.New(w)
	s := &socket{peer: peer, rests: rests, told: w.told}
	if err := s.Take(taken); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if !s.over {
			s.Close()
		}
		_ = peer.Close()
	})
	return s
}

func (w *world) watch(s *socket) {
	w.Helper()
	if err := w.poller.Add(&s.Socket, s); err != nil {
		w.Fatal(err)
	}
}

func (w *world) next() told {
	w.Helper()
	select {
	case it := <-w.told:
		return it
	case <-time.After(10 * time.Second):
		w.Fatal("nothing is told")
		return told{}
	}
}

// until takes in what is told until a socket has been told all that is wanted.
func (w *world) until(s *socket, want Events) {
	w.Helper()
	for got := Events(0); got&want != want; {
		if it := w.next(); it.of == s {
			s.Note(it.what)
			got |= it.what
		}
	}
}

// An end of stream that came with the last bytes is told with them: after a
// short read nothing else would tell it.
func TestAnEndThatComesWithTheLastBytesIsTold(t *testing.T) {
	w := newWorld(t)
	s := w.socket(false)
	_, _ = io.WriteString(s.peer, "last")
	_ = s.peer.CloseWrite()
	w.watch(s)
	w.until(s, Readable|Ended)
	b := make([]byte, 100)
	if n, err := s.Receive(b); n != 4 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if _, err := s.Receive(b); err != io.EOF {
		t.Errorf("%v; want the end", err)
	}
}

// A short read needs no second one, and the next bytes are told.
func TestAShortReadIsAll(t *testing.T) {
	w := newWorld(t)
	s := w.socket(false)
	w.watch(s)
	b := make([]byte, 100)
	for range 3 {
		_, _ = io.WriteString(s.peer, "some")
		w.until(s, Readable)
		if n, err := s.Receive(b); n != 4 || err != nil || s.CanRead {
			t.Fatalf("%d, %v, may read on: %v", n, err, s.CanRead)
		}
		if _, err := s.Receive(b); !errors.Is(err, ErrWouldBlock) {
			t.Fatal(err)
		}
	}
}

// A full socket tells when it takes bytes again.
func TestAFullSocketTellsThatItTakesMore(t *testing.T) {
	w := newWorld(t)
	s := w.socket(false)
	w.watch(s)
	w.until(s, Writable)
	piece, sent := make([]byte, 1<<20), 0
	for {
		n, err := s.Send(piece, nil)
		if sent += n; errors.Is(err, ErrWouldBlock) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.CopyN(io.Discard, s.peer, int64(sent)); err != nil {
		t.Fatal(err)
	}
	w.until(s, Writable)
	if n, err := s.Send([]byte("x"), nil); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// Of what came at once sockets at rest are told first, and have been told when
// the others are.
func TestSocketsAtRestAreToldFirst(t *testing.T) {
	w := newWorld(t)
	busy, resting := w.socket(false), w.socket(true)
	for _, s := range []*socket{busy, resting} {
		_, _ = io.WriteString(s.peer, "x")
	}
	moment := w.poller.Now()
	if w.poller.HasLookedSince(moment) {
		t.Error("it looked before there was anything")
	}
	held := make(chan struct{})
	gate := w.socket(false)
	w.watch(gate)
	w.until(gate, Writable)
	blocked := &blocker{held: held, at: make(chan struct{})}
	block := w.socket(false)
	if err := w.poller.Add(&block.Socket, blocked); err != nil {
		t.Fatal(err)
	}
	<-blocked.at // both come while the Poller is busy
	w.watch(busy)
	w.watch(resting)
	since := w.poller.Now()
	close(held)
	if first := w.next(); first.of != resting {
		t.Error("the busy one is told first")
	}
	if second := w.next(); second.of != busy || !w.poller.HasLookedSince(since) {
		t.Errorf("the other one is told: %v; the Poller has looked: %v", second.of == busy, w.poller.HasLookedSince(since))
	}
}

// blocker keeps the Poller busy once.
type blocker struct {
	once     sync.Once
	at, held chan struct{}
}

func (b *blocker) Happened(Events, *Batch) {
	b.once.Do(func() {
		close(b.at)
		<-b.held
	})
}

// Nothing is told of a socket that was closed, be its number in use again.
func TestAClosedSocketIsToldNothing(t *testing.T) {
	w := newWorld(t)
	gone := w.socket(false)
	w.watch(gone)
	w.until(gone, Writable)
	gone.Close()
	gone.over = true
	_, _ = io.WriteString(gone.peer, "x")
	other := w.socket(false)
	w.watch(other)
	_, _ = io.WriteString(other.peer, "x")
	for it := w.next(); it.of != other || it.what&Readable == 0; it = w.next() {
		if it.of == gone {
			t.Fatal("it is told")
		}
	}
}

// Many tell at once: all that is told is heeded, by one at a time.
func TestATurnIsOneAtATimeAndMissesNothing(t *testing.T) {
	var turn Turn
	var heeded, working atomic.Int64
	work := func(bits uint32) {
		for ended := false; !ended; bits, ended = turn.End() {
			if working.Add(1) != 1 {
				t.Error("two work at once")
			}
			heeded.Or(int64(bits))
			working.Add(-1)
		}
	}
	var tellers sync.WaitGroup
	for i := range 20 {
		tellers.Go(func() {
			if bits, mine := turn.Claim(1 << i); mine {
				work(bits)
			}
		})
	}
	tellers.Wait()
	if got := heeded.Load(); got != 1<<20-1 {
		t.Errorf("%b was heeded", got)
	}
	turn.Begin()
	if _, mine := turn.Claim(1); mine || turn.Untaken() != 1 || turn.Told() != 1 || turn.Untaken() != 0 {
		t.Error("what is told to who has the turn does not wait for it")
	}
	if _, ended := turn.End(); !ended {
		t.Error("the turn does not end")
	}
}
