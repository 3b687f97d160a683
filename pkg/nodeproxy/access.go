package nodeproxy

import (
	"net/netip"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

const (
	// introduction is how long a caller that nobody knows waits for news of who
	// it is: a pod may call before the watch has told of it.
	introduction = 100 * time.Millisecond
	// recheckEvery is how much time passes at least between two looks at
	// whether what is live is still allowed.
	recheckEvery = 100 * time.Millisecond
)

// Why a call is not allowed.
const (
	unknownSource      = "unknown-source"      // no live pod holds the caller's address, and it is not trusted
	unknownDestination = "unknown-destination" // no live pod holds the endpoint's address
	notAllowed         = "not-allowed"         // no TrafficTarget allows this caller this call
)

// denials tells of calls that are not allowed: each is counted, the first few of
// each second are logged.
type denials struct {
	log     zerolog.Logger
	metrics *telemetry.Proxy
}

func newDenials(log zerolog.Logger, metrics *telemetry.Proxy) *denials {
	return &denials{log: log.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}), metrics: metrics}
}

// Denied tells of one call.
func (d *denials) Denied(call upstream.Denial) {
	told := telemetry.Denial{
		Mode: call.Guard.Mode.String(), Reason: notAllowed,
		Service: call.Service.Name, Namespace: call.Service.Namespace, Account: call.Guard.Account.Name,
	}
	source := mesh.Name{}
	if w := call.Source.Workload; w != nil {
		source = w.Name
		told.SourceWorkload, told.SourceNamespace, told.SourceAccount = w.OwnerName, w.Name.Namespace, w.ServiceAccount
	} else {
		told.Reason = unknownSource
	}
	if call.Guard.Account == (mesh.Name{}) {
		told.Reason = unknownDestination
	}
	d.metrics.Denied(told)
	d.log.Info().Str("mode", told.Mode).Str("reason", told.Reason).
		Stringer("client", call.Client).Stringer("pod", source).Str("account", told.SourceAccount).
		Stringer("service", call.Service).Uint16("port", call.Port).Stringer("destinationAccount", call.Guard.Account).
		Msg("no TrafficTarget allows a call")
}

// introduce returns the Snapshot that decides a new connection. Where it would
// refuse a caller only because nobody knows it, the next ones are waited for a
// little.
func (p *Proxy) introduce(at upstream.Key, client netip.Addr) *upstream.Snapshot {
	s := p.current.Load()
	if !s.Unknown(at, client) {
		return s
	}
	timer := time.NewTimer(introduction)
	defer timer.Stop()
	for s.Unknown(at, client) {
		select {
		case <-s.Replaced():
			s = p.current.Load()
		case <-timer.C:
			return s
		case <-p.life.Done():
			return s
		}
	}
	return s
}

// recheck ends what is live and not allowed any more, each time it is woken.
func (p *Proxy) recheck() {
	for {
		select {
		case <-p.doubt:
		case <-p.life.Done():
			return
		}
		s := p.current.Load()
		p.tcp.Recheck(s)
		p.http1.Recheck()
		p.http2.Recheck(s)
		p.recheckUDP(s)
		p.wait(recheckEvery)
	}
}

func (p *Proxy) recheckUDP(s *upstream.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.listeners {
		if l.udp != nil {
			l.udp.Recheck(s)
		}
	}
}
