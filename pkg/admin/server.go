package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// The limits of one exchange. The API is small and its callers are near.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = time.Minute
	stopTimeout  = 2 * time.Second // how long requests in flight may take once the Server stops
)

// Server serves a Handler on one address. Make it with Listen.
type Server struct {
	listener net.Listener
	secure   net.Listener // the listener with TLS; nil without
	http     *http.Server
}

// Listen opens the socket at address ("host:port"; port 0 takes a free one).
// Requests are answered once Run runs.
func Listen(address string, handler http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return &Server{listener: listener, http: &http.Server{
		Handler: handler, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}}, nil
}

// ListenTLS is Listen with TLS.
func ListenTLS(address string, handler http.Handler, config *tls.Config) (*Server, error) {
	s, err := Listen(address, handler)
	if err == nil {
		s.secure = tls.NewListener(s.listener, config)
	}
	return s, err
}

// Addr is where the Server listens.
func (s *Server) Addr() netip.AddrPort {
	address := s.listener.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
}

// Close closes the socket of a Server that Run will not run.
func (s *Server) Close() error { return s.listener.Close() }

// Run answers until the context ends, then waits a moment for the requests in
// flight. It returns an error only where the socket failed.
func (s *Server) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	listener := s.listener
	if s.secure != nil {
		listener = s.secure
	}
	go func() { ended <- s.http.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("admin: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if s.http.Shutdown(stop) != nil {
		_ = s.http.Close() // too slow: cut
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}
