package shadow

import (
	"context"
	"errors"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reconcile"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errStands says that a Service that the cache had lost stands after all.
var errStands = errors.New("its Service stands; the cache is old")

// pass makes everything as it should be, as far as the caches know, and returns
// after what time it should be tried again without a change (0 for never).
//
// The order keeps a name from ever leading nowhere: addresses first, then their
// names; what goes loses its name before its address.
func (r *Reconciler) pass(ctx context.Context) (again time.Duration) {
	w := r.world()
	plan := planShadows(r.form, r.config.Ports, w, r.ports)
	r.ports = plan.ports
	r.writer.Begin()
	dead, kept := r.confirm(ctx, plan.orphans)
	found := r.writeShadows(ctx, plan.shadows)
	for _, shadow := range kept {
		source, _ := sourceOf(shadow)
		found.add(source, shadow)
	}
	names := planNames(r.form, w, found)
	r.writeNames(ctx, names)
	r.writer.Run(ctx, r.deletions(dead))
	if ctx.Err() != nil {
		return 0
	}
	failures, again := r.writer.End()
	r.stats.Store(&Stats{
		Shadows: len(plan.shadows), PortsUsed: len(plan.ports.held),
		PortsFree: r.config.Ports.size() - len(plan.ports.held),
	})
	r.tell(append(append(plan.problems, names.problems...), failures...))
	return again
}

// confirm asks the API server itself, past the cache, whether the Services of
// orphaned shadows are gone. An address that callers hold is not given up
// because a list came back short. Shadows that are out of scope by
// configuration, or under another name than theirs, need no question.
func (r *Reconciler) confirm(ctx context.Context, orphans []*corev1.Service) (dead, kept []*corev1.Service) {
	gone := make([]bool, len(orphans))
	var jobs []reconcile.Job
	for i, shadow := range orphans {
		source, _ := sourceOf(shadow)
		if !r.scope.namespace(source.Namespace) || shadow.Name != shadowName(source) {
			gone[i] = true
			continue
		}
		jobs = append(jobs, reconcile.Job{ID: "Service " + source.String(), Do: func(ctx context.Context) (err error) {
			gone[i], err = r.gone(ctx, source)
			return err
		}})
	}
	r.writer.Run(ctx, jobs)
	for i, shadow := range orphans {
		if gone[i] {
			dead = append(dead, shadow)
		} else {
			kept = append(kept, shadow)
		}
	}
	return dead, kept
}

// gone asks whether a Service is not there or not to be meshed; errStands means
// that it is.
func (r *Reconciler) gone(ctx context.Context, name mesh.Name) (bool, error) {
	svc, err := r.config.Client.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, err
	case r.scope.service(svc):
		return false, errStands
	}
	return true, nil
}

// writeShadows writes what differs and returns the mesh addresses there are.
func (r *Reconciler) writeShadows(ctx context.Context, changes []change) addresses {
	result := make([]*corev1.Service, len(changes))
	var jobs []reconcile.Job
	for i := range changes {
		c := &changes[i]
		result[i] = c.have
		if !c.differs() {
			continue
		}
		jobs = append(jobs, reconcile.Job{ID: serviceID(c.want), About: c.about, Do: func(ctx context.Context) error {
			written, err := r.api.service(ctx, c.have, c.want)
			if err == nil {
				result[i] = written
			}
			return err
		}})
	}
	r.writer.Run(ctx, jobs)
	found := addresses{}
	for i, shadow := range result {
		if shadow != nil {
			source, _ := sourceOf(changes[i].want)
			found.add(source, shadow)
		}
	}
	return found
}

// writeNames writes what differs, slices of Services that stand first.
func (r *Reconciler) writeNames(ctx context.Context, plan *namePlan) {
	var services, slices []reconcile.Job
	for i := range plan.services {
		c := &plan.services[i]
		if c.differs() {
			services = append(services, reconcile.Job{ID: serviceID(c.want), About: c.about, Do: func(ctx context.Context) error {
				_, err := r.api.service(ctx, c.have, c.want)
				return err
			}})
		}
	}
	for i := range plan.slices {
		c := &plan.slices[i]
		if c.differs() {
			about := mesh.Ref{APIVersion: "v1", Kind: "Namespace", Name: c.want.Labels[discoveryv1.LabelServiceName]}
			slices = append(slices, reconcile.Job{ID: "EndpointSlice " + c.want.Namespace + "/" + c.want.Name, About: about, Do: func(ctx context.Context) error {
				return r.api.slice(ctx, c.have, c.want)
			}})
		}
	}
	for _, s := range plan.deadSlices {
		slices = append(slices, reconcile.Job{ID: "EndpointSlice " + s.Namespace + "/" + s.Name, Do: func(ctx context.Context) error {
			return r.api.deleteSlice(ctx, s)
		}})
	}
	r.writer.Run(ctx, services)
	r.writer.Run(ctx, slices)
	r.writer.Run(ctx, r.deletions(plan.dead))
}

func (r *Reconciler) deletions(services []*corev1.Service) []reconcile.Job {
	out := make([]reconcile.Job, len(services))
	for i, svc := range services {
		out[i] = reconcile.Job{ID: serviceID(svc), Do: func(ctx context.Context) error { return r.api.deleteService(ctx, svc) }}
	}
	return out
}

func serviceID(svc *corev1.Service) string { return "Service " + svc.Namespace + "/" + svc.Name }
