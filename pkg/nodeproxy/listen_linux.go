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
	turn  poll.Turn     // of who accepts
	pause time.Duration // after the next error; of who has the turn

	mu     sync.Mutex // guards closed; while it is held the socket is open, or closed for good
	closed bool
}

// mostAccepted is how many are accepted before other doors have their turn.
const mostAccepted = 64

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
	probes := keepAlive()
	err := conn.Control(func(fd uintptr) {
		for _, option := range [][3]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(probes.Idle / time.Second)},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(probes.Interval / time.Second)},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, probes.Count},
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
func (d *door) Happened(e poll.Events, _ *poll.Batch) {
	if _, mine := d.turn.Claim(uint32(e)); mine {
		d.admit()
	}
}

// admit lets in who has come, and sees to it that somebody has the turn until all
// are. The caller has it.
func (d *door) admit() {
	for range mostAccepted {
		a, err := d.next()
		switch err {
		case nil:
			d.pause = shortestPause
			d.proxy.doors.running.Go(a.receive)
		case poll.ErrWouldBlock:
			if _, ended := d.turn.End(); ended {
				return
			}
		default:
			d.proxy.config.Log.Warn().Err(err).Stringer("listen", d.at.Listen).Msg("accepting a connection failed; going on")
			d.proxy.doors.running.Go(d.retry)
			return
		}
	}
	d.proxy.doors.running.Go(d.admit)
}

// retry lets time pass after an error (no file descriptor left, a network that is
// down): nothing is told of those who stand before the door already.
func (d *door) retry() {
	d.proxy.wait(d.pause)
	d.pause = min(2*d.pause, longestPause)
	d.admit()
}

// next accepts a connection. It is registered under the lock: a drain, which
// closes the door first, waits for all who were accepted.
func (d *door) next() (*arrival, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, poll.ErrWouldBlock
	}
	c, err := d.Accept()
	if err != nil {
		return nil, err
	}
	a := &arrival{proxy: d.proxy, at: d.at, client: c.From()}
	_ = a.Take(c) // it cannot fail
	a.turn.Begin()
	d.proxy.conns.add(a)
	return a, nil
}
