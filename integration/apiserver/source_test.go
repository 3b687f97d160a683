package apiserver_test

import (
	"context"
	"net/netip"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// picture is what a Cluster tells of a real API server.
type picture struct {
	*kube.Cluster
	t *testing.T

	mu      sync.Mutex // guards what follows
	in      *mesh.Inputs
	changes int
	synced  int
	changed chan struct{} // closed and made anew with each change
}

// nodeConfig acts as a node proxy with the rights of the manifests, over
// protobuf for the built-in kinds, as `weft node` does.
func nodeConfig(t *testing.T, api *testenv.APIServer) (typed, untyped *rest.Config) {
	t.Helper()
	kubectl(t, api, "apply", "-f", "../../manifests/namespace.yaml", "-f", "../../manifests/node-rbac.yaml")
	untyped = api.ConfigFor("system:serviceaccount:weft:weft-node", "system:serviceaccounts", "system:serviceaccounts:weft")
	untyped.QPS = -1
	typed = rest.CopyConfig(untyped)
	typed.ContentType = "application/vnd.kubernetes.protobuf"
	typed.AcceptContentTypes = typed.ContentType + ",application/json"
	return typed, untyped
}

func kubectl(t *testing.T, api *testenv.APIServer, arguments ...string) string {
	t.Helper()
	arguments = append([]string{"--kubeconfig", api.Kubeconfig("admin", "system:masters")}, arguments...)
	output, err := exec.Command(testenv.Tool(t, "kubectl"), arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v: %s", arguments[2:], err, output)
	}
	return string(output)
}

// watchCluster runs a Cluster over the API server until the test ends.
func watchCluster(t *testing.T, api *testenv.APIServer) *picture {
	t.Helper()
	typed, untyped := nodeConfig(t, api)
	client, err := kubernetes.NewForConfig(typed)
	if err != nil {
		t.Fatal(err)
	}
	splits, err := dynamic.NewForConfig(untyped)
	if err != nil {
		t.Fatal(err)
	}
	p := &picture{t: t, in: mesh.NewInputs(), changed: make(chan struct{})}
	p.Cluster = kube.NewCluster(kube.ClusterConfig{
		Client: client, Dynamic: splits, LookAgain: 200 * time.Millisecond, Log: zerolog.New(zerolog.NewTestWriter(t)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, p.take) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *picture) take(c mesh.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Apply != nil {
		c.Apply(p.in)
		p.changes++
	}
	if c.Synced {
		p.synced++
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// until waits for the inputs to be as asked, after the first full picture.
func (p *picture) until(what string, ok func(*mesh.Inputs) bool) {
	p.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		done, changed := p.synced == 1 && ok(p.in), p.changed
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			p.t.Fatalf("not within a minute: %s; the inputs are %+v, the watches %+v", what, p.in, p.Status())
		}
	}
}

// watches waits until every watch is whole, or broken.
func (p *picture) watches(whole bool) {
	p.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		as := true
		for _, s := range p.Status() {
			as = as && s.Synced && (s.Err == "") == whole
		}
		if as {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			p.t.Fatalf("the watches are %+v; want all whole: %v", p.Status(), whole)
		}
	}
}

func (p *picture) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changes
}

// editor edits the API server's objects. One that is made after connections
// were cut has a connection of its own.
type editor struct {
	t *testing.T
	kubernetes.Interface
}

func edit(t *testing.T, api *testenv.APIServer) editor {
	t.Helper()
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	return editor{t, client}
}

func (e editor) service(name string) {
	e.t.Helper()
	_, err := e.CoreV1().Services("default").Create(e.t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e editor) remove(name string) {
	e.t.Helper()
	if err := e.CoreV1().Services("default").Delete(e.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		e.t.Fatal(err)
	}
}

// services tells whether there are these, and "kubernetes", in default.
func services(names ...string) func(*mesh.Inputs) bool {
	return func(in *mesh.Inputs) bool {
		for _, n := range append(names, "kubernetes") {
			if _, ok := in.Services[mesh.Name{Namespace: "default", Name: n}]; !ok {
				return false
			}
		}
		return len(in.Services) == len(names)+1
	}
}

// TestClusterSurvives goes through what happens to a watch in its life.
func TestClusterSurvives(t *testing.T) {
	api := testenv.StartAPIServer(t)
	edit(t, api).service("first")
	kubectl(t, api, "apply", "-f", "../../manifests/crds/trafficsplits.yaml")
	p := watchCluster(t, api)
	p.until("the first list", services("first"))
	p.watches(true)

	t.Run("a dropped watch", func(t *testing.T) {
		api.DropConnections()
		edit(t, api).service("second")
		p.until("what came after the drop", services("first", "second"))
	})
	t.Run("an API server that stops and returns", func(t *testing.T) {
		api.Stop()
		p.watches(false)
		p.until("what stood", services("first", "second"))
		before := p.count()
		api.Start()
		started := time.Now()
		p.watches(true)
		t.Logf("every watch is back after %v", time.Since(started).Round(time.Millisecond))
		if got := p.count(); got != before {
			t.Errorf("got %d changes, want none: nothing had changed", got-before)
		}
		edit(t, api).remove("first")
		p.until("what came after the return", services("second"))
	})
	t.Run("410 Gone", func(t *testing.T) {
		before := p.count()
		api.Expire()
		p.watches(true)
		edit(t, api).service("third")
		p.until("what came after the loss of the past", services("second", "third"))
		if got := p.count() - before; got != 1 {
			t.Errorf("got %d changes, want 1: the list that equals what stood tells nothing", got)
		}
	})
	t.Run("what went while nobody watched", func(t *testing.T) {
		kubectl(t, api, "delete", "clusterrolebinding", "weft-node")
		api.DropConnections()
		p.watches(false)
		admin := edit(t, api)
		admin.remove("second")
		admin.service("fourth")
		p.until("what stood, while reading is forbidden", services("second", "third"))
		api.Expire()
		kubectl(t, api, "apply", "-f", "../../manifests/node-rbac.yaml")
		p.until("that it is gone", services("third", "fourth"))
		p.watches(true)
	})
}

// TestClusterTrimsRealObjects has the API server's own defaults in them.
func TestClusterTrimsRealObjects(t *testing.T) {
	api := testenv.StartAPIServer(t)
	p := watchCluster(t, api)
	clusterIP, created := edit(t, api).orders()
	inDefault := func(n string) mesh.Name { return mesh.Name{Namespace: "default", Name: n} }
	p.until("all of it", func(in *mesh.Inputs) bool {
		return len(in.Frontends) == 1 && len(in.Slices[inDefault("orders-1")].Endpoints) == 2 && len(in.Pods[inDefault("orders-a")].IPs) == 1
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	want := mesh.NewInputs()
	want.Frontends[inDefault("orders")] = mesh.Frontend{
		Addresses: []netip.Addr{netip.MustParseAddr(clusterIP)},
		Ports:     []mesh.FrontendPort{{Number: 80, Listen: netip.MustParseAddrPort("[::]:10017")}},
	}
	want.Slices[inDefault("orders-1")] = mesh.SliceInput{
		Service: inDefault("orders"), Ports: []mesh.SlicePort{{Name: "web", Number: 8080}},
		Endpoints: []mesh.SliceEndpoint{
			{Address: netip.MustParseAddr("10.0.0.1"), Ready: true, Serving: true}, {Address: netip.MustParseAddr("10.0.0.2")},
		},
	}
	want.Pods[inDefault("orders-a")] = mesh.PodInput{
		IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, ServiceAccount: "orders", Node: "n1",
		OwnerKind: "Pod", OwnerName: "orders-a", Created: created,
	}
	// What the API server makes by itself is not this test's.
	want.Services, want.Slices[inDefault("kubernetes")] = p.in.Services, p.in.Slices[inDefault("kubernetes")]
	byValue := cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	}
	if diff := cmp.Diff(want, p.in, byValue); diff != "" {
		t.Error(diff)
	}
}

// orders creates a shadow Service, a slice and a pod. It returns the address of
// the first and the time of the last.
func (e editor) orders() (clusterIP string, created time.Time) {
	e.t.Helper()
	ready, port, web := false, int32(8080), "web"
	ctx := e.t.Context()
	shadow, err := e.CoreV1().Services("weft").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "orders-1", Labels: map[string]string{
			mesh.LabelManagedBy: mesh.ManagedBy, mesh.LabelService: "orders", mesh.LabelNamespace: "default",
		}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(10017)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := e.DiscoveryV1().EndpointSlices("default").Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "orders-1", Labels: map[string]string{discoveryv1.LabelServiceName: "orders"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &web, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1"}}, {Addresses: []string{"10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}},
		},
	}, metav1.CreateOptions{}); err != nil {
		e.t.Fatal(err)
	}
	pod, err := e.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "orders-a"},
		Spec:       corev1.PodSpec{ServiceAccountName: "orders", NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}}
	if _, err := e.CoreV1().Pods("default").UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		e.t.Fatal(err)
	}
	return shadow.Spec.ClusterIP, pod.CreationTimestamp.UTC()
}

