package apiserver_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/shadow"
)

// shadows is a reconciler over a real API server, and what a test does with it.
type shadows struct {
	t      *testing.T
	client kubernetes.Interface
	config shadow.Config
	*shadow.Reconciler
	stop func()

	mu       sync.Mutex // guards problems
	problems []mesh.Problem
}

// startShadows runs a reconciler over the API server until the test ends or stop.
func startShadows(t *testing.T, api *testenv.APIServer, config shadow.Config) *shadows {
	t.Helper()
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	s := &shadows{t: t, client: client, config: config}
	s.config.Client = client
	s.config.Problems = func(problems []mesh.Problem) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.problems = problems
	}
	s.namespaces("weft")
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// start runs a new reconciler, as a restart does.
func (s *shadows) start() {
	s.Reconciler = shadow.New(s.config)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r := s.Reconciler
	go func() { ended <- r.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
	s.eventually("a first pass", r.Synced)
}

// eventually waits for a fact.
func (s *shadows) eventually(what string, fact func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline.C:
			s.t.Fatalf("not within 30 s: %s; problems %v", what, s.told())
		}
	}
}

func (s *shadows) told() []mesh.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problems
}

func (s *shadows) namespaces(names ...string) {
	s.t.Helper()
	for _, name := range names {
		_, err := s.client.CoreV1().Namespaces().Create(s.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			s.t.Fatal(err)
		}
	}
}

