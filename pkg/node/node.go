// Package node wires one process of the data plane: a source of objects, the
// loop that owns them, the proxy, the admin API and the metrics, and the order
// in which they start and stop. `weft node` runs it on the API server, package
// local on files.
package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
	"github.com/weft-mesh/weft/pkg/tracing"
	"golang.org/x/sync/errgroup"
)

// Config of a Node. Source is required; every other zero value works.
type Config struct {
	Source control.Source
	// Access is who may call whom where no namespace says otherwise.
	Access mesh.AccessSettings
	// Frontends, where set, decides where Services are reached; see control.Config.
	Frontends func(*mesh.Inputs) map[mesh.Name]mesh.Frontend
	// Own is what is Weft itself beside what this process listens on.
	Own mesh.OwnSettings
	// Published is told each Snapshot once the proxy serves it.
	Published func(*control.Snapshot)
	// Problems adds to those of the Mesh and the proxy.
	Problems func() []mesh.Problem
	// Reword, where set, may say a problem of the proxy in the words of whoever
	// runs this process.
	Reword func(mesh.Problem) mesh.Problem
	// Stale says how long the watch of each kind has been broken; nil where
	// nothing is watched.
	Stale func() map[string]time.Duration
	// Servers run beside the proxy until everything else has stopped.
	Servers []func(context.Context) error
	// Version of the program, for those who ask.
	Version string
	// AdminAddress serves the whole admin API (default a free port of
	// 127.0.0.1), MetricsAddress probes and metrics only (default none).
	AdminAddress, MetricsAddress string
	// TrafficAddress serves /api/traffic to those who have a certificate of
	// TrafficClients (default none), which are read again after a minute.
	TrafficAddress string
	TrafficClients func(context.Context) (*x509.CertPool, error)
	// Series bounds the label sets of the calls' metrics; see telemetry.ProxyConfig.
	Series int
	// AccessLog is where a line for each request and connection goes, and for which; without
	// an Out for none.
	AccessLog telemetry.AccessLogConfig
	// Tracing sends spans to a collector; without an Endpoint none.
	Tracing tracing.Config
	// DrainDelay is how long the Node takes new connections as unready once it is
	// told to stop, DrainTimeout (default 5 s) how long what is in flight then may take.
	DrainDelay, DrainTimeout time.Duration
	// Limits of what peers may ask of the proxy; zero values mean the defaults.
	Limits limits.Limits
	Log    zerolog.Logger
}

// Node is the data plane in one process. Make it with New, run it with Run.
type Node struct {
	config   Config
	loop     *control.Loop
	proxy    *nodeproxy.Proxy
	counts   *telemetry.Proxy
	tap      telemetry.Tap
	admin    *admin.Server
	servers  []func(context.Context) error
	latest   atomic.Pointer[control.Snapshot]
	draining atomic.Bool
	told     map[mesh.Problem]bool // the problems logged and still there; the loop's goroutine has it
}

// New opens the sockets of the admin API. Nothing is read or served before Run,
// which must follow.
func New(config Config) (*Node, error) {
	if config.DrainTimeout == 0 {
		config.DrainTimeout = 5 * time.Second
	}
	if config.AdminAddress == "" {
		config.AdminAddress = "127.0.0.1:0"
	}
	n := &Node{config: config, servers: slices.Clone(config.Servers)}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := telemetry.RegisterPipeline(metrics, n.pipeline); err != nil {
		return nil, err
	}
	if err := telemetry.RegisterPolicies(metrics, n.policies); err != nil {
		return nil, err
	}
	n.counts = telemetry.NewProxy(metrics, telemetry.ProxyConfig{Series: config.Series, Live: n.living})
	n.servers = append(n.servers, n.counts.Run)
	if err := n.listen(metrics); err != nil {
		return nil, err
	}
	n.loop = control.New(control.Config{
		Sources: []control.Source{config.Source}, Access: config.Access, Own: n.config.Own, Frontends: config.Frontends, Publish: n.publish,
	})
	sinks := []telemetry.Sink{&n.tap}
	if config.AccessLog.Out != nil {
		log := telemetry.NewAccessLog(metrics, config.AccessLog)
		n.servers, sinks = append(n.servers, log.Run), append(sinks, log)
	}
	connections := telemetry.NewEvents(sinks...)
	if config.Tracing.Endpoint != "" {
		tracer, err := tracing.New(metrics, config.Tracing)
		if err != nil {
			return nil, err
		}
		n.servers, sinks = append(n.servers, tracer.Run), append(sinks, tracer)
	}
	// Last, for from now on only Run can end what it starts.
	n.proxy = nodeproxy.New(nodeproxy.Config{
		Log: config.Log, Metrics: n.counts, Events: telemetry.NewEvents(sinks...), Connections: connections,
		DrainDelay: config.DrainDelay, Limits: config.Limits,
	})
	return n, nil
}

