package cluster

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Status is one place where a block of Weft belongs.
type Status struct {
	// Workload reads the ConfigMap, such as "deployments coredns"; "" if none
	// was found for node-local-dns.
	Workload string
	// ConfigMap and Key are where the block belongs, in the system namespace.
	ConfigMap, Key string
	// Patched is whether what stands there is what Ensure would write.
	Patched bool
	// Reload is whether the workload notices a change by itself. Else Ensure
	// restarts it.
	Reload bool
	// Shadowed are the mesh domains that another server block of the Corefile
	// answers instead.
	Shadowed []string
	// Err says why Ensure cannot write the block, nil if it can.
	Err error
}

// Status tells what stands where, without writing. The list is right as far as
// it goes, even with an error; errors are those of Ensure.
func (p *Patcher) Status(ctx context.Context) ([]Status, error) {
	places, errs := p.places(ctx)
	var all []Status
	for _, pl := range places {
		if !pl.stale {
			all = append(all, p.status(ctx, pl))
		}
	}
	return all, errors.Join(errs...)
}

func (p *Patcher) status(ctx context.Context, pl place) Status {
	s := Status{
		ConfigMap: pl.configMap,
		Key:       pl.key,
		Reload:    pl.info.Reload && !pl.fixed,
		Shadowed:  pl.info.Shadowed(p.cfg.Names),
	}
	if pl.reader.resource != "" {
		s.Workload = pl.reader.String()
	}
	s.Patched, s.Err = p.patched(ctx, pl)
	return s
}

// patched compares the place with what belongs there.
func (p *Patcher) patched(ctx context.Context, pl place) (bool, error) {
	cm, err := p.get(ctx, pl.configMap)
	if apierrors.IsNotFound(err) && pl.optional {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	changed, err := pl.fill(cm)
	return err == nil && !changed, err
}
