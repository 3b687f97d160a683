package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/tlsrelay"
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
	roots      *x509.CertPool // nil: the system's
	unknown    bool           // the CA is not known: nobody can prove anything
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
	near, relay, err := tlsrelay.Handshake(ctx, tcp, &tls.Config{
		ServerName: e.tls.serverName, RootCAs: e.tls.roots, NextProtos: []string{protocol},
		MinVersion: tls.VersionTLS12, ClientSessionCache: e.sessions,
	})
	if err != nil {
		return Conn{}, &tlsError{err}
	}
	if protocol == ProtocolHTTP2 && relay.Protocol() != ProtocolHTTP2 {
		_ = near.Close()
		relay.Discard()
		return Conn{}, &tlsError{errNoHTTP2}
	}
	return Conn{Socket: near, Relay: relay}, nil
}

// security returns what the endpoints of a port must prove; nil for nothing.
func (b *binder) security(said *mesh.TLS) *security {
	if said == nil {
		return nil
	}
	s, ok := b.securities[*said]
	if !ok {
		if s, ok = b.old.securities[*said]; !ok {
			s = newSecurity(said)
		}
		b.securities[*said] = s
	}
	return s
}

func newSecurity(said *mesh.TLS) *security {
	s := &security{serverName: said.ServerName}
	if said.CASecret != "" {
		s.roots = x509.NewCertPool()
		s.unknown = !s.roots.AppendCertsFromPEM([]byte(said.CA))
	}
	return s
}
