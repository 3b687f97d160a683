package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/pkg/dnspatch"
)

// ErrNoCoreDNS says that there is no CoreDNS to patch.
var ErrNoCoreDNS = errors.New("no CoreDNS found: no Deployment or DaemonSet labelled k8s-app=kube-dns, " +
	"app.kubernetes.io/name=coredns or kubernetes.io/name=CoreDNS mounts a Corefile from a ConfigMap")

// Config says what to patch. Only Client must be set.
type Config struct {
	Client kubernetes.Interface
	// Names are the mesh domains and their target. Its zero value is mesh names
	// to namespace weft, the cluster domain read from the Corefile.
	Names dnspatch.Config
	// System is the namespace of the cluster's DNS. Empty means kube-system.
	System string
	// Interval is the time between two assertions of Run. Zero means 10 s.
	Interval time.Duration
	// Report is told by Run how the first assertion ended, and whenever the
	// outcome changes: an error when it fails or fails in another way, nil when
	// all is well. May be nil.
	Report func(error)
}

// Patcher asserts and removes the blocks. It keeps nothing between calls, so
// several may exist and any call may be the first.
type Patcher struct {
	cfg Config
}

// New fills in the defaults.
func New(cfg Config) *Patcher {
	cfg.System = cmp.Or(cfg.System, "kube-system")
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Patcher{cfg}
}

// Run ensures the blocks now and every Interval, until ctx is done, which is
// the only reason to return and gives nil.
func (p *Patcher) Run(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.Interval)
	defer tick.Stop()
	first, last := true, ""
	for {
		err := p.Ensure(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if text := message(err); first || text != last {
			first, last = false, text
			p.cfg.Report(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// message is the text of an error, "" for none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Ensure writes what is missing or differs. It goes on after a failure in one
// place; the errors are joined. Among them can be ErrNoCoreDNS,
// *ForbiddenError and the errors of package dnspatch.
func (p *Patcher) Ensure(ctx context.Context) error {
	places, errs := p.places(ctx)
	for i := range places {
		errs = append(errs, p.ensure(ctx, &places[i]))
	}
	return errors.Join(append(errs, p.restart(ctx, places))...)
}

// Remove takes everything back: each text byte for byte as it was, no key,
// annotation or ConfigMap of Weft's left. It does not need a CoreDNS that Weft
// understands; a cluster without any is done. Errors are joined as in Ensure.
func (p *Patcher) Remove(ctx context.Context) error {
	places, errs := p.places(ctx)
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, ErrNoCoreDNS) })
	for _, pl := range places {
		errs = append(errs, p.remove(ctx, pl))
	}
	for _, pl := range places {
		errs = append(errs, p.forgetRestart(ctx, pl.reader))
	}
	return errors.Join(errs...)
}
