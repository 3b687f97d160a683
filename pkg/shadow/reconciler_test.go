package shadow

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reconcile"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDistributionByServerVersion(t *testing.T) {
	for minor, want := range map[string]string{"35": "PreferSameNode", "34+": "PreferSameNode", "33": "PreferClose", "31": "PreferClose", "30": "", "x": ""} {
		got := distribution("1", minor)
		if got == nil && want != "" || got != nil && *got != want {
			t.Errorf("1.%s: %v, want %q", minor, got, want)
		}
	}
}

// Run writes, ends with its context and leaves no goroutine (TestMain sees).
func TestRunEndsWhole(t *testing.T) {
	client := fake.NewClientset(service("orders"))
	ctx, cancel := context.WithCancel(t.Context())
	passed := make(chan struct{}, 100)
	r := New(Config{Client: client, Problems: func([]mesh.Problem) { passed <- struct{}{} }})
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	select {
	case <-passed:
	case <-time.After(20 * time.Second):
		t.Fatal("no pass within 20 s")
	}
	if _, err := client.CoreV1().Services("weft").Get(t.Context(), shadowName(key("orders").service), metav1.GetOptions{}); err != nil || !r.Synced() {
		t.Errorf("after a pass: %v, synced %v", err, r.Synced())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A cache that has lost a Service costs no address: the server is asked.
func TestAnOrphanIsConfirmed(t *testing.T) {
	w, _ := steady(testPorts, service("orders"))
	shadow := w.own[shadowName(key("orders").service)]
	moved := shadow.DeepCopy()
	moved.Name = "another-name"
	for _, test := range []struct {
		name    string
		objects []runtime.Object
		broken  bool
		orphan  *corev1.Service
		dead    bool
	}{
		{name: "its Service stands", objects: []runtime.Object{service("orders")}, orphan: shadow},
		{name: "its Service is gone", orphan: shadow, dead: true},
		{name: "the server does not say", broken: true, orphan: shadow},
		{name: "not under its name", objects: []runtime.Object{service("orders")}, orphan: moved, dead: true},
		{name: "not to be meshed any more", orphan: shadow, dead: true, objects: []runtime.Object{
			service("orders", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }),
		}},
	} {
		client := fake.NewClientset(test.objects...)
		if test.broken {
			client.PrependReactor("get", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, errors.New("connection refused")
			})
		}
		r := New(Config{Client: client})
		r.writer.Begin()
		dead, kept := r.confirm(t.Context(), []*corev1.Service{test.orphan})
		if (len(dead) == 1) != test.dead || len(dead)+len(kept) != 1 {
			t.Errorf("%s: dead %d, kept %d", test.name, len(dead), len(kept))
		}
	}
}

// What stands but is not in the cache is taken over when it is ours, with its
// address, and left alone when it is not.
func TestAnOldCacheIsLookedPast(t *testing.T) {
	want := testForm.shadow(service("orders"), map[portKey]uint16{key("orders"): 10000})
	ours := served(want, "10.0.0.7")
	ours.Spec.Ports[0].TargetPort.IntVal = 10009
	r := New(Config{Client: fake.NewClientset(ours)})
	got, err := r.api.service(t.Context(), nil, want)
	if err != nil || got.Spec.ClusterIP != "10.0.0.7" || got.Spec.Ports[0].TargetPort.IntVal != 10000 {
		t.Errorf("%v, %v", got, err)
	}
	theirs := ours.DeepCopy()
	theirs.Labels = nil
	client := fake.NewClientset(theirs)
	if _, err := New(Config{Client: client}).api.service(t.Context(), nil, want); !errors.Is(err, reconcile.ErrTaken) {
		t.Errorf("a foreign Service: %v", err)
	}
	for _, action := range client.Actions() {
		if action.GetVerb() == "update" || action.GetVerb() == "delete" {
			t.Errorf("a foreign Service was touched: %v", action)
		}
	}
}
