package upstream

import (
	"time"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Connect counts a TCP connection that is to be made; false means that as many
// are open as may be. Where it is true, Disconnect must follow.
func (p *Policies) Connect() bool {
	if p == nil {
		return true
	}
	if most := int64(p.Spec.MaxConnections); p.conns.Add(1) > most && most > 0 {
		p.conns.Add(-1)
		p.Count(telemetry.ByMaxConnections)
		return false
	}
	return true
}

// Disconnect counts the end of a connection that Connect has counted.
func (p *Policies) Disconnect() {
	if p != nil {
		p.conns.Add(-1)
	}
}

// Idle is how long a TCP connection may be idle; otherwise where no policy says.
func (p *Policies) Idle(otherwise time.Duration) time.Duration {
	if p == nil || p.Spec.IdleTimeout == 0 {
		return otherwise
	}
	return p.Spec.IdleTimeout
}

// Introduces tells whether endpoints are told the caller's address.
func (p *Policies) Introduces() bool { return p != nil && p.Spec.ProxyProtocol }