// service creates a Service with the ports, TCP, unless edited.
func (s *shadows) service(namespace, name string, ports []int32, edit ...func(*corev1.Service)) *corev1.Service {
	s.t.Helper()
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, p := range ports {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", p), Port: p, TargetPort: intstr.FromString("web")})
	}
	for _, e := range edit {
		e(svc)
	}
	out, err := s.client.CoreV1().Services(namespace).Create(s.t.Context(), svc, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// list returns what stands in Weft's namespace, by name.
func (s *shadows) list() (services map[string]corev1.Service, slices map[string]discoveryv1.EndpointSlice) {
	s.t.Helper()
	services, slices = map[string]corev1.Service{}, map[string]discoveryv1.EndpointSlice{}
	list, err := s.client.CoreV1().Services("weft").List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, svc := range list.Items {
		services[svc.Name] = svc
	}
	names, err := s.client.DiscoveryV1().EndpointSlices("weft").List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, slice := range names.Items {
		slices[slice.Name] = slice
	}
	return services, slices
}

// of finds the shadow of a Service, false when there is none.
func (s *shadows) of(namespace, name string) (*corev1.Service, bool) {
	s.t.Helper()
	list, err := s.client.CoreV1().Services("weft").List(s.t.Context(), metav1.ListOptions{
		LabelSelector: mesh.LabelNamespace + "=" + namespace + "," + mesh.LabelService + "=" + name,
	})
	if err != nil || len(list.Items) == 0 {
		return nil, false
	}
	return &list.Items[0], true
}

// named tells whether the names say what the shadow of a Service says: it waits
// for both, and returns the shadow.
func (s *shadows) named(namespace, name string) *corev1.Service {
	s.t.Helper()
	var found *corev1.Service
	s.eventually("a shadow and a name of "+namespace+"/"+name, func() bool {
		svc, ok := s.of(namespace, name)
		if !ok {
			return false
		}
		found = svc
		_, all := s.list()
		var addresses []string
		for _, slice := range all {
			if slice.Labels[discoveryv1.LabelServiceName] == namespace {
				addresses = append(addresses, addressesOf(&slice, name)...)
			}
		}
		slices.Sort(addresses)
		return slices.Equal(addresses, slices.Sorted(slices.Values(svc.Spec.ClusterIPs)))
	})
	return found
}

func addressesOf(slice *discoveryv1.EndpointSlice, host string) (out []string) {
	for _, e := range slice.Endpoints {
		if *e.Hostname == host {
			out = append(out, e.Addresses...)
		}
	}
	return out
}

// portsOf are a Service's ports to target ports.
func portsOf(svc *corev1.Service) map[string]int {
	out := map[string]int{}
	for _, p := range svc.Spec.Ports {
		out[fmt.Sprintf("%d/%s", p.Port, p.Protocol)] = p.TargetPort.IntValue()
	}
	return out
}

// versions are the resource versions of all that stands.
func (s *shadows) versions() map[string]string {
	out := map[string]string{}
	services, slices := s.list()
	for name, svc := range services {
		out["Service "+name] = svc.ResourceVersion
	}
	for name, slice := range slices {
		out["EndpointSlice "+name] = slice.ResourceVersion
	}
	return out
}

// settled waits until the reconciler has written nothing for five looks.
func (s *shadows) settled() {
	s.t.Helper()
	last, calm := s.Stats().Writes, 0
	s.eventually("an end of writing", func() bool {
		if now := s.Stats().Writes; now != last {
			last, calm = now, 0
		}
		calm++
		return calm > 50 // a second: longer than the longest wait before a pass
	})
}

// A restart finds everything as it was and writes nothing; the ports stay, in
// whatever order a Service lists them.
func TestShadowsSurviveARestart(t *testing.T) {
	s := startShadows(t, testenv.StartAPIServer(t), shadow.Config{})
	s.namespaces("shop")
	orders := s.service("shop", "orders", []int32{80, 9000})
	s.service("shop", "headless", []int32{5432}, func(svc *corev1.Service) { svc.Spec.ClusterIP = "None" })
	s.service("shop", "both", []int32{53}, func(svc *corev1.Service) {
		svc.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack)
		svc.Spec.Ports[0].Protocol = corev1.ProtocolUDP
	})
	before := s.named("shop", "orders")
	if before.Spec.TrafficDistribution == nil || *before.Spec.TrafficDistribution != "PreferSameNode" {
		t.Errorf("trafficDistribution %v", before.Spec.TrafficDistribution)
	}
	if both := s.named("shop", "both"); len(both.Spec.ClusterIPs) != 2 {
		t.Errorf("two families became %v", both.Spec.ClusterIPs)
	}
	s.named("shop", "headless")
	s.settled()
	versions := s.versions()
	s.stop()

	s.start()
	s.settled()
	if diff := cmp.Diff(versions, s.versions()); diff != "" || s.Stats().Writes > 0 {
		t.Errorf("the restart wrote %d times: %s", s.Stats().Writes, diff)
	}
	slices.Reverse(orders.Spec.Ports)
	orders.Spec.Ports = append([]corev1.ServicePort{{Name: "new", Port: 70}}, orders.Spec.Ports...)
	if _, err := s.client.CoreV1().Services("shop").Update(t.Context(), orders, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("a third port", func() bool { after, _ := s.of("shop", "orders"); return len(after.Spec.Ports) == 3 })
	after, _ := s.of("shop", "orders")
	was, is := portsOf(before), portsOf(after)
	if is["80/TCP"] != was["80/TCP"] || is["9000/TCP"] != was["9000/TCP"] || after.Spec.ClusterIP != before.Spec.ClusterIP {
		t.Errorf("ports were %v and are %v; address %s and %s", was, is, before.Spec.ClusterIP, after.Spec.ClusterIP)
	}
}

// Services come, go and change; what others own in the namespace stays.
func TestShadowsFollowTheirServices(t *testing.T) {
	s := startShadows(t, testenv.StartAPIServer(t), shadow.Config{IgnoreNamespaces: []string{"secret"}})
	long := "n" + fmt.Sprintf("%062d", 7)
	s.namespaces("shop", "bank", "secret", long)
	foreign := s.service("weft", "bank", []int32{1})
	s.service("weft", "weft-node", []int32{2})
	s.service("secret", "orders", []int32{80})
	s.service("bank", "orders", []int32{80})
	s.service(long, "s"+fmt.Sprintf("%062d", 8), []int32{80})
	s.named(long, "s"+fmt.Sprintf("%062d", 8))
	s.service("shop", "orders", []int32{80})
	s.named("shop", "orders")
	s.eventually("a problem about the name of bank", func() bool {
		return slices.ContainsFunc(s.told(), func(p mesh.Problem) bool {
			return p.Reason == shadow.NameTaken && p.Object.String() == "Namespace bank"
		})
	})
	if err := s.client.CoreV1().Services("shop").Delete(t.Context(), "orders", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("an end of shop", func() bool {
		services, slices := s.list()
		_, name := services["shop"]
		_, shadow := s.of("shop", "orders")
		return !name && !shadow && len(slices) == 1
	})
	services, _ := s.list()
	if got := services["bank"]; got.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("the foreign Service was touched: %v", got)
	}
	if _, meshed := s.of("secret", "orders"); meshed {
		t.Error("an ignored namespace is meshed")
	}
	s.stop()
	if err := shadow.RemoveAll(t.Context(), s.client, "weft"); err != nil {
		t.Error(err)
	}
	services, names := s.list()
	if got := slices.Sorted(maps.Keys(services)); !slices.Equal(got, []string{"bank", "weft-node"}) || len(names) > 0 {
		t.Errorf("after RemoveAll: %v and %d slices; want only what others own", got, len(names))
	}
}

// What somebody edits or deletes is as before soon, with the same mesh ports.
func TestShadowsAreRepaired(t *testing.T) {
	s := startShadows(t, testenv.StartAPIServer(t), shadow.Config{})
	s.namespaces("shop")
	s.service("shop", "orders", []int32{80})
	before := s.named("shop", "orders")
	repaired := func() bool {
		svc, ok := s.of("shop", "orders")
		return ok && cmp.Diff(portsOf(before), portsOf(svc)) == "" && cmp.Diff(before.Spec.Selector, svc.Spec.Selector) == ""
	}
	edited := before.DeepCopy()
	edited.Spec.Selector = map[string]string{"app": "mine"}
	edited.Spec.Ports[0].TargetPort = intstr.FromInt32(80)
	edited.Spec.Type = corev1.ServiceTypeNodePort
	if _, err := s.client.CoreV1().Services("weft").Update(t.Context(), edited, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("a repair of the edited shadow", repaired)
	if err := s.client.CoreV1().Services("weft").Delete(t.Context(), before.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("a repair of the deleted shadow", repaired)
	s.named("shop", "orders")
	if err := s.client.DiscoveryV1().EndpointSlices("weft").Delete(t.Context(), "shop-v4-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.named("shop", "orders")
	if err := s.client.CoreV1().Services("weft").Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually("a repair of the names", func() bool { services, _ := s.list(); _, ok := services["shop"]; return ok })
	s.settled()
}

// CoreDNS makes mesh names of what is written.
func TestShadowsResolve(t *testing.T) {
	api := testenv.StartAPIServer(t)
	s := startShadows(t, api, shadow.Config{})
	s.namespaces("shop")
	s.service("shop", "orders", []int32{80}, func(svc *corev1.Service) { svc.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyPreferDualStack) })
	want := s.named("shop", "orders")
	address := testenv.StartCoreDNS(t, `.:53 {
    rewrite name suffix .mesh .weft.svc.cluster.local answer auto
    kubernetes cluster.local {
       kubeconfig `+api.Kubeconfig("admin", "system:masters")+`
    }
}
`)
	ask := func(name string, kind uint16) string {
		answer, err := dns.Exchange(new(dns.Msg).SetQuestion(name, kind), address)
		if err != nil {
			return err.Error()
		}
		if len(answer.Answer) == 0 {
			return dns.RcodeToString[answer.Rcode]
		}
		if name != answer.Answer[0].Header().Name {
			t.Errorf("%s is answered as %s", name, answer.Answer[0].Header().Name)
		}
		return dns.Field(answer.Answer[0], 1)
	}
	s.eventually("an answer", func() bool { return ask("orders.shop.mesh.", dns.TypeA) == want.Spec.ClusterIPs[0] })
	if got := ask("orders.shop.mesh.", dns.TypeAAAA); got != want.Spec.ClusterIPs[1] {
		t.Errorf("AAAA: %s, want %s", got, want.Spec.ClusterIPs[1])
	}
	if got := ask("nothing.shop.mesh.", dns.TypeA); got != "NXDOMAIN" {
		t.Errorf("an unknown name: %s", got)
	}
}

// What the API server refuses is told and stops no other; when it comes back
// after a stop, everything goes on. 200 Services take seconds.
func TestShadowsManyAndAnAPIServerThatStops(t *testing.T) {
	api := testenv.StartAPIServer(t)
	s := startShadows(t, api, shadow.Config{Ports: shadow.PortRange{First: 10000, Last: 10201}})
	s.namespaces("1shop", "shop")
	s.service("1shop", "orders", []int32{80}) // a name that a Service may not have
	for i := range 200 {
		s.service("shop", fmt.Sprintf("s%03d", i), []int32{80})
	}
	start := time.Now()
	s.named("shop", "s199")
	t.Logf("the last of 200 stood %v after it was created; %d writes in all", time.Since(start).Round(time.Millisecond), s.Stats().Writes)
	s.eventually("the problem of 1shop", func() bool {
		return slices.ContainsFunc(s.told(), func(p mesh.Problem) bool { return p.Reason == shadow.NotWritten && p.Object.Name == "1shop" })
	})
	api.Stop()
	api.Start()
	s.service("shop", "after", []int32{80})
	s.service("shop", "toomuch", []int32{80})
	s.named("shop", "after")
	s.eventually("the problem of the one without a port", func() bool {
		return slices.ContainsFunc(s.told(), func(p mesh.Problem) bool { return p.Reason == shadow.PortsExhausted && p.Object.Name == "toomuch" })
	})
	if got := s.Stats(); got.PortsFree != 0 || got.PortsUsed != 202 || got.Shadows != 202 {
		t.Errorf("%+v", got)
	}
	if err := s.client.CoreV1().Services("shop").Delete(t.Context(), "after", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.named("shop", "toomuch")
}
