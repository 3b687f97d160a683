package reconcile

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pass begins when nothing has changed for quiet, or longest after the first
// change.
const (
	quiet   = 50 * time.Millisecond
	longest = 500 * time.Millisecond
)

// Settle waits, after a first change, for a moment without another.
func Settle(ctx context.Context, changed <-chan struct{}) {
	calm, end := time.NewTimer(quiet), time.NewTimer(longest)
	defer calm.Stop()
	defer end.Stop()
	for {
		select {
		case <-changed:
			calm.Reset(quiet)
		case <-calm.C:
			return
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Outdated tells whether an error of a write means that the cache, by which it
// was planned, was old.
func Outdated(err error) bool {
	return apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

// Exactly deletes an object only as it was seen: not one that somebody has
// edited since, perhaps to make it his own.
func Exactly(o *metav1.ObjectMeta) metav1.DeleteOptions {
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion}}
}

// IgnoreNotFound takes it that what is not there is deleted.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
