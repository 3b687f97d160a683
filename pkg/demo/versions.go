package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// versionHeader tells which version answered.
const versionHeader = "Version"

// instance is one running copy of one version of the service.
type instance struct {
	listener net.Listener
	http     *http.Server
}

// newInstance opens a free port of the loopback.
func newInstance(version string) (*instance, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(versionHeader, version)
		fmt.Fprintf(w, "orders %s\n", version)
	}
	return &instance{listener: listener, http: &http.Server{
		Handler: http.HandlerFunc(answer), ReadHeaderTimeout: 5 * time.Second,
	}}, nil
}

func (i *instance) address() netip.AddrPort { return i.listener.Addr().(*net.TCPAddr).AddrPort() }

// serve answers until the context ends.
func (i *instance) serve(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- i.http.Serve(i.listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = i.http.Close() // the caller has stopped
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
