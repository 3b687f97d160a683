package nodeproxy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http2"
	"github.com/weft-mesh/weft/pkg/nodeproxy/l4"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Config of a Proxy. Every zero value works.
type Config struct {
	// Log takes what a person should see; refused calls are told at debug level.
	Log zerolog.Logger
	// Metrics counts; nil counts nothing.
	Metrics *telemetry.Proxy
	// Events are told each HTTP request that is over; nil tells nobody.
	Events *telemetry.Events
	// Connections are told each TCP connection and UDP session that opens, is over
	// or is refused; nil tells nobody.
	Connections *telemetry.Events
	// DetectTimeout is how long a client of a port without a known protocol may
	// be silent before the proxy looks whether the server speaks first; zero
	// means 100 ms.
	DetectTimeout time.Duration
	// Limits of what peers may ask; zero values mean the defaults.
	Limits limits.Limits
	// TCPIdleTimeout ends a relayed TCP connection after so long without a byte
	// either way; zero means never.
	TCPIdleTimeout time.Duration
	// UDPIdleTimeout ends a UDP session without datagrams; zero means one minute.
	UDPIdleTimeout time.Duration
	// UDPSessions bounds the sessions of one UDP port; zero means 10,000.
	UDPSessions int
	// DrainDelay is how long Drain still accepts connections, so that whoever
	// sends them here has time to learn that this proxy goes; zero means not at all.
	DrainDelay time.Duration
}

// Proxy is the data plane of one node. Make it with New, end it with Drain. Its
// methods are safe for concurrent use.
type Proxy struct {
	config  Config
	state   upstream.Set
	current atomic.Pointer[upstream.Snapshot]
	tcp     l4.TCP
	http1   *http1.Engine // HTTP/1 to HTTP/1
	http2   *http2.Engine // both versions to HTTP/2
	conns   registry
	doors   doors
	doubt   chan struct{}   // wakes recheck; has room for one
	checks  sync.WaitGroup  // recheck, which ends with life
	life    context.Context // ends when the last connection must
	end     context.CancelFunc

	mu        sync.Mutex // guards what follows, and orders Publish, the retry and Drain
	table     *route.Table
	listeners map[upstream.Key]*listener
	problems  []mesh.Problem // of table, in its order
	retry     *time.Timer    // nil while there is nothing to try again
	closed    bool           // no listener is opened any more
	running   sync.WaitGroup
}

// New returns a Proxy without ports.
func New(config Config) *Proxy {
	config.Limits = config.Limits.OrDefault()
	p := &Proxy{config: config, listeners: map[upstream.Key]*listener{}, doubt: make(chan struct{}, 1)}
	p.state.Denials = newDenials(config.Log, config.Metrics)
	p.life, p.end = context.WithCancel(context.Background())
	// Without io_submit(2) nothing is missing but processor time.
	err := poll.Batches()
	config.Log.Info().Bool("io_submit", err == nil).AnErr("why", err).Msg("proxy: starting")
	dialer := upstream.Dialer{Timeout: config.Limits.ConnectTimeout, Most: config.Limits.Connections}
	p.tcp = l4.TCP{
		Log: config.Log, Metrics: config.Metrics, Events: config.Connections, Dialer: dialer, Current: p.current.Load,
		DetectTimeout: config.DetectTimeout, Idle: config.TCPIdleTimeout,
	}
	most := config.Limits
	p.http1 = http1.New(http1.Config{
		Log: config.Log, Metrics: config.Metrics, Events: config.Events, Dialer: dialer, Current: p.current.Load, Limits: most,
	})
	p.http2 = http2.New(http2.Config{
		Log: config.Log, Metrics: config.Metrics, Events: config.Events, Dialer: dialer, Current: p.current.Load, Limits: most,
	})
	p.checks.Go(p.recheck)
	p.doors.start(p)
	return p
}

// visitor is a client's connection; one that an engine has taken over is the
// engine's to reset.
type visitor interface{ reset() }

// registry knows the open connections of clients.
type registry struct {
	mu    sync.Mutex // guards conns
	conns map[visitor]struct{}
	open  sync.WaitGroup
}

func (r *registry) add(v visitor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		r.conns = map[visitor]struct{}{}
	}
	r.conns[v] = struct{}{}
	r.open.Add(1)
}

func (r *registry) remove(v visitor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, v)
	r.open.Done()
}

// reset breaks off every connection.
func (r *registry) reset() {
	for _, v := range r.all() {
		v.reset()
	}
}

func (r *registry) all() []visitor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.conns))
}
