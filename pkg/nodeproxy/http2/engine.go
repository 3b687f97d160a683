package http2

import (
	"context"
	"net/netip"
	"runtime"
	"runtime/debug"
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
	// Limits of the peers: HeadTimeout closes a connection whose preface, frame
	// or header block does not become whole; BodyTimeout one that takes no byte
	// of what is to be written, and that of an HTTP/1 client that owes the rest of
	// a body and sends none of it.
	Limits limits.Limits
	// WaitTimeout refuses a request that no connection to its endpoint has a
	// place for; zero means 10 seconds.
	WaitTimeout time.Duration
	// KeepTimeout closes a connection to an endpoint that has no stream; zero
	// means 30 seconds.
	KeepTimeout time.Duration
}

func (c *Config) fill() {
	c.Limits = c.Limits.OrDefault()
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	set(&c.WaitTimeout, 10*time.Second)
	set(&c.KeepTimeout, 30*time.Second)
}

// Conn is a client's connection that is known to carry HTTP.
type Conn struct {
	// Socket is taken over.
	Socket poll.Connection
	// First was read from it before, at most 64 KiB: the client's preface, or
	// its begin, and perhaps more.
	First []byte
	// HTTP1 tells that the client speaks HTTP/1, which is translated.
	HTTP1 bool
	// At is where the connection was accepted.
	At upstream.Key
	// Client is the address of the client: unmapped, without a zone.
	Client netip.Addr
	// Ended is called once, when the connection has been closed.
	Ended func()
}

// Engine serves connections whose endpoints speak HTTP/2. Make it with New, end it with Close. Its
// methods are safe for concurrent use.
type Engine struct {
	config   Config
	bridged  *limits.Limits // of what a bridge says
	buffers  buffers
	readers  readers
	askers   askers
	pools    sync.Map // *upstream.Endpoint → *pool
	draining atomic.Bool
	turn     atomic.Uint32
	running  sync.WaitGroup
	open     sync.WaitGroup // connections
	pollers  poll.Pollers
	polling  sync.WaitGroup  // their goroutines
	works    []work          // and what these do
	life     context.Context // ends with Close
	stop     context.CancelFunc

	mu        sync.Mutex // guards what follows
	conns     map[*conn]struct{}
	quiescing bool
	mirror    *conn // by which copies of requests are sent; nil before the first
}

// New starts an Engine.
func New(config Config) *Engine {
	config.fill()
	e := &Engine{config: config, bridged: bridgeLimits(config.Limits), conns: map[*conn]struct{}{}}
	e.life, e.stop = context.WithCancel(context.Background())
	e.works = make([]work, runtime.GOMAXPROCS(0))
	for i := range e.works {
		e.works[i].engine = e
	}
	var err error
	if e.pollers, err = poll.Start(&e.polling, func(poller int) { e.works[poller].round() }); err != nil {
		config.Log.Error().Err(err).Msg("connections of HTTP/2 cannot be watched: some are not served")
	}
	e.running.Go(e.watch)
	return e
}

// Serve takes a connection over and returns at once; Ended tells its end.
func (e *Engine) Serve(in Conn) {
	turn := int(e.turn.Add(1) & 0xffff)
	d, err := e.newDriver(in.Socket, turn)
	if err != nil {
		_ = in.Socket.Close()
		in.Ended()
		return
	}
	w := &work{engine: e, now: time.Now()}
	c := newConn(e, d, w.now)
	c.client = &client{
		at: in.At, address: in.Client, caller: upstream.Caller{Address: in.Client}, text: []byte(in.Client.String()), ended: in.Ended,
		http1: in.HTTP1, shard: turn,
	}
	d.conn, c.driver = c, d
	c.partial.Store(w.now.UnixNano())
	if in.HTTP1 {
		c.bridged(d)
	} else {
		c.unread = preface
		c.firstFrames(w)
	}
	e.register(c)
	d.start(w, in.First)
}

func (e *Engine) register(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life.Err() == nil {
		e.conns[c] = struct{}{}
		e.open.Add(1)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill() // it ends as soon as it is started
}

func (e *Engine) unregister(c *conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.conns[c]; known {
		delete(e.conns, c)
		e.open.Done()
	}
}

// all returns the connections of now.
func (e *Engine) all() []*conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*conn, 0, len(e.conns))
	for c := range e.conns {
		out = append(out, c)
	}
	return out
}

// poolOf returns the pool of an endpoint. One that is gone has none to keep.
func (e *Engine) poolOf(endpoint *upstream.Endpoint) *pool {
	if found, ok := e.pools.Load(endpoint); ok {
		return found.(*pool)
	}
	found, _ := e.pools.LoadOrStore(endpoint, newPool(e, endpoint))
	if endpoint.Gone() {
		// It left the Table meanwhile: nobody will come to forget it.
		e.pools.Delete(endpoint)
	}
	return found.(*pool)
}

// Forget lets the connections to endpoints that no Table names any more end
// when their last stream has.
func (e *Engine) Forget(gone []*upstream.Endpoint) {
	w := &work{engine: e, now: time.Now()}
	for _, endpoint := range gone {
		if found, ok := e.pools.LoadAndDelete(endpoint); ok {
			found.(*pool).retire(w)
		}
	}
	w.finish()
}

// Drain tells the clients to go (RFC 9113 §6.8). Connections are still served,
// and new ones are taken: one that comes from now on is told to go with its
// first request.
func (e *Engine) Drain() {
	if !e.draining.Swap(true) {
		e.each((*conn).sayGoodbye)
	}
}

// Quiesce takes no new streams: as soon as a client has read that it should go
// its connection ends with the last stream it has.
func (e *Engine) Quiesce() {
	e.mu.Lock()
	e.quiescing = true
	e.mu.Unlock()
	e.each((*conn).sayLast)
}

// each does something with every client's connection, under its lock.
func (e *Engine) each(do func(*conn, *work)) {
	w := &work{engine: e, now: time.Now()}
	for _, c := range e.all() {
		if c.down() {
			c.locked(w, do)
		}
	}
	w.finish()
}

func (c *conn) locked(w *work, do func(*conn, *work)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do(c, w)
}

// Reset breaks off every connection at once, and those that still come.
func (e *Engine) Reset() {
	e.stop()
	for _, c := range e.all() {
		c.mu.Lock()
		c.kill()
		c.mu.Unlock()
	}
}

// Close ends the engine and what it still serves.
func (e *Engine) Close() {
	e.Reset()
	e.open.Wait()
	e.running.Wait() // a connection that was being made is over by then, too
	e.pollers.Stop()
	e.polling.Wait()
}

// guard keeps a fault from taking more with it than one connection.
func (e *Engine) guard(what string) {
	if fault := recover(); fault != nil {
		e.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg(what)
	}
}
