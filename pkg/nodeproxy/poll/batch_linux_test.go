package poll

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/internal/tcppair"
)

// asker asks a Batch for one thing and keeps what came of it.
type asker struct {
	*socket
	q    *Batch
	send bool
	a, b []byte
	n    int
	err  error
}

func (a *asker) Resume() {
	if a.send {
		a.n, a.err = a.q.Send(&a.Socket, a.a, a.b)
	} else {
		a.n, a.err = a.q.Receive(&a.Socket, a.a)
	}
	if a.err == ErrAsked {
		a.q.Hold(a)
	}
}

// asks has each of the askers ask, and what they ask for done.
func asks(t *testing.T, q *Batch, all ...*asker) {
	t.Helper()
	for _, a := range all {
		a.q = q
		if a.Resume(); a.err != ErrAsked {
			t.Fatalf("asked: %d, %v", a.n, a.err)
		}
	}
	if !q.flush() || q.flush() {
		t.Error("not all is done")
	}
}

// batches are one with the kernel's help and one without.
func batches(t *testing.T, f func(*testing.T, *world, *Batch)) {
	for _, helped := range []bool{true, false} {
		t.Run(fmt.Sprint("helped=", helped), func(t *testing.T) {
			q := &Batch{}
			if err := q.kernel.open(); err != nil {
				t.Fatal(err)
			}
			if !helped {
				q.kernel.close()
			}
			t.Cleanup(q.kernel.close)
			f(t, newWorld(t), q)
		})
	}
}

// watched is a socket that may read and write.
func (w *world) watched() *socket {
	s := w.socket(false)
	w.watch(s)
	w.until(s, Writable)
	return s
}

// What is done for many at once ends for each as if it were done alone.
func TestABatchDoesWhatEachAsksFor(t *testing.T) {
	batches(t, func(t *testing.T, w *world, q *Batch) {
		reader := func(prepare func(*socket)) *asker {
			a := &asker{socket: w.watched(), a: make([]byte, 100)}
			prepare(a.socket)
			a.CanRead = true
			return a
		}
		some := reader(func(s *socket) { _, _ = io.WriteString(s.peer, "some"); w.until(s, Readable) })
		nothing := reader(func(*socket) {})
		end := reader(func(s *socket) { _ = s.peer.CloseWrite(); w.until(s, Ended) })
		reset := reader(func(s *socket) { _ = s.peer.SetLinger(0); _ = s.peer.Close(); w.until(s, Broken) })
		one := &asker{socket: w.watched(), send: true, a: []byte("one")}
		two := &asker{socket: w.watched(), send: true, a: []byte("one"), b: []byte("two")}
		second := &asker{socket: w.watched(), send: true, b: []byte("two")}
		broken := &asker{socket: w.watched(), send: true, a: []byte("one")}
		broken.CloseWrite()

		asks(t, q, some, nothing, end, reset, one, two, second, broken)
		for _, a := range []struct {
			name string
			*asker
			n   int
			err error
		}{
			{"some", some, 4, nil},
			{"nothing", nothing, 0, ErrWouldBlock},
			{"the end", end, 0, io.EOF},
			{"a reset", reset, 0, syscall.ECONNRESET},
			{"one part", one, 3, nil},
			{"two parts", two, 6, nil},
			{"the second only", second, 3, nil},
			{"after the end", broken, 0, syscall.EPIPE},
		} {
			if a.asker.n != a.n || a.asker.err != a.err {
				t.Errorf("%s: %d, %v; want %d, %v", a.name, a.asker.n, a.asker.err, a.n, a.err)
			}
			if a.Asked() {
				t.Errorf("%s: still asked", a.name)
			}
		}
		if some.CanRead || nothing.CanRead || string(some.a[:4]) != "some" {
			t.Errorf("may read on: %v, %v; read %q", some.CanRead, nothing.CanRead, some.a[:4])
		}
		for want, of := range map[string]*asker{"one": one, "onetwo": two, "two": second} {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(of.peer, got); err != nil || string(got) != want {
				t.Errorf("sent %q, %v; want %q", got, err, want)
			}
		}
	})
}

// That there was nothing to read is forgotten where it is known meanwhile that there
// is, as after a write that was refused: what the peer has said before is read.
func TestNothingToReadIsNoResult(t *testing.T) {
	batches(t, func(t *testing.T, w *world, q *Batch) {
		nothing, other := &asker{socket: w.watched(), a: make([]byte, 100), q: q}, &asker{socket: w.watched(), send: true, a: []byte("one"), q: q}
		nothing.CanRead = true
		nothing.Resume()
		other.Resume()
		q.do()
		_, _ = io.WriteString(nothing.peer, "more")
		w.until(nothing.socket, Readable)
		q.flush()
		if nothing.n != 4 || nothing.err != nil {
			t.Errorf("read %d, %v; want 4 bytes", nothing.n, nothing.err)
		}
	})
}

