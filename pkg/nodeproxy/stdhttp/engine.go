package stdhttp

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// What an HTTP peer may ask of the proxy.
const (
	maxHeaderBytes    = 64 << 10
	readHeaderTimeout = 10 * time.Second
	maxStreams        = 256
	// streamBuffer is what a stalled reader costs. The connection's share lets
	// every stream stall without holding up the others.
	streamBuffer     = 64 << 10
	connectionBuffer = maxStreams * streamBuffer
)

// Config of an Engine. Current is required; every other zero value works.
type Config struct {
	Log     zerolog.Logger
	Metrics *telemetry.Proxy
	Dialer  upstream.Dialer
	// Current returns the Snapshot that decides a request that begins now.
	Current func() *upstream.Snapshot
	// IdleTimeout closes a client's connection without requests; zero means 5 minutes.
	IdleTimeout time.Duration
}

// Conn is a client's connection that is known to carry HTTP.
type Conn struct {
	*net.TCPConn
	// First was read from it before.
	First []byte
	// HTTP2 tells that First begins the HTTP/2 client preface.
	HTTP2 bool
	// At is where the connection was accepted.
	At upstream.Key
	// Client is the address of the client: unmapped, without a zone.
	Client netip.Addr
	// Ended is called once, when the connection has been closed.
	Ended func()
}

// Engine serves HTTP connections. Make it with New, end it with Close.
type Engine struct {
	config  Config
	pools   pools
	http1   *server
	http2   atomic.Pointer[server]
	late    *server // takes HTTP/2 connections once Drain was called
	drains  atomic.Bool
	idle    idlers
	running sync.WaitGroup
	serving sync.WaitGroup  // the requests
	life    context.Context // ends with Close
	end     context.CancelFunc
}

// New starts an Engine.
func New(config Config) *Engine {
	if config.IdleTimeout == 0 {
		config.IdleTimeout = 5 * time.Minute
	}
	e := &Engine{config: config, pools: pools{dialer: config.Dialer}}
	e.life, e.end = context.WithCancel(context.Background())
	e.http1, e.late = e.newServer(), e.newServer()
	e.http2.Store(e.newServer())
	return e
}

// server is a net/http server that is given its connections one by one.
type server struct {
	*http.Server
	listener *given
}

func (e *Engine) newServer() *server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &server{listener: newGiven(), Server: &http.Server{
		Handler:                      e.handler(),
		Protocols:                    &protocols,
		HTTP2:                        http2Config(),
		MaxHeaderBytes:               maxHeaderBytes,
		ReadHeaderTimeout:            readHeaderTimeout,
		IdleTimeout:                  e.config.IdleTimeout,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(debugLog{e.config.Log}, "", 0),
		ConnContext:                  withConn,
		ConnState:                    e.idle.observe,
	}}
	e.running.Go(func() { _ = s.Server.Serve(s.listener) })
	return s
}

func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReceiveBufferPerStream:     streamBuffer,
		MaxReceiveBufferPerConnection: connectionBuffer,
	}
}

// Serve takes a connection over and returns at once; Ended tells its end.
func (e *Engine) Serve(c Conn) {
	conn := newConn(c)
	if !c.HTTP2 {
		e.idle.add(conn)
		e.hand(conn, e.http1)
		return
	}
	e.hand(conn, e.http2.Load(), e.late)
}

// hand gives a connection to the first server that takes it: Drain may have
// closed one just now.
func (e *Engine) hand(c *conn, servers ...*server) {
	for _, s := range servers {
		if s.listener.give(c) {
			return
		}
	}
	_ = c.Close()
}

// Forget closes the idle connections of endpoints that no Table names any more.
func (e *Engine) Forget(gone []*upstream.Endpoint) { e.pools.forget(gone) }

// Drain makes each answer the last of its HTTP/1 connection and tells the
// HTTP/2 clients to go (RFC 9113 §6.8). Connections are still served, and new
// ones are taken: an HTTP/2 connection that comes from now on is told to go
// with its first answer.
func (e *Engine) Drain() {
	if e.drains.Swap(true) {
		return
	}
	e.shutdown(e.http2.Swap(e.late))
}

// Quiesce ends connections that only wait: HTTP/2 clients are told to go, and
// an HTTP/1 connection is closed once it has been idle for two seconds, so that
// the close hardly ever crosses a request.
func (e *Engine) Quiesce() {
	e.shutdown(e.late)
	e.running.Go(func() { e.idle.closeIdle(e.life) })
}

// shutdown sends GOAWAY on all HTTP/2 connections of a server. It has no
// connections of HTTP/1, whose idle ones this would close at once.
func (e *Engine) shutdown(s *server) {
	e.running.Go(func() { _ = s.Shutdown(e.life) })
}

// Close ends the engine. Every connection must have ended.
func (e *Engine) Close() {
	e.end()
	for _, s := range []*server{e.http1, e.http2.Load(), e.late} {
		_ = s.Close()
	}
	e.running.Wait()
	e.serving.Wait()
	e.pools.close()
}

// debugLog writes what the standard library has to say about peers.
type debugLog struct{ log zerolog.Logger }

// Write logs one line.
func (d debugLog) Write(line []byte) (int, error) {
	d.log.Debug().Msg(string(line))
	return len(line), nil
}
