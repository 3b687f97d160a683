package kube

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func problem(object, message string) mesh.Problem {
	return mesh.Problem{
		Object:  mesh.Ref{APIVersion: "split.smi-spec.io/v1alpha4", Kind: "TrafficSplit", Namespace: "shop", Name: object, UID: "u-" + object},
		Reason:  mesh.BackendNotFound,
		Message: message,
	}
}

// standing are the Events of a namespace as "object message count".
func standing(t *testing.T, client *fake.Clientset, namespace string) []corev1.Event {
	t.Helper()
	list, err := client.CoreV1().Events(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Event) int { return strings.Compare(a.Message, b.Message) })
	return list.Items
}

func TestEventsAreToldOnceWhileTheyStand(t *testing.T) {
	client := fake.NewClientset()
	events := NewEvents(client, zerolog.Nop())
	ctx := context.Background()
	a, b := problem("a", "one"), problem("b", "two")
	inFile := mesh.Problem{Object: mesh.Ref{Kind: "File", Name: "x:1"}, Reason: mesh.Malformed, Message: "three"}
	counts := func() (out []int32) {
		for _, e := range standing(t, client, "shop") {
			out = append(out, e.Count)
		}
		return out
	}
	for _, step := range []struct {
		problems []mesh.Problem
		want     []int32
	}{
		{[]mesh.Problem{a, a, inFile}, []int32{1}},
		{[]mesh.Problem{a, b}, []int32{1, 1}},
		{[]mesh.Problem{b}, []int32{1, 1}},
		{[]mesh.Problem{b, a}, []int32{2, 1}},
		{nil, []int32{2, 1}},
	} {
		events.Tell(ctx, step.problems)
		if diff := cmp.Diff(step.want, counts()); diff != "" {
			t.Errorf("%v: %s", step.problems, diff)
		}
	}
	NewEvents(client, zerolog.Nop()).Tell(ctx, []mesh.Problem{b})
	if diff := cmp.Diff([]int32{2, 2}, counts()); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
	want := corev1.Event{
		InvolvedObject: corev1.ObjectReference{APIVersion: "split.smi-spec.io/v1alpha4", Kind: "TrafficSplit", Namespace: "shop", Name: "a", UID: "u-a"},
		Type:           "Warning", Reason: mesh.BackendNotFound, Message: "one", Count: 2,
		Source: corev1.EventSource{Component: "weft"}, ReportingController: "weft",
	}
	got := standing(t, client, "shop")[0]
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(metav1.TypeMeta{}, metav1.ObjectMeta{}, metav1.Time{})); diff != "" {
		t.Error(diff)
	}
	if got.FirstTimestamp.IsZero() || got.LastTimestamp.IsZero() {
		t.Errorf("got times %v and %v", got.FirstTimestamp, got.LastTimestamp)
	}
}

// A problem that could not be told because nobody answered is told next time;
// one that was refused is not.
func TestEventsThatFail(t *testing.T) {
	client := fake.NewClientset()
	calls := 0
	fail := errors.New("connection refused")
	client.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
		calls++
		return fail != nil, nil, fail
	})
	events := NewEvents(client, zerolog.Nop())
	ctx := context.Background()
	both := []mesh.Problem{problem("a", "one"), problem("b", "two")}
	tell := func(want int) {
		t.Helper()
		calls = 0
		events.Tell(ctx, both)
		if calls != want {
			t.Errorf("got %d calls, want %d", calls, want)
		}
	}
	tell(1)
	fail = apierrors.NewServiceUnavailable("later")
	tell(1)
	fail = apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("the namespace ends"))
	tell(2)
	fail = nil
	tell(0)
}

func TestEventsFitTheAPI(t *testing.T) {
	client := fake.NewClientset()
	long := mesh.Problem{
		Object: mesh.Ref{APIVersion: "v1", Kind: "Node", Name: strings.Repeat("a", 230) + "." + strings.Repeat("b", 22)},
		Reason: mesh.Malformed, Message: strings.Repeat("ü", 600),
	}
	NewEvents(client, zerolog.Nop()).Tell(context.Background(), []mesh.Problem{long})
	got := standing(t, client, "default")
	if len(got) != 1 || len(got[0].Name) > 253 || got[0].Message != strings.Repeat("ü", 512) {
		t.Errorf("got %+v", got)
	}
}
