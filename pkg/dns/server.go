package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/weft-mesh/weft/pkg/mesh"
	"golang.org/x/sync/errgroup"
)

const (
	// maxUDP is the largest answer over UDP, in bytes, whatever the client
	// offers: it fits every path without fragments. The rest goes over TCP.
	maxUDP = 1232
	// portTries is how many free ports are tried until one is free for UDP and
	// for TCP, where the port is left to the system.
	portTries = 16
	// stopTimeout bounds the wait for queries in flight.
	stopTimeout = 2 * time.Second
)

// Config of a Server. The zero value listens on a free port of 127.0.0.1 and
// serves the domain "mesh".
type Config struct {
	// Address is host:port, for UDP and TCP alike. Port 0 takes a free one.
	Address string
	// Domains are the domains that are served, each with the same names below.
	Domains []string
}

// Server answers for the mesh domain. Make it with Listen, run it with Serve.
type Server struct {
	domains []string // fully qualified, in lower case, the longest first
	udp     net.PacketConn
	tcp     net.Listener
	serial  atomic.Uint32
	current atomic.Pointer[zone]
}

// Listen opens the sockets. The Server answers once Serve runs.
func Listen(config Config) (*Server, error) {
	if config.Address == "" {
		config.Address = "127.0.0.1:0"
	}
	if len(config.Domains) == 0 {
		config.Domains = []string{"mesh"}
	}
	s := &Server{}
	for _, domain := range config.Domains {
		if _, ok := dns.IsDomainName(domain); !ok || strings.Trim(domain, ".") == "" {
			return nil, fmt.Errorf("dns: %q is not a domain name", domain)
		}
		s.domains = append(s.domains, dns.CanonicalName(domain))
	}
	// Where one domain lies in another, the longer one has the name.
	slices.SortFunc(s.domains, func(a, b string) int { return dns.CountLabel(b) - dns.CountLabel(a) })
	var err error
	if s.udp, s.tcp, err = listen(config.Address); err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	return s, nil
}

// listen opens one port for UDP and TCP.
func listen(address string) (net.PacketConn, net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		_ = udp.Close() // nothing was sent or received
		if port != "0" || try == portTries {
			return nil, nil, err
		}
	}
}

// Addr is where the Server listens, for UDP and TCP.
func (s *Server) Addr() netip.AddrPort {
	address := s.tcp.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
}

// Close closes the sockets of a Server that Serve will not run.
func (s *Server) Close() error { return errors.Join(s.udp.Close(), s.tcp.Close()) }

// Publish makes the names of a Mesh the ones that are answered. It is safe for
// concurrent use with Serve; each call raises the serial of the zone.
func (s *Server) Publish(m *mesh.Mesh) {
	s.current.Store(newZone(m, s.serial.Add(1)))
}

// Serve answers until the context ends, lets the queries in flight finish and
// closes the sockets. It returns an error only where a socket failed.
func (s *Server) Serve(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, server := range []*dns.Server{{PacketConn: s.udp}, {Listener: s.tcp}} {
		server.Handler = dns.HandlerFunc(s.handle)
		server.UDPSize = maxUDP
		group.Go(func() error { return serve(ctx, server) })
	}
	return group.Wait()
}

// serve runs one of the two until the context ends.
func serve(ctx context.Context, server *dns.Server) error {
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-started:
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := server.ShutdownContext(stop)
	<-ended // the sockets are closed: what it returns says no more than that
	return err
}

// handle answers one query.
func (s *Server) handle(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.Compress = true
	s.reply(reply, query)
	size := dns.MaxMsgSize
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size = dns.MinMsgSize
	}
	if option := query.IsEdns0(); option != nil {
		reply.SetEdns0(maxUDP, option.Do())
		if size == dns.MinMsgSize {
			size = min(max(size, int(option.UDPSize())), maxUDP)
		}
	}
	reply.Truncate(size)
	// A client that is gone needs no answer.
	_ = w.WriteMsg(reply)
}

// reply decides what a query gets. What the library has let through has exactly
// one question.
func (s *Server) reply(reply, query *dns.Msg) {
	asked := query.Question[0]
	option := query.IsEdns0()
	zone := s.current.Load()
	q, ours := s.question(asked)
	switch {
	case query.Opcode != dns.OpcodeQuery:
		reply.Rcode = dns.RcodeNotImplemented
	case option != nil && option.Version() != 0:
		reply.Rcode = dns.RcodeBadVers // RFC 6891 §6.1.3
	case !ours || asked.Qclass != dns.ClassINET || isTransfer(asked.Qtype):
		reply.Rcode = dns.RcodeRefused
	case zone == nil:
		reply.Rcode = dns.RcodeServerFailure
	default:
		zone.answer(reply, q)
	}
}

// question splits the name asked for; ok is false where it lies in no domain of
// the Server.
func (s *Server) question(asked dns.Question) (q question, ok bool) {
	name := dns.CanonicalName(asked.Name)
	for _, domain := range s.domains {
		if dns.IsSubDomain(domain, name) {
			relative := strings.TrimSuffix(strings.TrimSuffix(name, domain), ".")
			return question{Question: asked, domain: domain, relative: relative}, true
		}
	}
	return question{}, false
}

func isTransfer(qtype uint16) bool { return qtype == dns.TypeAXFR || qtype == dns.TypeIXFR }
