package l4

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

const (
	// countEvery is after how many bytes a busy direction is counted: metrics
	// move while a long transfer runs, and each piece is still spliced whole.
	countEvery = 4 << 20
	// farewell is how long one direction may still deliver what is under way
	// after the other broke.
	farewell = time.Second
)

// relay copies between two connections until both directions have ended. The
// connections stay *net.TCPConn: only so can the kernel splice them.
type relay struct {
	client, server *net.TCPConn
	// fromClient and fromServer were read before and go first.
	fromClient, fromServer []byte
	// idle ends the relay after so long without a byte either way; zero never.
	idle    time.Duration
	counter *telemetry.Connection

	buffers sync.Pool
	active  atomic.Int64 // Unix nanoseconds of the last byte; with idle only
}

// run returns when both connections are closed; the end of the context resets
// them. An end of stream of one side is
// passed on as such, and the other direction goes on. A direction that breaks
// resets both connections after what is under way the other way was delivered.
func (r *relay) run(ctx context.Context) {
	defer context.AfterFunc(ctx, r.abort)()
	defer r.server.Close()
	defer r.client.Close()
	r.touch()
	ended := make(chan error, 2)
	go guarded(ended, r.toServer)
	go guarded(ended, r.toClient)
	if <-ended == nil {
		if <-ended != nil {
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

// guarded sends what f returns; a panic in f is an error of this relay only.
func guarded(ended chan<- error, f func() error) {
	err := errPanic
	defer func() {
		_ = recover()
		ended <- err
	}()
	err = f()
}

var errPanic = errors.New("a fault in the relay")

// reset lets Close send RST instead of FIN: the peer must not take a broken
// stream for a complete one.
func (r *relay) reset() {
	_ = r.client.SetLinger(0)
	_ = r.server.SetLinger(0)
}

// abort resets both connections now.
func (r *relay) abort() {
	Reset(r.client)
	Reset(r.server)
}

func (r *relay) toServer() error {
	return r.copy(r.server, r.client, r.fromClient, r.counter.Received)
}

func (r *relay) toClient() error {
	return r.copy(r.client, r.server, r.fromServer, r.counter.Sent)
}

// copy carries one direction to its end and passes the end on.
func (r *relay) copy(to, from *net.TCPConn, first []byte, count func(int64)) error {
	if len(first) > 0 {
		n, err := to.Write(first)
		count(int64(n))
		if err != nil {
			return err
		}
	}
	move := r.splice
	if r.idle > 0 {
		move = r.watched
	}
	for {
		n, err := move(to, from)
		count(n)
		if errors.Is(err, io.EOF) {
			return to.CloseWrite()
		}
		if err != nil {
			return err
		}
	}
}

// splice moves up to countEvery bytes; io.EOF at the end of the stream.
func (r *relay) splice(to, from *net.TCPConn) (int64, error) {
	return io.CopyN(to, from, countEvery)
}

// watched moves what one read gives, while either direction is active.
func (r *relay) watched(to, from *net.TCPConn) (int64, error) {
	buffer := r.buffer()
	defer r.buffers.Put(buffer)
	last := time.Unix(0, r.active.Load())
	if err := from.SetReadDeadline(last.Add(r.idle)); err != nil {
		return 0, err
	}
	n, err := from.Read(*buffer)
	if n > 0 {
		r.touch()
		if n, err := to.Write((*buffer)[:n]); err != nil {
			return int64(n), err
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, r.active.Load())) < r.idle {
		err = nil
	}
	return int64(n), err
}

func (r *relay) buffer() *[]byte {
	if b, ok := r.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 32<<10)
	return &b
}

func (r *relay) touch() {
	if r.idle > 0 {
		r.active.Store(time.Now().UnixNano())
	}
}
