package nodeproxy

import (
	"context"
	"net"
	"net/netip"

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
		Log: p.config.Log, Metrics: p.config.Metrics, Events: p.config.Connections, Conn: c.(*net.UDPConn), Current: p.current.Load, At: key,
		Idle: p.config.UDPIdleTimeout, Most: p.config.UDPSessions,
		Introduce: func(client netip.Addr) { p.introduce(key, client) },
	}
	p.running.Go(func() {
		defer l4.Guard(p.config.Log, "a UDP port")
		relay.Serve()
	})
	return &listener{close: func() { _ = c.Close() }, udp: relay}, nil
}
