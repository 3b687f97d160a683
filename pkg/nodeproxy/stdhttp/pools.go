package stdhttp

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// How long an unused connection to an endpoint is kept. For HTTP/1 it is
// shorter than what servers keep (Node.js: 5 s): a server that closes a
// connection just when it is used again loses the request.
const (
	idleHTTP1 = 4 * time.Second
	idleHTTP2 = 30 * time.Second
	// idleConns bounds the unused HTTP/1 connections to one endpoint.
	idleConns = 1024
)

// pools holds the connections to endpoints. Its zero value is empty and ready.
type pools struct {
	dialer upstream.Dialer
	byEnd  sync.Map // *upstream.Endpoint → *pool
}

// pool is the connections to one endpoint, apart by protocol.
type pool struct {
	http1, http2 *http.Transport

	mu      sync.Mutex // guards what follows, and orders the end and new requests
	users   int        // requests in flight
	retired bool       // no Table names the endpoint
}

// take returns the pool of an endpoint, in use until its leave.
func (p *pools) take(e *upstream.Endpoint) *pool {
	found, ok := p.byEnd.Load(e)
	if !ok {
		found, _ = p.byEnd.LoadOrStore(e, p.open(e))
	}
	out := found.(*pool)
	if e.Gone() {
		// It left the Table meanwhile: nobody will come to forget it.
		p.byEnd.Delete(e)
		out.retire()
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	out.users++
	return out
}

// leave ends a use. The last one of a retired pool closes its connections.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users--
	p.closeRetired()
}

// retire lets the pool end with its last use.
func (p *pool) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	p.closeRetired()
}

// closeRetired closes the idle connections of a retired pool that nobody uses.
// Not before: a connection is idle to http.Transport a moment before it has
// handed over an answer without a body, and the answer would be lost. The
// caller holds the lock.
func (p *pool) closeRetired() {
	if p.retired && p.users == 0 {
		p.http1.CloseIdleConnections()
		p.http2.CloseIdleConnections()
	}
}

func (p *pools) open(e *upstream.Endpoint) *pool {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := p.dialer.Dial(ctx, e)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	transport := func(idle time.Duration) *http.Transport {
		return &http.Transport{
			Protocols:              &http.Protocols{},
			DialContext:            dial,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    idleConns,
			IdleConnTimeout:        idle,
			MaxResponseHeaderBytes: maxHeaderBytes,
			HTTP2:                  http2Config(),
		}
	}
	out := &pool{http1: transport(idleHTTP1), http2: transport(idleHTTP2)}
	out.http1.Protocols.SetHTTP1(true)
	out.http2.Protocols.SetUnencryptedHTTP2(true)
	return out
}

// transport returns the half of the pool that speaks a protocol.
func (p *pool) transport(http2 bool) *http.Transport {
	if http2 {
		return p.http2
	}
	return p.http1
}

// forget drops endpoints. What is in flight goes on, on connections that close
// after it.
func (p *pools) forget(gone []*upstream.Endpoint) {
	for _, e := range gone {
		if found, ok := p.byEnd.LoadAndDelete(e); ok {
			found.(*pool).retire()
		}
	}
}

// close closes all idle connections.
func (p *pools) close() {
	p.byEnd.Range(func(e, found any) bool {
		p.byEnd.Delete(e)
		found.(*pool).retire()
		return true
	})
}
