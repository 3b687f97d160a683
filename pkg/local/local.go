package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/dns"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/node"
	"github.com/weft-mesh/weft/pkg/nodeproxy"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/telemetry"
	"github.com/weft-mesh/weft/pkg/tracing"
)

// Config of a Mesh. Manifests are required; every other zero value works.
type Config struct {
	// Manifests are files and folders of Kubernetes objects in YAML. They are
	// read again when they change.
	Manifests []string
	// Addresses is the range of the mesh addresses (default 127.77.0.0/16). A
	// range of one address is shared by all Services, each port of which gets a
	// port of its own.
	Addresses netip.Prefix
	// Domain is where the mesh names end (default "mesh").
	Domain string
	// Aliases are further domains for the same names.
	Aliases []string
	// PortOffset is added to every Service port to make the listening one.
	PortOffset uint16
	// Access is who may call whom where no namespace says otherwise.
	Access mesh.AccessSettings
	// DNSAddress and AdminAddress are where the DNS server and the admin API
	// listen (default a free port of 127.0.0.1).
	DNSAddress, AdminAddress string
	// Version of the program, for those who ask.
	Version string
	// DrainTimeout is how long what is in flight may take at the end (default 5 s).
	DrainTimeout time.Duration
	// Limits of what peers may ask of the proxy; zero values mean the defaults.
	Limits limits.Limits
	// Series bounds the label sets of the calls' metrics; see telemetry.ProxyConfig.
	Series int
	// AccessLog is where a line for each request and connection goes, and for which; without
	// an Out for none.
	AccessLog telemetry.AccessLogConfig
	// Tracing sends spans to a collector; without an Endpoint none.
	Tracing tracing.Config
	// Out gets the table of meshed ports, then the line "ready", then a line
	// "+ …" or "- …" for each port that comes or goes. Nil for none.
	Out io.Writer
	Log zerolog.Logger
}

// Mesh is a whole mesh on this machine. Make it with New, run it with Run.
type Mesh struct {
	config    Config
	dns       *dns.Server
	node      *node.Node
	allocator *allocator
	problems  atomic.Pointer[[]mesh.Problem] // of the allocator
	ready     chan struct{}
	stop      context.CancelFunc // ends Run
	failed    error              // why the loop's goroutine stopped the mesh; nil where it did not
	lines     []string           // the meshed ports that were told; the loop's goroutine has it
}

// New opens the sockets of the DNS server and of the admin API. Nothing is read
// or served before Run.
func New(config Config) (*Mesh, error) {
	if len(config.Manifests) == 0 {
		return nil, errors.New("no manifests: there is nothing to mesh")
	}
	if config.Domain == "" {
		config.Domain = "mesh"
	}
	if !config.Addresses.IsValid() {
		config.Addresses = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 77}), 16)
	}
	if config.Out == nil {
		config.Out = io.Discard
	}
	m := &Mesh{config: config, ready: make(chan struct{})}
	m.allocator = newAllocator(usable(config.Addresses, config.Log), config.PortOffset, canListen)
	server, err := dns.Listen(dns.Config{Address: config.DNSAddress, Domains: append([]string{config.Domain}, config.Aliases...)})
	if err != nil {
		return nil, taken(err, "--dns.address")
	}
	m.dns = server
	m.node, err = node.New(node.Config{
		Source: kube.NewFiles(kube.FilesConfig{Paths: config.Manifests, Log: config.Log}),
		Access: config.Access, Frontends: m.frontends, Published: m.published, Problems: m.ownProblems, Reword: reword,
		Own:     mesh.OwnSettings{Listens: []netip.AddrPort{server.Addr()}},
		Servers: []func(context.Context) error{server.Serve},
		Version: config.Version, AdminAddress: config.AdminAddress, DrainTimeout: config.DrainTimeout, Series: config.Series, AccessLog: config.AccessLog, Tracing: config.Tracing, Limits: config.Limits, Log: config.Log,
	})
	if err != nil {
		return nil, errors.Join(taken(err, "--admin.address"), server.Close())
	}
	return m, nil
}