// listen opens the admin sockets; where one fails, none stays open.
func (n *Node) listen(metrics prometheus.Gatherer) (err error) {
	outside := admin.Config{Metrics: metrics, Parts: []admin.Part{{Name: "table", Ready: n.hasTable}, {Name: "drain", Ready: n.notDraining}}}
	inside := outside
	inside.Latest, inside.Problems, inside.States = n.Latest, n.Problems, n.states
	inside.Explain = n.explain
	inside.Traffic, inside.Tap = n.counts.Traffic, &n.tap
	inside.Version, inside.Stale = n.config.Version, n.config.Stale
	if n.admin, err = admin.Listen(n.config.AdminAddress, admin.Handler(inside)); err != nil {
		return err
	}
	open := []*admin.Server{n.admin}
	for _, more := range []struct {
		address string
		listen  func(string) (*admin.Server, error)
	}{
		{n.config.MetricsAddress, func(at string) (*admin.Server, error) { return admin.Listen(at, admin.Handler(outside)) }},
		{n.config.TrafficAddress, n.listenTraffic},
	} {
		if more.address == "" {
			continue
		}
		server, err := more.listen(more.address)
		if err != nil {
			for _, s := range open {
				_ = s.Close()
			}
			return err
		}
		open = append(open, server)
	}
	n.config.Own.Listens = slices.Clone(n.config.Own.Listens)
	for _, s := range open {
		n.servers = append(n.servers, s.Run)
		n.config.Own.Listens = append(n.config.Own.Listens, s.Addr())
	}
	return nil
}

// listenTraffic opens the socket on which the controller asks who called whom.
// Nobody else is told: who asks must have a certificate that the controller's
// authority has signed. That of the Node is worth nothing to anybody.
func (n *Node) listenTraffic(address string) (*admin.Server, error) {
	own, err := pki.SelfSigned("weft-node")
	if err != nil {
		return nil, err
	}
	clients := pki.Cache[*x509.CertPool]{Read: n.config.TrafficClients}
	base := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*own}, ClientAuth: tls.RequireAndVerifyClientCert}
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		pool, err := clients.Load(hello.Context())
		if err != nil {
			return nil, err
		}
		config := base.Clone()
		config.ClientCAs = pool
		return config, nil
	}
	return admin.ListenTLS(address, admin.Handler(admin.Config{Traffic: n.counts.Traffic}), base)
}

// AdminAddr is where the admin API listens.
func (n *Node) AdminAddr() netip.AddrPort { return n.admin.Addr() }

// Latest returns the Snapshot that is served, nil before the first.
func (n *Node) Latest() *control.Snapshot { return n.latest.Load() }

// states is what the proxy has seen of endpoints. The admin API is there before
// the proxy, but nothing asks before there is a Snapshot.
func (n *Node) states(addresses []netip.AddrPort) []upstream.State { return n.proxy.States(addresses) }

// policies are what traffic policies do. See states.
func (n *Node) policies() []telemetry.Policies { return n.proxy.Policies() }

// explain is what the proxy would do with a call.
func (n *Node) explain(q upstream.Question) (upstream.Explanation, bool) { return n.proxy.Explain(q) }

