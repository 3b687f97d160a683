//go:build !linux

package nodeproxy

import (
	"context"
	"errors"
	"net"

	"github.com/weft-mesh/weft/pkg/nodeproxy/l4"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// doors are not needed where each listener has a goroutine.
type doors struct{}

func (*doors) start(*Proxy) {}

func (*doors) stop() {}

// openTCP listens on an address.
func (p *Proxy) openTCP(key upstream.Key) (*listener, error) {
	config := net.ListenConfig{KeepAliveConfig: keepAlive()}
	l, err := config.Listen(context.Background(), "tcp", address(key.Listen))
	if err != nil {
		return nil, err
	}
	p.running.Go(func() { p.accept(l.(*net.TCPListener), key) })
	return &listener{close: func() { _ = l.Close() }}, nil
}

// accept takes connections until the listener is closed. Any other error (no
// file descriptor left, a connection that was aborted in the queue) passes.
func (p *Proxy) accept(l *net.TCPListener, at upstream.Key) {
	pause := shortestPause
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.config.Log.Warn().Err(err).Stringer("listen", at.Listen).Msg("accepting a connection failed; going on")
			p.wait(pause)
			pause = min(2*pause, longestPause)
			continue
		}
		pause = shortestPause
		p.conns.add(tcpVisitor{c})
		go func() { p.serve(c, at, p.introduce(at, l4.Address(c.RemoteAddr()))) }()
	}
}
