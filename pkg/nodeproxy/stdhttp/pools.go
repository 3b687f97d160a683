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
type pool struct{ http1, http2 *http.Transport }

// of returns the pool of an endpoint. One that is gone has none to keep.
func (p *pools) of(e *upstream.Endpoint) *pool {
	if found, ok := p.byEnd.Load(e); ok {
		return found.(*pool)
	}
	found, _ := p.byEnd.LoadOrStore(e, p.open(e))
	if e.Gone() {
		// It left the Table meanwhile: nobody will come to forget it.
		p.byEnd.Delete(e)
	}
	return found.(*pool)
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

func (p *pool) closeIdle() {
	p.http1.CloseIdleConnections()
	p.http2.CloseIdleConnections()
}

// forget drops endpoints. What is in flight goes on, on connections that close
// after it.
func (p *pools) forget(gone []*upstream.Endpoint) {
	for _, e := range gone {
		if found, ok := p.byEnd.LoadAndDelete(e); ok {
			found.(*pool).closeIdle()
		}
	}
}

// close closes all idle connections.
func (p *pools) close() {
	p.byEnd.Range(func(e, found any) bool {
		p.byEnd.Delete(e)
		found.(*pool).closeIdle()
		return true
	})
}
