package smi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/node"
	"github.com/weft-mesh/weft/pkg/smi"
)

// pods are the addresses of pods on this machine: the API server takes no
// loopback address in an EndpointSlice, so that pod 10.77.x.y of the objects is
// 127.77.x.y here.
type pods struct{ *kube.Cluster }

// Run tells the Cluster's changes with the addresses of this machine.
func (p pods) Run(ctx context.Context, emit func(mesh.Change)) error {
	return p.Cluster.Run(ctx, func(c mesh.Change) {
		if apply := c.Apply; apply != nil {
			c.Apply = func(in *mesh.Inputs) { apply(in); here(in) }
		}
		emit(c)
	})
}

func here(in *mesh.Inputs) {
	for name, slice := range in.Slices {
		endpoints := make([]mesh.SliceEndpoint, len(slice.Endpoints))
		for i, e := range slice.Endpoints {
			if e.Address.Is4() && e.Address.As4()[0] == 10 {
				a := e.Address.As4()
				a[0] = 127
				e.Address = netip.AddrFrom4(a)
			}
			endpoints[i] = e
		}
		slice.Endpoints = endpoints
		in.Slices[name] = slice
	}
}

// app is a Service under a canary tool: its pods, and where it is called.
type app struct {
	*suite
	t    *testing.T
	name string
	port int // the mesh port
	pods map[string]netip.AddrPort
}

// canaryTools replays what Flagger and Argo Rollouts write, object by object, on
// a node proxy that serves real requests.
func (s *suite) canaryTools(t *testing.T) {
	s.kubectl(t, "create", "namespace", "weft")
	s.startNode(t)
	for i, flagger := range []struct{ provider, version string }{
		{"linkerd", "v1alpha1"}, {"smi-v1alpha1", "v1alpha1"}, {"osm", "v1alpha2"}, {"smi-v1alpha2", "v1alpha2"}, {"smi-v1alpha3", "v1alpha3"},
	} {
		t.Run("Flagger "+flagger.provider, func(t *testing.T) { s.flagger(t, "flagger-"+flagger.provider, flagger.version, i) })
	}
	for i, version := range []string{"v1alpha1", "v1alpha2", "v1alpha3"} {
		t.Run("Argo Rollouts "+version, func(t *testing.T) { s.argo(t, "argo-"+version, version, 10+i) })
	}
}

func (s *suite) startNode(t *testing.T) {
	t.Helper()
	n, err := node.New(node.Config{
		Source: pods{kube.NewCluster(kube.ClusterConfig{Client: s.typed, Dynamic: s.dynamic, Log: zerolog.Nop()})},
		Log:    zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// app starts a pod for each name; they answer with it.
func (s *suite) app(t *testing.T, name string, number int, names ...string) *app {
	t.Helper()
	a := &app{suite: s, t: t, name: name, pods: map[string]netip.AddrPort{}}
	for i, pod := range names {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.77.%d.%d:0", number, i+1))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, pod) })}
		go func() { _ = server.Serve(listener) }() // it ends with Close
		t.Cleanup(func() { server.Close() })
		a.pods[pod] = netip.MustParseAddrPort(listener.Addr().String())
	}
	return a
}

// service makes a Service of the app.
func (a *app) service(name string) {
	a.t.Helper()
	spec := corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt(9898)}}}
	if _, err := a.typed.CoreV1().Services("default").Create(a.t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{}); err != nil {
		a.t.Fatal(err)
	}
}

// called gives a Service a mesh port.
func (a *app) called(name string) {
	a.t.Helper()
	free, err := freeport.Address()
	if err != nil {
		a.t.Fatal(err)
	}
	a.port = int(free.Port())
	spec := corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt(a.port)}}}
	if _, err := a.typed.CoreV1().Services("weft").Create(a.t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-shadow", Labels: map[string]string{
			mesh.LabelManagedBy: mesh.ManagedBy, mesh.LabelService: name, mesh.LabelNamespace: "default",
		}}, Spec: spec,
	}, metav1.CreateOptions{}); err != nil {
		a.t.Fatal(err)
	}
}

