package l4

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// farewell is how long one direction may still deliver what is under way after
// the other broke.
const farewell = time.Second

// relay moves bytes between two connections until both directions have ended.
// Whoever tells it what happens to them while nobody works on it has the turn,
// and works until nothing more was told.
type relay struct {
	client, server *net.TCPConn
	// fromClient and fromServer were read before and go first.
	fromClient, fromServer []byte
	// idle ends the relay after so long without a byte either way, or at most a
	// quarter later; zero never.
	idle    time.Duration
	poller  *poll.Poller
	running *sync.WaitGroup
	pieces  *pieces
	counter *telemetry.Connection

	turn     poll.Turn
	batch    *poll.Batch // of the poller that works on it; nil where another goroutine does
	ends     [2]end      // the client's and the server's
	up, down stream      // to the server, to the client
	ended    chan error  // how each of the two has ended
	closed   chan struct{}
}

// What a relay is told beside the events of its two sockets, as bits.
const (
	aborted = 1 << (2*poll.EventBits + iota) // both directions end at once
	closing                                  // the connections are to be closed
	resets                                   // by a reset
)

// end is one of the two connections.
type end struct {
	poll.Socket
	relay *relay
	shift int // of its events in the relay's word
}

// Happened is told by the poller.
func (e *end) Happened(what poll.Events, batch *poll.Batch) {
	e.relay.post(uint32(what)<<e.shift, batch)
}

// prepared returns a relay that may be aborted, and run.
func prepared(r *relay) *relay {
	r.ended, r.closed = make(chan error, 2), make(chan struct{})
	r.turn.Begin()
	return r
}

// run returns when both connections are closed, and whether they were reset; the
// end of the context resets them. An end of stream of one side is passed on as
// such, and the other direction goes on. A direction that breaks resets both
// connections after what is under way the other way was delivered.
func (r *relay) run(ctx context.Context) (reset bool) {
	if r.open() != nil {
		return true
	}
	defer context.AfterFunc(ctx, r.abort)()
	r.work(r.turn.Told(), nil)
	how := uint32(closing)
	if r.wait() == nil {
		if r.wait() != nil {
			how |= resets
		}
	} else {
		how |= resets
		timer := time.NewTimer(farewell)
		defer timer.Stop()
		select {
		case <-r.ended:
		case <-timer.C:
		}
	}
	r.post(how, nil)
	<-r.closed
	return how&resets != 0
}

// open takes the connections over. Where that fails both are reset.
func (r *relay) open() error {
	client, server := &r.ends[0], &r.ends[1]
	if err := client.Take(r.client); err != nil {
		Reset(r.client)
		Reset(r.server)
		return err
	}
	if err := server.Take(r.server); err != nil {
		r.closeEnds(client)
		Reset(r.server)
		return err
	}
	r.up = stream{from: &client.Socket, to: &server.Socket, other: &r.down, pieces: r.pieces, count: r.counter.Received, rest: r.fromClient}
	r.down = stream{from: &server.Socket, to: &client.Socket, other: &r.up, pieces: r.pieces, count: r.counter.Sent, rest: r.fromServer}
	for i := range r.ends {
		r.ends[i].relay, r.ends[i].shift = r, i*poll.EventBits
		if err := r.poller.Add(&r.ends[i].Socket, &r.ends[i]); err != nil {
			r.closeEnds(client, server)
			return err
		}
	}
	return nil
}

func (r *relay) closeEnds(ends ...*end) {
	for _, e := range ends {
		e.Abort()
		e.Close()
	}
}

// post tells the relay something. Unless somebody works on it, the caller does.
func (r *relay) post(bits uint32, batch *poll.Batch) {
	if bits, mine := r.turn.Claim(bits); mine {
		r.work(bits, batch)
	}
}

// work heeds what was posted. The caller has the turn.
func (r *relay) work(bits uint32, batch *poll.Batch) {
	r.batch = batch
	if r.note(bits) {
		r.goOn()
	}
}

// Resume goes on with what the batch has done.
func (r *relay) Resume() { r.goOn() }

// note takes in what was posted. It returns false where the relay is over: then
// the turn does not end, since nobody comes after.
func (r *relay) note(bits uint32) bool {
	for i := range r.ends {
		r.ends[i].Note(poll.Among(bits >> r.ends[i].shift))
	}
	if bits&aborted != 0 {
		r.end(&r.up, errAborted)
		r.end(&r.down, errAborted)
	}
	if bits&closing != 0 {
		r.close(bits&resets != 0)
		return false
	}
	r.up.turns, r.down.turns = mostPieces, mostPieces
	return true
}

// goOn moves what can be moved until nothing is posted any more, or the batch was
// asked.
func (r *relay) goOn() {
	for {
		up, down := r.move(&r.up), r.move(&r.down)
		if r.ends[0].Asked() || r.ends[1].Asked() {
			r.batch.Hold(r)
			return
		}
		if up || down {
			r.running.Go(func() { r.work(r.turn.Told(), nil) })
			return
		}
		r.heedResets()
		bits, ended := r.turn.End()
		if ended || !r.note(bits) {
			return
		}
	}
}

// move moves what one direction can move, and tells its end. A panic is an
// error of this relay only.
func (r *relay) move(s *stream) (goesOn bool) {
	if s.done {
		return false
	}
	defer func() {
		if recover() != nil {
			// What was asked for is forgotten, so that both end at once.
			r.ends[0].Forget()
			r.ends[1].Forget()
			s.finish(errPanic)
			r.end(s.other, errPanic)
		}
		if s.done {
			r.ended <- s.err
		}
	}()
	return s.move(r.batch)
}

// heedResets ends a direction to a connection that was reset after its own stream
// had ended: nobody finds out by reading or, while nothing comes, by writing.
// What the other was sent is still delivered.
func (r *relay) heedResets() {
	if r.up.done && r.ends[0].Broken {
		r.end(&r.down, nil)
	}
	if r.down.done && r.ends[1].Broken {
		r.end(&r.up, nil)
	}
}

// end ends a direction.
func (r *relay) end(s *stream, err error) {
	if !s.done {
		s.finish(err)
		r.ended <- err
	}
}

// close closes both connections.
func (r *relay) close(reset bool) {
	r.up.finish(nil)
	r.down.finish(nil)
	for i := range r.ends {
		if reset {
			r.ends[i].Abort()
		}
		r.ends[i].Close()
	}
	close(r.closed)
}

// wait returns how the next direction ended. Both are aborted once they were
// idle for too long.
func (r *relay) wait() error {
	if r.idle == 0 {
		return <-r.ended
	}
	const looks = 4
	ticker := time.NewTicker(max(r.idle/looks, 1))
	defer ticker.Stop()
	for last, quiet := r.moved(), 0; quiet < looks; {
		select {
		case err := <-r.ended:
			return err
		case <-ticker.C:
			quiet++
		}
		if now := r.moved(); now != last {
			last, quiet = now, 0
		}
	}
	r.abort()
	return <-r.ended
}

// moved is how many bytes went either way.
func (r *relay) moved() int64 { return r.up.moved.Load() + r.down.moved.Load() }

// Guard is deferred by a goroutine that may lose its own work to a fault of the
// proxy but must not end the process.
func Guard(log zerolog.Logger, what string) {
	if fault := recover(); fault != nil {
		log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg(what + " failed by a fault of the proxy")
	}
}

var (
	errPanic   = errors.New("a fault in the relay")
	errAborted = errors.New("the relay was aborted")
)

// abort resets both connections now.
func (r *relay) abort() { r.post(aborted, nil) }
