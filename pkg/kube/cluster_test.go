package kube

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/weft-mesh/weft/pkg/smi"
)

func kubeService(n string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: n}}
}

func kubeSplit(weight any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"service": "orders", "backends": []any{map[string]any{"service": "orders", "weight": weight}},
	}}}
	u.SetAPIVersion(smi.SplitGroup + "/v1alpha4")
	u.SetKind(smi.TrafficSplit)
	u.SetNamespace("shop")
	u.SetName("s")
	return u
}

// pair is a Cluster on clients that know the objects.
func pair(objects ...runtime.Object) (*Cluster, *fake.Clientset, *dynamicfake.FakeDynamicClient) {
	kinds := map[schema.GroupVersionResource]string{}
	for _, kind := range smi.Kinds() {
		for _, v := range kind.Versions {
			kinds[kind.Resource(v)] = kind.Kind + "List"
		}
	}
	client := fake.NewClientset(objects...)
	dynamic := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	return NewCluster(ClusterConfig{Client: client, Dynamic: dynamic, LookAgain: 5 * time.Millisecond, Log: zerolog.Nop()}), client, dynamic
}

// smiResource is a kind's resource in its newest version.
func smiResource(t *testing.T, group, kind string) schema.GroupVersionResource {
	t.Helper()
	k, ok := smi.Lookup(group, kind)
	if !ok {
		t.Fatalf("%s of %s is not known", kind, group)
	}
	return k.Resource(k.Versions[0])
}

// watched waits until a kind was listed and is watched: a clientset of objects
// in memory tells nobody of what comes between the two.
func watched(t *testing.T, client interface{ Actions() []clienttesting.Action }, resource string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for listed := false; ; listed = false {
		for _, a := range client.Actions() {
			listed = listed || a.Matches("list", resource)
			if listed && a.Matches("watch", resource) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s are not watched", resource)
		}
	}
}

func TestClusterFollowsItsKinds(t *testing.T) {
	c, client, dynamic := pair(kubeService("orders"))
	for _, s := range c.Status() {
		if s.Synced || !s.LastSeen.IsZero() {
			t.Errorf("got %+v before it ran", s)
		}
	}
	w := follow(t, c)
	w.until("the Service that was there", has("orders"))
	watched(t, client, "services")
	watched(t, dynamic, "trafficsplits")
	ctx := context.Background()
	if _, err := client.CoreV1().Services("shop").Create(ctx, kubeService("carts"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("a new Service", has("orders", "carts"))
	splits := dynamic.Resource(smiResource(t, smi.SplitGroup, smi.TrafficSplit)).Namespace("shop")
	weight := func(want int64) func(*mesh.Inputs) bool {
		return func(in *mesh.Inputs) bool {
			b := in.Splits[name("s")].Backends
			return len(b) == 1 && b[0].Weight == want
		}
	}
	if _, err := splits.Create(ctx, kubeSplit(int64(1)), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("a split", weight(1000))
	if _, err := splits.Update(ctx, kubeSplit("nonsense"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("the problem beside what stood", all(weight(1000), hasProblem("TrafficSplit shop/s", mesh.Malformed)))
	if err := splits.Delete(ctx, "s", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("that it is gone", func(in *mesh.Inputs) bool { return len(in.Splits) == 0 && len(in.Problems) == 0 })
	var kinds []string
	for _, s := range c.Status() {
		kinds = append(kinds, s.Kind)
		if !s.Synced || s.LastSeen.IsZero() || s.Err != "" {
			t.Errorf("got %+v, want it well", s)
		}
	}
	want := []string{"Service", "EndpointSlice", "Pod", "Namespace", "TrafficSplit", "HTTPRouteGroup", "TCPRoute", "UDPRoute", "TrafficTarget", "IdentityBinding"}
	if !slices.Equal(kinds, want) {
		t.Errorf("got kinds %v", kinds)
	}
}

// What fails is named, nothing is Synced, and it goes on by itself.
func TestClusterNamesWhatFails(t *testing.T) {
	c, client, _ := pair(kubeService("orders"))
	allowed := make(chan struct{})
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		select {
		case <-allowed:
			return false, nil, nil
		default:
			return true, nil, errors.New("pods are forbidden today")
		}
	})
	w := follow(t, c)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.Status()[2].Err == "" || !c.Status()[0].Synced {
		<-tick.C
	}
	if s := c.Status()[2]; s.Kind != "Pod" || s.Synced || !strings.Contains(s.Err, "pods are forbidden today") {
		t.Errorf("got %+v", s)
	}
	w.mu.Lock()
	if w.synced != 0 {
		t.Error("it was Synced without the pods")
	}
	w.mu.Unlock()
	close(allowed)
	w.until("the whole picture", has("orders"))
	if s := c.Status()[2]; !s.Synced || s.Err != "" {
		t.Errorf("got %+v", s)
	}
}

func TestStoreDeletesWhatVanishedUnseen(t *testing.T) {
	in := mesh.NewInputs()
	s := &store{
		kind: "Service", trimmer: newTrimmer("weft"), ledger: newLedger(), status: newStatus("Service", zerolog.Nop()),
		emit: func(c mesh.Change) { c.Apply(in) }, first: func() {},
	}
	trimmed, err := s.Transformer()(kubeService("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replace([]any{trimmed, kubeService("b"), kubeService("c")}, "1"); err != nil {
		t.Fatal(err)
	}
	if !has("a", "b", "c")(in) {
		t.Errorf("got %+v", in.Services)
	}
	for _, object := range []any{cache.DeletedFinalStateUnknown{Key: "shop/a"}, kubeService("b")} {
		if err := s.Delete(object); err != nil {
			t.Error(err)
		}
	}
	if !has("c")(in) {
		t.Errorf("got %+v, want c only", in.Services)
	}
	for _, wrong := range []error{s.Delete("text"), s.Delete(cache.DeletedFinalStateUnknown{Key: "a/b/c"}), s.Add(3), s.Replace([]any{3}, "")} {
		if wrong == nil {
			t.Error("something that is no object was taken for one")
		}
	}
	if !has("c")(in) {
		t.Errorf("got %+v, want c still", in.Services)
	}
}

// A kind that was there and is not served any more is gone at the second look.
func TestAbsenceIsConfirmed(t *testing.T) {
	in := mesh.NewInputs()
	first := 0
	f := &feed{status: newStatus("Service", zerolog.Nop())}
	f.store = &store{
		kind: "Service", trimmer: newTrimmer(""), ledger: newLedger(), status: f.status,
		emit: func(c mesh.Change) { c.Apply(in) }, first: func() { first++ },
	}
	f.absent(1)
	if first != 1 || !f.status.get().Synced {
		t.Error("a kind that is not installed holds up the first picture")
	}
	if err := f.store.Add(kubeService("a")); err != nil {
		t.Fatal(err)
	}
	f.absent(1)
	if !has("a")(in) {
		t.Error("one look sufficed")
	}
	f.absent(2)
	if !has()(in) || first != 1 {
		t.Errorf("got %+v, want nothing after the second look", in.Services)
	}
}
