package cluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/weft-mesh/weft/pkg/dnspatch"
)

const (
	// changedAt, on a ConfigMap, is when Weft changed it. It stands only where
	// the reader must be restarted to notice.
	changedAt = "weft.mesh/changed-at"
	// managedBy marks a ConfigMap that Weft created.
	managedBy    = "app.kubernetes.io/managed-by"
	fieldManager = "weft"
	// timestamp sorts as text.
	timestamp = "2006-01-02T15:04:05.000000000Z07:00"
)

// ensure writes what belongs into the place, and notes its changedAt.
func (p *Patcher) ensure(ctx context.Context, pl *place) error {
	cm, err := p.update(ctx, *pl, func(cm *corev1.ConfigMap) error {
		changed, err := pl.fill(cm)
		if changed && pl.restarts() {
			metav1.SetMetaDataAnnotation(&cm.ObjectMeta, changedAt, time.Now().UTC().Format(timestamp))
		}
		return err
	})
	if cm != nil && pl.restarts() {
		pl.changedAt = cm.Annotations[changedAt]
	}
	return err
}

// fill puts what belongs into the place into cm and tells whether it was not
// there.
func (pl place) fill(cm *corev1.ConfigMap) (changed bool, err error) {
	have := cm.Data[pl.key]
	text, err := pl.want(have)
	if err != nil {
		return false, fmt.Errorf("key %s of ConfigMap %s: %w", pl.key, pl.configMap, err)
	}
	pl.set(cm, text)
	return text != have, nil
}

// set makes text the value of the place's key.
func (pl place) set(cm *corev1.ConfigMap, text string) {
	switch {
	case text == "" && pl.own:
		delete(cm.Data, pl.key)
	case cm.Data == nil:
		cm.Data = map[string]string{pl.key: text}
	default:
		cm.Data[pl.key] = text
	}
}

// remove takes Weft out of the place.
func (p *Patcher) remove(ctx context.Context, pl place) error {
	cm, err := p.update(ctx, pl, func(cm *corev1.ConfigMap) error {
		have, ok := cm.Data[pl.key]
		text, err := "", error(nil)
		if !pl.own {
			text, err = dnspatch.Remove(have)
		}
		if err != nil {
			return fmt.Errorf("key %s of ConfigMap %s: %w", pl.key, pl.configMap, err)
		}
		if ok {
			pl.set(cm, text)
		}
		delete(cm.Annotations, changedAt)
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || cm == nil || !created(cm) {
		return err
	}
	return p.disown(ctx, pl, cm)
}

// created reports whether Weft created the ConfigMap.
func created(cm *corev1.ConfigMap) bool { return cm.Labels[managedBy] == fieldManager }

// disown deletes a ConfigMap that Weft created, or leaves it to those who put
// more into it.
func (p *Patcher) disown(ctx context.Context, pl place, cm *corev1.ConfigMap) error {
	if len(cm.Data)+len(cm.BinaryData) > 0 {
		_, err := p.update(ctx, pl, func(cm *corev1.ConfigMap) error {
			delete(cm.Labels, managedBy)
			return nil
		})
		return err
	}
	same := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &cm.ResourceVersion}}
	err := p.cfg.Client.CoreV1().ConfigMaps(p.cfg.System).Delete(ctx, cm.Name, same)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return p.explain(err, "delete", "configmaps", cm.Name)
}

// update edits the place's ConfigMap as it stands and writes it if that changed
// it; it starts over when somebody else wrote in between. It gives the
// ConfigMap as it is afterwards, nil where there is none and need not be.
func (p *Patcher) update(ctx context.Context, pl place, edit func(*corev1.ConfigMap) error) (*corev1.ConfigMap, error) {
	var result *corev1.ConfigMap
	err := retry.OnError(retry.DefaultRetry, raced, func() error {
		before, err := p.get(ctx, pl.configMap)
		if apierrors.IsNotFound(err) && pl.optional {
			result, err = p.create(ctx, pl, edit)
			return err
		}
		if err != nil {
			return err
		}
		after := before.DeepCopy()
		if err := edit(after); err != nil || equality.Semantic.DeepEqual(before, after) {
			result = before
			return err
		}
		result, err = p.cfg.Client.CoreV1().ConfigMaps(p.cfg.System).
			Update(ctx, after, metav1.UpdateOptions{FieldManager: fieldManager})
		return p.explain(err, "update", "configmaps", pl.configMap)
	})
	return result, err
}

// raced reports whether somebody else wrote first.
func raced(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err)
}

// create makes the place's ConfigMap, if anything belongs into it.
func (p *Patcher) create(ctx context.Context, pl place, edit func(*corev1.ConfigMap) error) (*corev1.ConfigMap, error) {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: pl.configMap, Namespace: p.cfg.System,
		Labels: map[string]string{managedBy: fieldManager},
	}}
	if err := edit(cm); err != nil || len(cm.Data) == 0 {
		return nil, err
	}
	cm, err := p.cfg.Client.CoreV1().ConfigMaps(p.cfg.System).
		Create(ctx, cm, metav1.CreateOptions{FieldManager: fieldManager})
	return cm, p.explain(err, "create", "configmaps", "")
}
