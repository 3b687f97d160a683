package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/tlsrelay"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The names of HTTP's versions in ALPN (RFC 7301 §6, RFC 9113 §3.1).
const (
	ProtocolHTTP1 = "http/1.1"
	ProtocolHTTP2 = "h2"
)

// security is what endpoints must prove. What says the same is the same pointer
// over all Tables, so that it can stand in a key.
type security struct {
	serverName string
	roots      *x509.CertPool // nil: those that package x509 finds
	unknown    bool           // the CA is not known: nobody can prove anything
}

// trust is what an endpoint must prove, and how that went.
type trust struct {
	*security
	sessions tls.ClientSessionCache // its own: what one endpoint resumes another does not
	distrust atomic.Pointer[error]  // why TLS could not be agreed when it was tried last; nil where it could
}

func newTrust(s *security) *trust {
	return &trust{security: s, sessions: tls.NewLRUClientSessionCache(1)} // they are kept by the server's name
}

// tlsError is a handshake that failed.
type tlsError struct{ err error }

// Error says why, in the words of package tls.
func (e *tlsError) Error() string { return "no TLS with the endpoint: " + e.err.Error() }

// Unwrap returns the reason.
func (e *tlsError) Unwrap() error { return e.err }

var (
	errNoCA    = errors.New("the CA that should vouch for it is not known; the Service has a problem that says why")
	errNoHTTP2 = errors.New("it does not agree to HTTP/2 (ALPN h2), and HTTP/2 is what the call is in")
)

// secure begins TLS on a connection to the endpoint.
func (e *Endpoint) secure(ctx context.Context, tcp *net.TCPConn, protocol string) (Conn, error) {
	if e.tls.unknown {
		_ = tcp.Close()
		return Conn{}, &tlsError{errNoCA}
	}
	relay, err := tlsrelay.Handshake(ctx, tcp, &tls.Config{
		ServerName: e.tls.serverName, RootCAs: e.tls.roots, NextProtos: []string{protocol},
		MinVersion: tls.VersionTLS12, ClientSessionCache: e.tls.sessions,
	})
	if err != nil {
		return Conn{}, &tlsError{err}
	}
	if protocol == ProtocolHTTP2 && relay.Protocol() != ProtocolHTTP2 {
		relay.Discard()
		return Conn{}, &tlsError{errNoHTTP2}
	}
	near, err := relay.Near()
	return Conn{Socket: near, Relay: relay}, err
}

// security returns what the endpoints of a port must prove; nil for nothing.
func (b *binder) security(said *mesh.TLS) *security {
	if said == nil {
		return nil
	}
	s, ok := b.securities[*said]
	if !ok {
		if s, ok = b.old.securities[*said]; !ok {
			s = b.old.newSecurity(said)
		}
		b.securities[*said] = s
	}
	return s
}

func (s *Set) newSecurity(said *mesh.TLS) *security {
	out := &security{serverName: said.ServerName}
	if said.CASecret == "" {
		s.system.once.Do(s.system.load)
		out.roots = s.system.roots
		return out
	}
	out.roots = x509.NewCertPool()
	out.unknown = !out.roots.AppendCertsFromPEM([]byte(said.CA))
	return out
}

// system is the roots that the system trusts. They are loaded when they are
// wanted first: most meshes never do.
type system struct {
	once  sync.Once
	roots *x509.CertPool // nil for what package x509 finds itself
}

func (s *system) load() {
	if found, err := x509.SystemCertPool(); err != nil || found.Equal(x509.NewCertPool()) {
		s.roots = mozilla()
	}
}

// mozilla is Mozilla's roots, as the build has them, for a system that has none,
// as an image without files.
func mozilla() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		switch {
		case err != nil: // a root that this version of Go does not read vouches for nobody
		case root.Constraint != nil:
			pool.AddCertWithConstraint(certificate, root.Constraint)
		default:
			pool.AddCert(certificate)
		}
	}
	return pool
}

// Distrusted tells why the endpoints of a port are not believed: of those that
// could not agree on TLS when they were tried last, how many there are of all,
// and the lowest address with its reason. It is nil where there is none, and
// where nobody could be believed since the CA is not known.
func (r *Route) Distrusted() error {
	var worst *Endpoint
	met, refused := map[*Endpoint]bool{}, 0
	for e := range r.each {
		if met[e] || e.tls == nil || e.tls.unknown {
			continue
		}
		if met[e] = true; e.tls.distrust.Load() == nil {
			continue
		}
		if refused++; worst == nil || e.Address.Compare(worst.Address) < 0 {
			worst = e
		}
	}
	if worst == nil {
		return nil
	}
	why := worst.tls.distrust.Load()
	if why == nil {
		return nil // it has just been believed
	}
	return fmt.Errorf("%d of %d endpoints do not prove to be %s; %s: %w", refused, len(met), worst.tls.serverName, worst.Address, *why)
}
