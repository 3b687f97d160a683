package http1

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Config of an Engine. Current is required; every other zero value works.
type Config struct {
	Log     zerolog.Logger
	Metrics *telemetry.Proxy
	Events  *telemetry.Events
	Dialer  upstream.Dialer
	// Current returns the Snapshot that decides a request that begins now.
	Current func() *upstream.Snapshot
	// Limits of what clients and endpoints may ask.
	Limits limits.Limits
}

// Conn is a client's connection that is known to carry HTTP/1.
type Conn struct {
	// Socket is taken over.
	Socket poll.Connection
	// First was read from it before, at most 64 KiB.
	First []byte
	// At is where the connection was accepted.
	At upstream.Key
	// Client is the address of the client: unmapped, without a zone.
	Client netip.Addr
	// Ended is called once, when the connection has been closed.
	Ended func()
}

// Engine serves HTTP/1 connections. Make it with New, end it with Close.
type Engine struct {
	config    Config
	portion   int // of a body, that must move in time
	epoch     time.Time
	pools     pools
	exchanges sync.Pool       // *exchange
	buffers   sync.Pool       // *[]byte of bufferSize
	life      context.Context // ends with Close
	end       context.CancelFunc
	draining  atomic.Bool
	quiet     atomic.Bool
	over      atomic.Bool
	watch     watch
	pollers   poll.Pollers
	turn      atomic.Uint32
	copies    atomic.Int64 // of requests, under way
	running   sync.WaitGroup
}

// New starts an Engine.
func New(config Config) *Engine {
	config.Limits = config.Limits.OrDefault()
	e := &Engine{config: config, portion: config.Limits.BodyPortion(), epoch: time.Now()}
	e.pools.engine = e
	e.life, e.end = context.WithCancel(context.Background())
	var err error
	if e.pollers, err = poll.Start(&e.running, nil); err != nil {
		config.Log.Error().Err(err).Msg("connections of HTTP/1 cannot be watched: some are not served")
	}
	e.running.Go(e.observe)
	return e
}

// now is the engine's clock: the time since New.
func (e *Engine) now() time.Duration { return time.Since(e.epoch) }

// Serve takes a connection over: it is closed as far as package net is
// concerned, and goes on under a descriptor of the engine's. Ended tells its end.
func (e *Engine) Serve(c Conn) {
	conn := &conn{engine: e, at: c.At, client: c.Client, first: c.First, closed: c.Ended, since: e.now()}
	conn.caller = upstream.Caller{Address: c.Client}
	conn.address = c.Client.AppendTo(nil)
	if err := conn.Take(c.Socket); err != nil {
		_ = c.Socket.Close()
		c.Ended()
		return
	}
	// Nobody works on it but this goroutine, whatever the watch tells it.
	conn.turn.Begin()
	e.watch.add(conn)
	if e.over.Load() {
		conn.Abort()
		conn.end()
		return
	}
	conn.shelf = int(e.turn.Add(1)) % len(e.pollers)
	if err := e.pollers[conn.shelf].Add(&conn.Socket, conn); err != nil {
		conn.end()
		return
	}
	conn.run(0, nil)
}

// Forget closes the idle connections of endpoints that no Table names any more.
func (e *Engine) Forget(gone []*upstream.Endpoint) { e.pools.forget(gone) }

// Drain makes each answer the last of its connection. Connections are still
// served, and new ones are taken.
func (e *Engine) Drain() { e.draining.Store(true) }

// Quiesce closes connections that only wait, once they have been idle for two
// seconds, so that the close hardly ever crosses a request.
func (e *Engine) Quiesce() { e.quiet.Store(true) }

// Reset breaks off every connection at once, and those that still come.
func (e *Engine) Reset() {
	e.over.Store(true)
	e.watch.walk(func(few []*conn) {
		for _, c := range few {
			c.post(killed, nil)
		}
	})
}

// Close ends the engine. Every connection must have been closed.
func (e *Engine) Close() {
	e.end()
	e.pools.close()
	e.pollers.Stop()
	e.running.Wait()
}

// bufferSize is what bodies are moved with.
const bufferSize = 64 << 10

// buffer lends a buffer; give takes it back.
func (e *Engine) buffer() *[]byte {
	if b, ok := e.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, bufferSize)
	return &b
}

func (e *Engine) give(b *[]byte) { e.buffers.Put(b) }
