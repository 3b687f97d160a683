package nodeproxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// doors are the listening addresses of TCP and who has come but not spoken yet.
// A goroutine for each would hold 3 KB for each port of the mesh, and package
// net's connections twice the system calls for each that is accepted.
type doors struct {
	poller  poll.Poller
	running sync.WaitGroup // the poller and the goroutines that receive
}

func (d *doors) start(p *Proxy) {
	if err := d.poller.Start(&d.running, nil); err != nil {
		p.config.Log.Error().Err(err).Msg("listening addresses cannot be watched: no port of TCP is served")
	}
}

// stop ends them; every connection must have been closed.
func (d *doors) stop() {
	d.poller.Stop()
	d.running.Wait()
}

// door is one listening address.
type door struct {
	poll.Socket
	proxy *Proxy
	at    upstream.Key

	mu     sync.Mutex // guards what follows; while it is held the socket is open, or closed for good
	closed bool
	pause  time.Duration // after the next error
}

// openTCP listens on an address.
func (p *Proxy) openTCP(key upstream.Key) (*listener, error) {
	config := net.ListenConfig{Control: forAccepted}
	l, err := config.Listen(context.Background(), "tcp", address(key.Listen))
	if err != nil {
		return nil, err
	}
	d := &door{proxy: p, at: key, pause: shortestPause}
	if err := d.Listen(l.(*net.TCPListener)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := p.doors.poller.Add(&d.Socket, d); err != nil {
		d.shut()
		return nil, err
	}
	return &listener{close: d.shut}, nil
}

// forAccepted sets what accepted connections take over from the socket that
// listens: probes of clients that say nothing, and small messages at once.
func forAccepted(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		for _, option := range [][3]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(keepAliveIdle / time.Second)},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(keepAliveInterval / time.Second)},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
			{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		} {
			failed = errors.Join(failed, syscall.SetsockoptInt(int(fd), option[0], option[1], option[2]))
		}
	})
	return errors.Join(err, failed)
}

// shut closes the door. Whoever is in goes on.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.Close()
}

// Happened is told by the poller: somebody has come.
func (d *door) Happened(poll.Events) {
	for {
		c := d.next()
		if c == nil {
			return
		}
		a := &arrival{proxy: d.proxy, at: d.at, client: c.From()}
		d.proxy.conns.add(a)
		a.turn.Begin()
		d.proxy.doors.running.Go(func() { a.receive(c) })
	}
}

// next accepts a connection; nil for none. Errors (no file descriptor left, a
// network that is down) pass: it is tried again, for nothing more is told.
func (d *door) next() *poll.Accepted {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	c, err := d.Accept()
	switch {
	case err == nil:
		d.pause = shortestPause
	case err != poll.ErrWouldBlock:
		d.proxy.config.Log.Warn().Err(err).Stringer("listen", d.at.Listen).Msg("accepting a connection failed; going on")
		time.AfterFunc(d.pause, func() { d.Happened(poll.Readable) })
		d.pause = min(2*d.pause, longestPause)
	}
	return c
}
