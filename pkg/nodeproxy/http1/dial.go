package http1

import (
	"sync/atomic"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// dial is one attempt to connect to an endpoint, made by a goroutine of its own,
// which posts to the conn when it has ended.
type dial struct {
	state atomic.Uint32
	pool  *pool
	conn  *conn
	link  *link
	err   error
}

// The states of a dial.
const (
	attempting uint32 = iota
	attempted         // link or err are set
	abandoned         // nobody waits for them any more
)

// dial begins to connect to a pool's endpoint. The Dialer's deadline bounds it.
func (e *Engine) dial(c *conn, p *pool) *dial {
	d := &dial{pool: p, conn: c}
	e.running.Go(func() {
		if d.link, d.err = e.connect(c, p); d.state.CompareAndSwap(attempting, attempted) {
			c.post(dialed, nil)
		} else {
			d.drop()
		}
	})
	return d
}

// connect returns a link that belongs to the conn. Every error is a
// *upstream.DialError.
func (e *Engine) connect(c *conn, p *pool) (*link, error) {
	conn, err := e.config.Dialer.Open(e.life, p.endpoint, upstream.ProtocolHTTP1, &e.running)
	if err != nil {
		return nil, err
	}
	l := &link{pool: p, shelf: c.shelf, relay: conn.Relay}
	l.owner.Store(c)
	if err := l.Take(conn.Socket); err != nil {
		_ = conn.Close()
		p.endpoint.Disconnected()
		return nil, &upstream.DialError{Endpoint: p.endpoint, Err: err}
	}
	if err := e.pollers[l.shelf].Add(&l.Socket, l); err != nil {
		l.close()
		return nil, &upstream.DialError{Endpoint: p.endpoint, Err: err}
	}
	return l, nil
}

// result returns what came of the attempt; done is false where it still runs.
func (d *dial) result() (l *link, err error, done bool) {
	if d.state.Load() != attempted {
		return nil, nil, false
	}
	return d.link, d.err, true
}

// abandon is called by who does not want the connection any more.
func (d *dial) abandon() {
	if !d.state.CompareAndSwap(attempting, abandoned) {
		d.drop()
	}
}

// drop closes a connection that nobody wants.
func (d *dial) drop() {
	if d.link != nil {
		d.link.close()
	}
}
