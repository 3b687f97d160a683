package nodeproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/route"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// ListenFailed is the reason of a Problem: a listening address of the Service
// could not be opened.
const ListenFailed = "ListenFailed"

// EndpointNotVerified is the reason of a Problem: endpoints of the Service, to
// which TLS is spoken, do not prove to be it.
const EndpointNotVerified = "EndpointNotVerified"

// retryEvery is how long a listening address that could not be opened waits for
// the next attempt.
const retryEvery = time.Second

// Publish makes a Table the one that decides from now on. Listeners of ports
// that left are closed, new ones opened; none is touched for any other reason.
// What could not be opened is told by Problems and tried again each second.
func (p *Proxy) Publish(t *route.Table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	snapshot, gone := p.state.Bind(t)
	for key, l := range p.listeners {
		if snapshot.Route(key) == nil {
			l.close()
			delete(p.listeners, key)
		}
	}
	if before := p.current.Swap(snapshot); before != nil {
		before.Replace()
	}
	if snapshot.Enforces() {
		select {
		case p.doubt <- struct{}{}:
		default:
		}
	}
	p.table = t
	p.http1.Forget(gone)
	p.http2.Forget(gone)
	p.listen()
}

// Problems tells the listening addresses that are not open, and then the ports
// whose endpoints do not prove who they are, in the order of the Table.
func (p *Proxy) Problems() []mesh.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.problems)
	if p.table == nil {
		return out
	}
	for _, port := range p.table.Ports() {
		if port.TLS == nil {
			continue
		}
		r := p.current.Load().Route(upstream.Key{Listen: port.Listen, Transport: port.Transport})
		if why := r.Distrusted(); r.Port == port && why != nil {
			out = append(out, mesh.Problem{Object: serviceOf(port), Reason: EndpointNotVerified, Message: fmt.Sprintf("port %d: %v", port.Number, why)})
		}
	}
	return out
}

// States tells what the proxy has seen of endpoints.
func (p *Proxy) States(addresses []netip.AddrPort) []upstream.State { return p.state.States(addresses) }

// Policies tells what traffic policies do and have done; nothing before the first
// Publish.
func (p *Proxy) Policies() []telemetry.Policies {
	s := p.current.Load()
	if s == nil {
		return nil
	}
	return s.Policies(time.Now())
}

// Explain says what would become of a call. It must not be called before the
// first Publish.
func (p *Proxy) Explain(q upstream.Question) (upstream.Explanation, bool) {
	return p.current.Load().Explain(q)
}

// listen opens what the Table names and is not open, and sees to the retry. The
// caller holds the lock.
func (p *Proxy) listen() {
	if p.closed {
		return
	}
	p.problems = nil
	failed := false
	for _, port := range p.table.Ports() {
		key := upstream.Key{Listen: port.Listen, Transport: port.Transport}
		if owner := p.current.Load().Route(key).Port; owner != port {
			p.problems = append(p.problems, problem(port, fmt.Errorf("%s is the address of Service %s", key.Listen, owner.Service)))
			continue
		}
		if _, open := p.listeners[key]; open {
			continue
		}
		l, err := p.open(key)
		if err != nil {
			failed = true
			p.problems = append(p.problems, problem(port, err))
			continue
		}
		p.listeners[key] = l
	}
	p.count()
	p.schedule(failed)
}

// schedule sets the next attempt where one failed, and drops the one before.
func (p *Proxy) schedule(failed bool) {
	if p.retry != nil && p.retry.Stop() {
		p.running.Done()
	}
	p.retry = nil
	if !failed {
		return
	}
	p.running.Add(1)
	p.retry = time.AfterFunc(retryEvery, func() {
		defer p.running.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.listen()
	})
}

func (p *Proxy) count() {
	open := map[mesh.Transport]int{mesh.TCP: 0, mesh.UDP: 0}
	for key := range p.listeners {
		open[key.Transport]++
	}
	for transport, n := range open {
		p.config.Metrics.Listeners(transport.String(), n)
	}
}

func serviceOf(port *route.Port) mesh.Ref {
	return mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: port.Service.Namespace, Name: port.Service.Name}
}

func problem(port *route.Port, err error) mesh.Problem {
	return mesh.Problem{
		Object:  serviceOf(port),
		Reason:  ListenFailed,
		Message: fmt.Sprintf("port %d/%s cannot be reached through the mesh: %v; it is tried again each second", port.Number, port.Transport, err),
	}
}

// address writes a listening address for package net: an unspecified IP means
// every address of the host, of both families where it has both.
func address(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return ":" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}
