package main

import (
	"context"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// toldLock is a lock whose failures are logged, each once until it changes or
// passes: the elector tries again every retryPeriod and says nothing itself.
// It is used by the elector's goroutine only.
type toldLock struct {
	resourcelock.Interface
	log  zerolog.Logger
	last string // the failure that stands
}

func newLock(client coordinationv1.CoordinationV1Interface, namespace string, log zerolog.Logger) *toldLock {
	return &toldLock{log: log, Interface: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: leaseName},
		Client:     client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity()},
	}}
}

// Get reads the Lease. That there is none yet is no failure.
func (l *toldLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	return record, raw, l.tell("read", err)
}

// Create makes the Lease. That somebody else was faster is no failure.
func (l *toldLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.tell("create", l.Interface.Create(ctx, record))
}

// Update takes or renews the Lease. That somebody else was faster is no failure.
func (l *toldLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.tell("write", l.Interface.Update(ctx, record))
}

func (l *toldLock) tell(verb string, err error) error {
	said := ""
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
		said = verb + ": " + err.Error()
	}
	if said != "" && said != l.last {
		l.log.Warn().Err(err).Msg("controller: cannot " + verb + " the Lease; nobody leads without it")
	}
	l.last = said
	return err
}
