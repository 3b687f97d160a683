package guard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"golang.org/x/sync/errgroup"
)

const (
	mostTries = 8 // connections that are tried at once
	// tryTimeout is how long a connection may take. A plugin that enforces
	// policies drops what it does not admit, so that most tries take all of it.
	tryTimeout = time.Second
)

// tries tries the guards from time to time.
func (r *Reconciler) tries(ctx context.Context) {
	ticker := time.NewTicker(r.config.Try)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		open := r.try(ctx, r.mesh.Load())
		if ctx.Err() == nil {
			r.tell(func() { r.open = open })
		}
	}
}

// try connects to one pod of each guarded namespace and returns the problems of
// those that let it in, by namespace.
func (r *Reconciler) try(ctx context.Context, m *mesh.Mesh) map[string]mesh.Problem {
	if m == nil {
		return nil
	}
	var mu sync.Mutex // guards open
	open := map[string]mesh.Problem{}
	var group errgroup.Group
	group.SetLimit(mostTries)
	for _, guard := range m.Guards {
		pod, address := target(m, guard)
		if pod == nil || !r.stands(guard) {
			continue
		}
		group.Go(func() error {
			dialer := net.Dialer{Timeout: tryTimeout}
			conn, err := dialer.DialContext(ctx, "tcp", address.String())
			if err != nil {
				return nil
			}
			here := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			conn.Close()
			if guard.Admits(here) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			open[guard.Namespace.Name] = mesh.Problem{Object: guard.Namespace, Reason: NotEnforced, Message: fmt.Sprintf(
				"the guard does not hold: pod %s takes connections from %s past the mesh; the network plugin does not enforce NetworkPolicies, or another policy admits them",
				pod.Name, r.config.Namespace)}
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	return open
}

// stands tells whether the policy of a guard stands and admits nobody who may
// be Weft's own namespace, where the try comes from.
func (r *Reconciler) stands(g *mesh.Guard) bool {
	for _, a := range g.Allow {
		if a.Label != "" || a.Namespace == r.config.Namespace {
			return false
		}
	}
	_, there, err := r.policies.GetStore().GetByKey(g.Namespace.Name + "/" + policyName)
	return err == nil && there
}

// target is a pod of the namespace that listens for TCP, and where; nil for none.
func target(m *mesh.Mesh, g *mesh.Guard) (*mesh.Workload, netip.AddrPort) {
	for _, service := range m.Services {
		if service.Name.Namespace != g.Namespace.Name {
			continue
		}
		for _, port := range service.Ports {
			for i := range port.Endpoints {
				e := &port.Endpoints[i]
				if port.Transport == mesh.TCP && e.Workload != nil && e.Workload.Name.Namespace == g.Namespace.Name {
					return e.Workload, e.Address
				}
			}
		}
	}
	return nil, netip.AddrPort{}
}
