package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// callers is how many requests may be in flight at once.
const callers = 8

// caller sends a steady stream of requests to a mesh name.
type caller struct {
	url       string
	rate      int // requests per second
	transport *http.Transport

	mu      sync.Mutex // guards current and what every step holds
	current *step
	between *step // what is sent while a share goes live
}

// newCaller returns a caller that finds the host of url by the DNS server only.
func newCaller(url string, dns netip.AddrPort, rate int) *caller {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, dns.String())
	}}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		found, err := resolver.LookupHost(ctx, host+".") // with the dot no search path is tried
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(found[0], port))
	}
	between := newStep(0, 0)
	return &caller{url: url, rate: rate, current: between, between: between, transport: &http.Transport{
		DialContext: dial, MaxIdleConnsPerHost: callers,
	}}
}

// step is what was seen while the canary had one share.
type step struct {
	percent  int
	wanted   int // requests; 0 for as many as come
	started  int
	inFlight int
	versions map[string]*seen
	failed   []error
	done     chan struct{} // closed when all wanted requests have ended
}

// seen is what one version did.
type seen struct{ took []time.Duration }

func newStep(percent, wanted int) *step {
	return &step{percent: percent, wanted: wanted, versions: map[string]*seen{}, done: make(chan struct{})}
}

// begin makes s the step that requests count for, until it has what it wants.
func (c *caller) begin(s *step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = s
}

// run sends until the context ends and waits for every answer.
func (c *caller) run(ctx context.Context) {
	ticks := time.NewTicker(time.Second / time.Duration(c.rate))
	defer ticks.Stop()
	defer c.transport.CloseIdleConnections()
	work := make(chan *step)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(work)
	for range callers {
		workers.Go(func() {
			for s := range work {
				c.call(ctx, s)
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			work <- c.next()
		}
	}
}

// next counts one more request for the current step, which gives way once it has
// all it wants.
func (c *caller) next() *step {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.current
	s.started++
	s.inFlight++
	if s.started == s.wanted {
		c.current = c.between
	}
	return s
}

// call sends one request and notes what became of it.
func (c *caller) call(ctx context.Context, s *step) {
	start := time.Now()
	version, err := c.ask(context.WithoutCancel(ctx))
	took := time.Since(start)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		s.failed = append(s.failed, err)
	} else {
		if s.versions[version] == nil {
			s.versions[version] = &seen{}
		}
		s.versions[version].took = append(s.versions[version].took, took)
	}
	if s.inFlight--; s.inFlight == 0 && s.started == s.wanted {
		close(s.done)
	}
}

// ask sends one request and returns which version answered.
func (c *caller) ask(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return "", err
	}
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s", response.Status)
	}
	return response.Header.Get(versionHeader), nil
}