// TestEventsWithTheControllersRights tells problems as the manifests allow it.
func TestEventsWithTheControllersRights(t *testing.T) {
	api := testenv.StartAPIServer(t)
	kubectl(t, api, "apply", "-f", "../../manifests/namespace.yaml", "-f", "../../manifests/controller-rbac.yaml")
	client, err := kubernetes.NewForConfig(api.ConfigFor("system:serviceaccount:weft:weft-controller", "system:serviceaccounts"))
	if err != nil {
		t.Fatal(err)
	}
	problems := []mesh.Problem{
		{Object: mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "default", Name: "kubernetes", UID: "u"}, Reason: mesh.BadAnnotation, Message: "one"},
		{Object: mesh.Ref{APIVersion: "v1", Kind: "Node", Name: "n1"}, Reason: mesh.Malformed, Message: "two"},
	}
	log := zerolog.New(zerolog.NewTestWriter(t))
	kube.NewEvents(client, log).Tell(t.Context(), problems)
	kube.NewEvents(client, log).Tell(t.Context(), problems[:1])
	for object, count := range map[string]int32{"kubernetes": 2, "n1": 1} {
		list, err := edit(t, api).CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "source=weft,involvedObject.name=" + object})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].Count != count {
			t.Errorf("got %+v, want one Event that counts %d", list.Items, count)
		}
	}
}
