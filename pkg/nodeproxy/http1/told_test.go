package http1

import (
	"io"
	"runtime"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/internal/tcppair"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// ended makes a socket whose peer has ended its stream.
func ended(t *testing.T, s *poll.Socket) {
	t.Helper()
	near, far := tcppair.New(t)
	_ = far.Close()
	if _, err := near.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	if err := s.Take(near); err != nil {
		t.Fatal(err)
	}
	s.CanRead = true
}

// kept returns a link of an engine's pool, which has ended.
func kept(t *testing.T) (*link, *shelf) {
	t.Helper()
	e := New(Config{})
	t.Cleanup(e.Close)
	l := &link{pool: e.pools.of(&upstream.Endpoint{})}
	ended(t, &l.Socket)
	s := &l.pool.shelves[0]
	s.idle = append(s.idle, rested{link: l})
	return l, s
}

// A conn may let a link go before it is told of it: then the pool is told.
func TestALinkThatWasLetGoIsLookedAt(t *testing.T) {
	l, s := kept(t)
	c := &conn{engine: l.pool.engine, state: lingering}
	c.closed = func() { l.owner.Store(nil) } // as whoever worked on it just before did
	ended(t, &c.Socket)
	c.engine.watch.add(c)
	l.owner.Store(c)
	l.Happened(poll.Readable|poll.Ended, nil)
	if c.state != over || len(s.idle) > 0 {
		t.Error("a link that has ended is kept")
	}
}

// A link may be taken while the pool is about to look at it: then who took it is told.
func TestALinkThatWasTakenMeanwhileIsTold(t *testing.T) {
	for range 20 {
		l, s := kept(t)
		c, told := &conn{}, make(chan struct{})
		c.turn.Begin()
		s.mu.Lock()
		go func() {
			defer close(told)
			l.Happened(poll.Readable|poll.Ended, nil)
		}()
		for range 100 {
			runtime.Gosched()
		}
		l.owner.Store(c)
		s.idle = nil
		s.mu.Unlock()
		<-told
		if c.turn.Untaken() != uint32(poll.Readable|poll.Ended)<<linkShift {
			t.Fatal("nobody was told")
		}
		l.Socket.Close()
	}
}

// A reset is told once: where it was told to who sends, the end that is received
// is none of the answer.
func TestAResetToldToWhoSendsIsNoEnd(t *testing.T) {
	for refused, want := range map[error]outcome{
		syscall.ECONNRESET: torn,
		syscall.EPIPE:      complete, // it had ended before
	} {
		x := &exchange{}
		if _, err := x.response.Parse([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		x.begun, x.headDone, x.refused, x.rest = true, true, refused, x.response.Body()
		if x.hungUp(io.EOF); x.outcome != want {
			t.Errorf("%v: it is %v, %v", refused, x.outcome, x.why)
		}
	}
}