// Run serves until the context ends, lets what is in flight finish, and returns
// nil; or an error where the mesh cannot go on.
func (m *Mesh) Run(ctx context.Context) error {
	m.config.Log.Info().Stringer("dns", m.DNSAddr()).Stringer("admin", m.AdminAddr()).
		Stringer("addresses", m.allocator.prefix).Msg("starting")
	ctx, m.stop = context.WithCancel(ctx)
	defer m.stop()
	return errors.Join(m.node.Run(ctx), m.failed)
}

// Ready is closed once the first Table is served.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Latest returns the Snapshot that is served, nil before Ready.
func (m *Mesh) Latest() *control.Snapshot { return m.node.Latest() }

// Problems returns what is wrong now.
func (m *Mesh) Problems() []mesh.Problem { return m.node.Problems() }

// DNSAddr is where the DNS server listens.
func (m *Mesh) DNSAddr() netip.AddrPort { return m.dns.Addr() }

// AdminAddr is where the admin API listens.
func (m *Mesh) AdminAddr() netip.AddrPort { return m.node.AdminAddr() }

// frontends is called by the loop before each build.
func (m *Mesh) frontends(in *mesh.Inputs) map[mesh.Name]mesh.Frontend {
	out := m.allocator.frontends(in)
	problems := m.allocator.problems // the allocator never edits a list that it gave away
	m.problems.Store(&problems)
	return out
}

func (m *Mesh) ownProblems() []mesh.Problem {
	if problems := m.problems.Load(); problems != nil {
		return *problems
	}
	return nil
}

// published is called by the loop once the proxy serves a Snapshot. Names are
// answered only then.
func (m *Mesh) published(s *control.Snapshot) {
	m.dns.Publish(s.Mesh)
	now := lines(s.Mesh, m.config.Domain, m.allocator.shared())
	if s.Generation == 1 {
		if m.failed = noneOpen(m.Problems(), len(now)); m.failed != nil {
			m.stop()
			return
		}
		tellFirst(m.config.Out, now)
		close(m.ready)
	} else {
		tellChanges(m.config.Out, m.lines, now)
	}
	m.lines = now
}

// taken says which flag moves a socket where another program has the address.
func taken(err error, flag string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w, by another weft local or another program; %s takes another address", err, flag)
	}
	return err
}

// reword says what a person can do about a port that this process may not open.
func reword(p mesh.Problem) mesh.Problem {
	if p.Reason == nodeproxy.ListenFailed && strings.Contains(p.Message, syscall.EACCES.Error()) {
		p.Message += "; ports below 1024 need rights that this process lacks: --portOffset=8000 makes port 80 port 8080"
	}
	return p
}

// noneOpen is an error where not one of the ports could be opened: the mesh
// would be up and serve nobody.
func noneOpen(problems []mesh.Problem, ports int) error {
	failed := slices.DeleteFunc(problems, func(p mesh.Problem) bool { return p.Reason != nodeproxy.ListenFailed })
	if len(failed) == 0 || len(failed) < ports {
		return nil
	}
	return fmt.Errorf("no port of the mesh can be opened; the first is %s: %s", failed[0].Object, failed[0].Message)
}

// usable returns the range, or one address of the loopback where the system
// does not let a process listen in the range (macOS has 127.0.0.1 only).
func usable(addresses netip.Prefix, log zerolog.Logger) netip.Prefix {
	probe := addresses.Masked().Addr()
	if !addresses.IsSingleIP() {
		probe = probe.Next()
	}
	if !errors.Is(tryListen(netip.AddrPortFrom(probe, 0), mesh.TCP), syscall.EADDRNOTAVAIL) {
		return addresses
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if probe.Is6() {
		loopback = netip.IPv6Loopback()
	}
	log.Warn().Stringer("addresses", addresses).Msgf("this system has no such addresses; every port gets a port of its own on %s", loopback)
	return netip.PrefixFrom(loopback, loopback.BitLen())
}

func canListen(at netip.AddrPort, transport mesh.Transport) bool {
	return tryListen(at, transport) == nil
}

// tryListen opens and closes a listening socket.
func tryListen(at netip.AddrPort, transport mesh.Transport) error {
	if transport == mesh.UDP {
		conn, err := net.ListenPacket("udp", at.String())
		if err != nil {
			return fmt.Errorf("udp: %w", err)
		}
		return conn.Close()
	}
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("tcp: %w", err)
	}
	return listener.Close()
}