// A full socket takes a part, then nothing.
func TestABatchFillsASocket(t *testing.T) {
	batches(t, func(t *testing.T, w *world, q *Batch) {
		much := bytes.Repeat([]byte("x"), 64<<20)
		full, other := &asker{socket: w.watched(), send: true, a: much}, &asker{socket: w.watched(), send: true, a: []byte("one")}
		asks(t, q, full, other)
		if full.err != nil || full.n == 0 || full.n == len(much) {
			t.Fatalf("%d, %v; want a part", full.n, full.err)
		}
		for full.err == nil {
			asks(t, q, full, other)
		}
		if full.err != ErrWouldBlock || full.CanWrite {
			t.Errorf("%v, may write on: %v", full.err, full.CanWrite)
		}
	})
}

// What a closed socket has asked for is not done, to whoever has its descriptor
// by then.
func TestABatchForgetsAClosedSocket(t *testing.T) {
	batches(t, func(t *testing.T, w *world, q *Batch) {
		gone, stays := &asker{socket: w.watched(), send: true, a: []byte("gone")}, &asker{socket: w.watched(), send: true, a: []byte("stays")}
		if _, err := q.Send(&gone.Socket, gone.a, nil); err != ErrAsked {
			t.Fatal(err)
		}
		stays.q = q
		stays.Resume()
		number := gone.FD()
		gone.Close()
		gone.over = true
		next := w.watched()
		for next.FD() != number {
			next = w.watched()
		}
		if !q.flush() || stays.n != 5 || stays.err != nil {
			t.Errorf("%d, %v", stays.n, stays.err)
		}
		next.CloseWrite()
		if got, err := io.ReadAll(next.peer); len(got) > 0 || err != nil {
			t.Errorf("another socket has sent %q, %v", got, err)
		}
	})
}

// More than one call does, again and again, so that the kernel's ring of results
// goes round.
func TestABatchOfMany(t *testing.T) {
	batches(t, func(t *testing.T, w *world, q *Batch) {
		var all []*asker
		for range mostAtOnce + 7 {
			all = append(all, &asker{socket: w.watched(), send: true})
		}
		for round := range 50 {
			for i, a := range all {
				a.a = fmt.Appendf(nil, "%d of %d", i, round)
			}
			asks(t, q, all...)
			got := make([]byte, 100)
			for i, a := range all {
				if a.n != len(a.a) || a.err != nil {
					t.Fatalf("round %d: %d sent %d, %v", round, i, a.n, a.err)
				}
				if n, err := a.peer.Read(got); string(got[:n]) != string(a.a) {
					t.Fatalf("round %d: %d has sent %q, %v", round, i, got[:n], err)
				}
			}
		}
	})
}

// BenchmarkBatch sends and receives a hundred bytes on each of 32 connections, one
// by one and in batches.
func BenchmarkBatch(b *testing.B) {
	for _, together := range []bool{false, true} {
		b.Run(map[bool]string{false: "one by one", true: "together"}[together], func(b *testing.B) {
			var q *Batch
			if together {
				q = &Batch{}
				if err := q.kernel.open(); err != nil {
					b.Fatal(err)
				}
				defer q.kernel.close()
			}
			var senders, receivers []*asker
			for range 32 {
				one, other := tcppair.New(b)
				sender, receiver := &asker{socket: &socket{}, send: true, a: make([]byte, 100)}, &asker{socket: &socket{}, a: make([]byte, 4096)}
				if err := errors.Join(sender.Take(one), receiver.Take(other)); err != nil {
					b.Fatal(err)
				}
				defer sender.Close()
				defer receiver.Close()
				sender.CanWrite = true
				senders, receivers = append(senders, sender), append(receivers, receiver)
			}
			b.ResetTimer()
			for i := 0; i < b.N; i += len(senders) {
				for _, all := range [][]*asker{senders, receivers} {
					for _, a := range all {
						a.CanRead = true
						a.q = q
						a.Resume()
					}
					if together {
						q.flush()
					}
				}
			}
			b.StopTimer()
			for _, r := range receivers {
				if r.n != 100 || r.err != nil {
					b.Fatalf("received %d, %v", r.n, r.err)
				}
			}
		})
	}
}