// serves makes the pods, and no others, the endpoints of a Service.
func (a *app) serves(service string, names ...string) {
	a.t.Helper()
	client := a.typed.DiscoveryV1().EndpointSlices("default")
	for pod, at := range a.pods {
		slice := endpoints(service, service+"-"+pod, at)
		if slices.Contains(names, pod) {
			if _, err := client.Create(a.t.Context(), slice, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
				a.t.Fatal(err)
			}
			continue
		}
		if err := client.Delete(a.t.Context(), slice.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			a.t.Fatal(err)
		}
	}
}

// endpoints is a slice of a Service with one pod.
func endpoints(service, name string, at netip.AddrPort) *discoveryv1.EndpointSlice {
	ip, port, web := at.Addr().As4(), int32(at.Port()), "http"
	ip[0] = 10
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &web, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{netip.AddrFrom4(ip).String()}}},
	}
}

// calls calls the mesh port and counts who answered, or what was refused.
func (a *app) calls(n int) map[string]int {
	got := map[string]int{}
	for range n {
		response, err := http.Get("http://127.0.0.1:" + strconv.Itoa(a.port))
		if err != nil {
			got["error"]++
			continue
		}
		body := make([]byte, 64)
		read, _ := response.Body.Read(body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			got[strconv.Itoa(response.StatusCode)]++
			continue
		}
		got[string(body[:read])]++
	}
	return got
}

// expect waits until 20 calls in a row are answered exactly so.
func (a *app) expect(what string, want map[string]int) {
	a.t.Helper()
	var got map[string]int
	await(a.t, what, func() bool {
		got = a.calls(20)
		if got["error"]+got["503"] > 0 && what != "the first answer" {
			a.t.Fatalf("%s: got %v: a call failed", what, got)
		}
		return maps.Equal(got, want)
	})
}