// Problems returns what is wrong now: with the objects, then with serving them.
func (n *Node) Problems() []mesh.Problem {
	var out []mesh.Problem
	if s := n.Latest(); s != nil {
		out = append(out, s.Mesh.Problems...)
	}
	if n.config.Problems != nil {
		out = append(out, n.config.Problems()...)
	}
	for _, p := range n.proxy.Problems() {
		if n.config.Reword != nil {
			p = n.config.Reword(p)
		}
		out = append(out, p)
	}
	return out
}

// Run serves until the context ends. Then the Node is unready at once, and takes
// no new work after DrainDelay; what is in flight goes on, by ever newer Tables,
// for at most DrainTimeout. Its servers stop last, so that a probe sees the whole
// way. It also stops, with an error, where the source or a server fails.
func (n *Node) Run(ctx context.Context) error {
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, failed := errgroup.WithContext(lasting)
	for _, run := range append([]func(context.Context) error{n.loop.Run}, n.servers...) {
		group.Go(func() error { return run(lasting) })
	}
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	n.drain(lasting)
	end()
	return group.Wait()
}

// drain ends the proxy. What does not end in time is cut, which is no failure of
// the Node.
func (n *Node) drain(ctx context.Context) {
	n.draining.Store(true)
	n.config.Log.Info().Dur("delay", n.config.DrainDelay).Dur("timeout", n.config.DrainTimeout).Msg("stopping: unready from now on")
	ctx, cancel := context.WithTimeout(ctx, n.config.DrainDelay+n.config.DrainTimeout)
	defer cancel()
	if err := n.proxy.Drain(ctx); err != nil {
		n.config.Log.Warn().Err(err).Msg("cut what did not end in time")
	}
}

// publish is called by the loop with each Snapshot in turn.
func (n *Node) publish(s *control.Snapshot) {
	n.proxy.Publish(s.Table)
	if n.latest.Swap(s) == nil {
		// Reading everything has left more garbage than it has kept; an idle
		// process would hold it for minutes.
		debug.FreeOSMemory()
	}
	n.config.Log.Debug().Uint64("generation", s.Generation).Uint64("changes", s.Changes).
		Dur("took", s.Took).Int("services", len(s.Mesh.Services)).Msg("new table")
	n.tellProblems()
	if n.config.Published != nil {
		n.config.Published(s)
	}
}

// tellProblems logs each problem once, for as long as it is there.
func (n *Node) tellProblems() {
	now := map[mesh.Problem]bool{}
	for _, p := range n.Problems() {
		if !n.told[p] && !now[p] {
			n.config.Log.Warn().Stringer("object", p.Object).Str("reason", p.Reason).Msg(p.Message)
		}
		now[p] = true
	}
	n.told = now
}

// pipeline is the state that the metrics show.
func (n *Node) pipeline() telemetry.Pipeline {
	p := telemetry.Pipeline{Problems: map[string]int{}}
	for _, problem := range n.Problems() {
		p.Problems[problem.Reason]++
	}
	if s := n.Latest(); s != nil {
		p.Generation, p.Built, p.Took = s.Generation, s.Built, s.Took
	}
	if n.config.Stale != nil {
		p.Stale = n.config.Stale()
	}
	return p
}

// living is whom the metrics may name.
func (n *Node) living() (out telemetry.Living) {
	s := n.Latest()
	if s == nil {
		return out
	}
	out.Workloads, out.Services = map[[2]string]bool{}, map[[2]string]bool{}
	for _, w := range s.Mesh.Workloads {
		out.Workloads[[2]string{w.Name.Namespace, w.OwnerName}] = true
	}
	for _, service := range s.Mesh.Services {
		out.Services[[2]string{service.Name.Namespace, service.Name.Name}] = true
	}
	return out
}

func (n *Node) hasTable() error {
	if n.Latest() == nil {
		return errors.New("the first full picture is not there yet")
	}
	return nil
}

func (n *Node) notDraining() error {
	if n.draining.Load() {
		return errors.New("stopping")
	}
	return nil
}
