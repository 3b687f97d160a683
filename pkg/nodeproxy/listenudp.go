package nodeproxy

import (
	"context"
	"net"
	"runtime/debug"

	"github.com/weft-mesh/weft/pkg/nodeproxy/l4"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// openUDP serves a UDP port. The caller holds the lock.
func (p *Proxy) openUDP(key upstream.Key) (*listener, error) {
	var config net.ListenConfig
	c, err := config.ListenPacket(context.Background(), "udp", address(key.Listen))
	if err != nil {
		return nil, err
	}
	relay := &l4.UDP{
		Log: p.config.Log, Metrics: p.config.Metrics, Conn: c.(*net.UDPConn), Current: p.current.Load, At: key,
		Idle: p.config.UDPIdleTimeout, Most: p.config.UDPSessions,
	}
	p.running.Go(func() {
		defer func() {
			if fault := recover(); fault != nil {
				p.config.Log.Error().Interface("panic", fault).Bytes("stack", debug.Stack()).Msg("a UDP port failed by a fault of the proxy")
			}
		}()
		relay.Serve()
	})
	return &listener{close: func() { _ = c.Close() }}, nil
}
