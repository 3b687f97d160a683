package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// A controller without the right to the Lease never works: its log says why,
// once, and again when it changes or comes back.
func TestALeaseThatCannotBeReadIsToldOnce(t *testing.T) {
	leases := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	var refusal error
	client := fake.NewClientset()
	client.PrependReactor("get", "leases", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, refusal })
	var out bytes.Buffer
	lock := newLock(client.CoordinationV1(), "weft", zerolog.New(&out))
	for _, test := range []struct {
		refusal error
		lines   int
	}{
		{apierrors.NewNotFound(leases, leaseName), 0},
		{apierrors.NewForbidden(leases, leaseName, errors.New("no RBAC policy matched")), 1},
		{apierrors.NewForbidden(leases, leaseName, errors.New("no RBAC policy matched")), 1},
		{apierrors.NewServiceUnavailable("etcd is away"), 2},
		{apierrors.NewNotFound(leases, leaseName), 2},
		{apierrors.NewForbidden(leases, leaseName, errors.New("no RBAC policy matched")), 3},
	} {
		refusal = test.refusal
		if _, _, err := lock.Get(t.Context()); !errors.Is(err, refusal) {
			t.Errorf("%v; want %v", err, refusal)
		}
		if got := strings.Count(out.String(), "cannot read the Lease"); got != test.lines {
			t.Errorf("after %v: %d lines; want %d\n%s", refusal, got, test.lines, out.String())
		}
	}
	if err := lock.Create(t.Context(), resourcelock.LeaderElectionRecord{AcquireTime: metav1.Now()}); err != nil {
		t.Error(err)
	}
}