// split reads the app's split back as the tool's client does.
func (a *app) split(version string) (spec map[string]any, write func(spec string)) {
	a.t.Helper()
	client := a.client(a.t, smi.TrafficSplit, version)
	found, err := client.Get(a.t.Context(), a.name, metav1.GetOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	return found.Object["spec"].(map[string]any), func(spec string) {
		a.t.Helper()
		if err := json.Unmarshal([]byte(spec), new(any)); err != nil {
			a.t.Fatal(err)
		}
		var value map[string]any
		_ = json.Unmarshal([]byte(spec), &value) // it was read just now
		found.Object["spec"] = value
		if _, err := client.Update(a.t.Context(), found, metav1.UpdateOptions{}); err != nil {
			a.t.Fatal(err)
		}
		a.same(version, spec)
	}
}

// same compares the stored spec with what was written, byte for byte but for
// the order of keys.
func (a *app) same(version, spec string) {
	a.t.Helper()
	got, _ := a.split(version)
	var want map[string]any
	if err := json.Unmarshal([]byte(spec), &want); err != nil {
		a.t.Fatal(err)
	}
	have, err := json.Marshal(got)
	if err != nil {
		a.t.Fatal(err)
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		a.t.Fatal(err)
	}
	if diff := cmp.Diff(string(wanted), string(have)); diff != "" {
		a.t.Errorf("it does not read back as written: %s", diff)
	}
}

// weight is a weight as clients of the version write it.
func weight(version string, n int) string {
	if version == "v1alpha1" {
		return strconv.Quote(strconv.Itoa(n))
	}
	return strconv.Itoa(n)
}

// flagger is a whole canary analysis: initialised, moved up step by step, failed
// and rolled back, then promoted; at the end blue/green.
func (s *suite) flagger(t *testing.T, name, version string, number int) {
	a := s.app(t, name, number, "canary", "primary")
	canary, primary := name+"-canary", name+"-primary"
	spec := func(canaryWeight int) string {
		return fmt.Sprintf(`{"service":%q,"backends":[{"service":%q,"weight":%s},{"service":%q,"weight":%s}]}`,
			name, canary, weight(version, canaryWeight), primary, weight(version, 100-canaryWeight))
	}
	for _, service := range []string{canary, primary, name} {
		a.service(service)
	}
	a.called(name)
	a.serves(primary, "primary")
	a.serves(name, "primary") // the root's selector is pointed at the primary pods
	await(t, "the first answer", func() bool { return a.calls(1)["primary"] == 1 })
	written := written{name: name, kind: smi.TrafficSplit, version: version, fields: `{"spec":` + spec(0) + `}`}
	if _, err := a.client(t, smi.TrafficSplit, version).Create(t.Context(), written.object(t), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	a.same(version, spec(0))
	a.expect("the primary, while the canary has no pod", map[string]int{"primary": 20})
	a.serves(canary, "canary") // a new revision
	step := func(canaryWeight int, want map[string]int) {
		t.Helper()
		_, write := a.split(version)
		write(spec(canaryWeight))
		a.expect(fmt.Sprintf("weight %d", canaryWeight), want)
	}
	step(10, map[string]int{"canary": 2, "primary": 18})
	step(50, map[string]int{"canary": 10, "primary": 10})
	_, write := a.split(version)
	write(spec(0)) // the analysis fails: back, and the canary is scaled to zero at once
	a.serves(canary)
	a.expect("the rollback", map[string]int{"primary": 20})
	a.serves(canary, "canary")
	step(60, map[string]int{"canary": 12, "primary": 8})
	step(0, map[string]int{"primary": 20}) // promoted
	step(100, map[string]int{"canary": 20})
	step(0, map[string]int{"primary": 20})
	a.serves(canary)
	a.expect("the end", map[string]int{"primary": 20})
}

// argo is a rollout whose root is its stable Service, the default: created with
// the canary at 0, moved by merge patches, with an experiment beside, and done.
func (s *suite) argo(t *testing.T, name, version string, number int) {
	a := s.app(t, name, number, "stable", "canary", "experiment")
	backend := func(service string, n int) string {
		return fmt.Sprintf(`{"service":%q,"weight":%s}`, service, weight(version, n))
	}
	stable, canary, experiment := name, name+"-canary", name+"-experiment"
	spec := func(backends string) string { return fmt.Sprintf(`{"service":%q,"backends":[%s]}`, stable, backends) }
	for _, service := range []string{stable, canary, experiment} {
		a.service(service)
	}
	a.called(stable)
	a.serves(stable, "stable")
	a.serves(canary, "canary")
	a.serves(experiment, "experiment")
	await(t, "the first answer", func() bool { return a.calls(1)["stable"] == 1 })
	first := spec(backend(canary, 0) + "," + backend(stable, 100))
	written := written{name: name, kind: smi.TrafficSplit, version: version, fields: `{"spec":` + first + `}`}
	client := a.client(t, smi.TrafficSplit, version)
	if _, err := client.Create(t.Context(), written.object(t), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patch := func(spec string, want map[string]int) {
		t.Helper()
		if _, err := client.Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":`+spec+`}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		a.same(version, spec)
		a.expect(spec, want)
	}
	a.expect("the stable version", map[string]int{"stable": 20})
	patch(spec(backend(canary, 5)+","+backend(stable, 95)), map[string]int{"canary": 1, "stable": 19})
	patch(spec(backend(canary, 20)+","+backend(experiment, 10)+","+backend(stable, 70)), map[string]int{"canary": 4, "experiment": 2, "stable": 14})
	patch(spec(backend(canary, 100)+","+backend(stable, 0)), map[string]int{"canary": 20})
	a.serves(stable, "canary") // the stable Service is pointed at the new ReplicaSet
	patch(first, map[string]int{"canary": 20})
}
