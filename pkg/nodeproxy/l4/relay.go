package l4

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// farewell is how long one direction may still deliver what is under way after
// the other broke.
const farewell = time.Second

// relay moves bytes between two connections until both directions have ended.
type relay struct {
	client, server *net.TCPConn
	// fromClient and fromServer were read before and go first.
	fromClient, fromServer []byte
	// idle ends the relay after so long without a byte either way, or at most a
	// quarter later; zero never.
	idle    time.Duration
	pieces  *pieces
	counter *telemetry.Connection

	up, down stream // to the server, to the client
}

// run returns when both connections are closed; the end of the context resets
// them. An end of stream of one side is passed on as such, and the other direction goes on. A direction that breaks
// resets both connections after what is under way the other way was delivered.
func (r *relay) run(ctx context.Context) {
	defer context.AfterFunc(ctx, r.abort)()
	defer r.server.Close()
	defer r.client.Close()
	if r.open() != nil {
		r.reset()
		return
	}
	ended := make(chan error, 2)
	go guarded(ended, r.toServer)
	go guarded(ended, r.toClient)
	if r.wait(ended) == nil {
		if r.wait(ended) != nil {
			r.reset()
		}
		return
	}
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-ended:
		r.reset()
	case <-timer.C:
		r.abort()
		<-ended
	}
}

// open prepares both directions.
func (r *relay) open() error {
	r.up = stream{other: &r.down, pieces: r.pieces, count: r.counter.Received}
	r.down = stream{other: &r.up, pieces: r.pieces, count: r.counter.Sent}
	if err := r.up.open(r.server, r.client); err != nil {
		return err
	}
	return r.down.open(r.client, r.server)
}

// wait returns how the next direction ended. Both are aborted once they were
// idle for too long.
func (r *relay) wait(ended <-chan error) error {
	if r.idle == 0 {
		return <-ended
	}
	const looks = 4
	ticker := time.NewTicker(max(r.idle/looks, 1))
	defer ticker.Stop()
	for last, quiet := r.moved(), 0; quiet < looks; {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
			quiet++
		}
		if now := r.moved(); now != last {
			last, quiet = now, 0
		}
	}
	r.abort()
	return <-ended
}

// moved is how many bytes went either way.
func (r *relay) moved() int64 { return r.up.moved.Load() + r.down.moved.Load() }

// guarded sends what f returns; a panic in f is an error of this relay only.
func guarded(ended chan<- error, f func() error) {
	err := errPanic
	defer func() {
		_ = recover()
		ended <- err
	}()
	err = f()
}

// Guard is deferred by a goroutine that may lose its own work to a fault of the
// proxy but must not end the process.
func Guard(log zerolog.Logger, what string) {
	if fault := recover(); fault != nil {
		log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg(what + " failed by a fault of the proxy")
	}
}

var errPanic = errors.New("a fault in the relay")

// reset lets Close send RST instead of FIN: the peer must not take a broken
// stream for a complete one.
func (r *relay) reset() {
	_ = r.client.SetLinger(0)
	_ = r.server.SetLinger(0)
}

// abort resets both connections now. The deadline first stops both directions:
// a connection closes only once nobody is in the middle of a callback.
func (r *relay) abort() {
	past := time.Unix(1, 0)
	_ = r.client.SetDeadline(past)
	_ = r.server.SetDeadline(past)
	Reset(r.client)
	Reset(r.server)
}

func (r *relay) toServer() error { return r.up.carry(r.fromClient) }

func (r *relay) toClient() error { return r.down.carry(r.fromServer) }
