package cluster

import (
	"context"
	"encoding/json"
	"errors"

	"k8s.io/apimachinery/pkg/types"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// restartedAt, on a pod template, is the changedAt of the last change that its
// pods were restarted for.
const restartedAt = "weft.mesh/restarted-at"

// restart restarts every reader whose pods are older than a change that they
// would not notice.
func (p *Patcher) restart(ctx context.Context, places []place) error {
	latest := map[string]place{}
	for _, pl := range places {
		if name := pl.reader.String(); pl.changedAt > latest[name].changedAt {
			latest[name] = pl
		}
	}
	var errs []error
	for _, pl := range latest {
		if pl.changedAt > pl.reader.annotations[restartedAt] {
			errs = append(errs, p.annotate(ctx, pl.reader, &pl.changedAt))
		}
	}
	return errors.Join(errs...)
}

// forgetRestart drops the annotation. That changes the pod template, so the
// pods are replaced once more and read the Corefile without Weft's block.
func (p *Patcher) forgetRestart(ctx context.Context, w workload) error {
	if _, ok := w.annotations[restartedAt]; !ok {
		return nil
	}
	return p.annotate(ctx, w, nil)
}

// annotate sets restartedAt in the pod template, or drops it.
func (p *Patcher) annotate(ctx context.Context, w workload, value *string) error {
	type object map[string]any
	annotations := object{"annotations": map[string]*string{restartedAt: value}}
	body, err := json.Marshal(object{"spec": object{"template": object{"metadata": annotations}}})
	if err != nil {
		return err
	}
	apps, options := p.cfg.Client.AppsV1(), metav1.PatchOptions{FieldManager: fieldManager}
	if w.resource == "apps/deployments" {
		_, err = apps.Deployments(p.cfg.System).Patch(ctx, w.name, types.MergePatchType, body, options)
	} else {
		_, err = apps.DaemonSets(p.cfg.System).Patch(ctx, w.name, types.MergePatchType, body, options)
	}
	return p.explain(err, "patch", w.resource, w.name)
}
