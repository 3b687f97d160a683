package shadow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reconcile"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// service is a Service of namespace shop with the port 80/TCP, unless edited.
func service(name string, edit ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "1"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.0.0.9", ClusterIPs: []string{"10.0.0.9"},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: new(corev1.IPFamilyPolicySingleStack),
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
	for _, e := range edit {
		e(svc)
	}
	return svc
}

var testForm = form{namespace: "weft", selector: map[string]string{"app": "node"}, distribution: new("PreferSameNode")}

// served is want as a server would keep it, with an address.
func served(want *corev1.Service, ip string) *corev1.Service {
	out := want.DeepCopy()
	out.Spec.ClusterIP, out.Spec.ClusterIPs = ip, []string{ip}
	return out
}

// steady is the world after everything that was planned for the sources has
// been written, and the allocation.
func steady(ports PortRange, sources ...*corev1.Service) (*world, allocation) {
	w := &world{sources: sources, own: map[string]*corev1.Service{}}
	plan := planShadows(testForm, ports, w, allocation{})
	for i, c := range plan.shadows {
		w.own[c.want.Name] = served(c.want, fmt.Sprintf("10.0.1.%d", i+1))
	}
	return w, plan.ports
}

var testPorts = PortRange{}.orDefault()

func TestWhoIsMeshed(t *testing.T) {
	open := scope{own: "weft", ignore: []string{"secret"}}
	watching := scope{own: "weft", watch: []string{"shop", "kube-system", "secret", "weft"}, ignore: []string{"secret"}}
	in := func(namespace string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Namespace = namespace }
	}
	for _, test := range []struct {
		name  string
		scope scope
		svc   *corev1.Service
		want  bool
	}{
		{"a Service", open, service("orders"), true},
		{"headless", open, service("orders", func(s *corev1.Service) { s.Spec.ClusterIP = "None" }), true},
		{"ExternalName", open, service("orders", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }), false},
		{"no port", open, service("orders", func(s *corev1.Service) { s.Spec.Ports = nil }), false},
		{"SCTP only", open, service("orders", func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolSCTP }), false},
		{"kube-system", open, service("dns", in("kube-system")), false},
		{"our own", open, service("weft-node", in("weft")), false},
		{"ignored", open, service("orders", in("secret")), false},
		{"the API server", open, service("kubernetes", in("default")), false},
		{"another one called kubernetes", open, service("kubernetes"), true},
		{"watched", watching, service("orders"), true},
		{"not watched", watching, service("orders", in("other")), false},
		{"kube-system, watched by name", watching, service("dns", in("kube-system")), true},
		{"watched and ignored", watching, service("orders", in("secret")), false},
		{"our own, watched by name", watching, service("weft-node", in("weft")), false},
	} {
		if got := test.scope.service(test.svc); got != test.want {
			t.Errorf("%s: meshed %v, want %v", test.name, got, test.want)
		}
	}
}

func TestAShadowIsItsSourceWithMeshPorts(t *testing.T) {
	source := service("orders", func(s *corev1.Service) {
		s.Spec.ClusterIP = "None"
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
		s.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack)
		s.Spec.Ports = []corev1.ServicePort{
			{Name: "grpc", Port: 9000, TargetPort: intstr.FromString("grpc"), Protocol: corev1.ProtocolTCP, AppProtocol: new("kubernetes.io/h2c"), NodePort: 30000},
			{Name: "sig", Port: 9000, Protocol: corev1.ProtocolSCTP},
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		}
	})
	plan := planShadows(testForm, testPorts, &world{sources: []*corev1.Service{source}}, allocation{})
	want := corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "weft", Name: shadowName(mesh.Name{Namespace: "shop", Name: "orders"}),
			Labels: map[string]string{"app.kubernetes.io/managed-by": "weft", "weft.mesh/namespace": "shop", "weft.mesh/service": "orders"},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Selector: map[string]string{"app": "node"},
			IPFamilies: []corev1.IPFamily{corev1.IPv6Protocol}, IPFamilyPolicy: new(corev1.IPFamilyPolicyPreferDualStack),
			Ports: []corev1.ServicePort{
				{Name: "grpc", Port: 9000, TargetPort: intstr.FromInt32(10000), Protocol: corev1.ProtocolTCP, AppProtocol: new("kubernetes.io/h2c")},
				{Name: "dns", Port: 53, TargetPort: intstr.FromInt32(10001), Protocol: corev1.ProtocolUDP},
			},
			TrafficDistribution: new("PreferSameNode"), SessionAffinity: corev1.ServiceAffinityNone,
			InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster),
		},
	}
	if diff := cmp.Diff(want, *plan.shadows[0].want); diff != "" {
		t.Error(diff)
	}
}

func TestShadowNamesFitAndDiffer(t *testing.T) {
	long := strings.Repeat("a", 52) + "-" + strings.Repeat("b", 10)
	seen := map[string]mesh.Name{}
	for _, n := range []mesh.Name{
		{Namespace: "a", Name: "bc"}, {Namespace: "ab", Name: "c"}, {Namespace: "a-b", Name: "c"}, {Namespace: "a", Name: "b-c"},
		{Namespace: strings.Repeat("n", 63), Name: long}, {Namespace: strings.Repeat("n", 62), Name: long},
	} {
		name := shadowName(n)
		if len(name) > 63 || strings.Contains(name, "--") {
			t.Errorf("%v: %q", n, name)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("%v and %v are both %q", n, other, name)
		}
		seen[name] = n
	}
}

func TestNothingDiffersOnceItIsWritten(t *testing.T) {
	w, ports := steady(testPorts, service("orders"), service("carts"))
	plan := planShadows(testForm, testPorts, w, ports)
	for _, c := range plan.shadows {
		if c.differs() {
			t.Errorf("%s is written again", c.want.Name)
		}
	}
	if len(plan.orphans)+len(plan.problems) > 0 {
		t.Errorf("orphans %v, problems %v", plan.orphans, plan.problems)
	}
}

func TestHandEditsDifferAndForeignMetadataDoesNot(t *testing.T) {
	w, _ := steady(testPorts, service("orders"))
	want := w.own[shadowName(mesh.Name{Namespace: "shop", Name: "orders"})]
	for name, edit := range map[string]func(*corev1.Service){
		"selector":    func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "mine"} },
		"target port": func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromInt32(80) },
		"one more":    func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: 81}) },
		"type":        func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
		"affinity":    func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP },
		"external IP": func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"192.0.2.1"} },
		"label":       func(s *corev1.Service) { s.Labels[mesh.LabelService] = "other" },
	} {
		have := want.DeepCopy()
		edit(have)
		if next := merge(have, want); next == nil || merge(next, want) != nil {
			t.Errorf("%s: the edit is not repaired, or not by one write", name)
		}
	}
	have := want.DeepCopy()
	have.Labels["team"], have.Annotations = "payments", map[string]string{"note": "x"}
	if next := merge(have, want); next != nil {
		t.Errorf("foreign metadata is written: %v", next)
	}
}

func TestARestartReadsThePortsBack(t *testing.T) {
	first, second := service("orders"), service("carts")
	second.Spec.Ports = append(second.Spec.Ports, corev1.ServicePort{Name: "admin", Port: 81, Protocol: corev1.ProtocolTCP})
	w, before := steady(testPorts, first, second)
	slices.Reverse(second.Spec.Ports)
	w.sources = []*corev1.Service{service("added"), second, first}
	var list []corev1.Service
	for _, svc := range w.own {
		list = append(list, *svc)
	}
	after := planShadows(testForm, testPorts, w, recorded(list)).ports
	for key, port := range before.held {
		if after.held[key] != port {
			t.Errorf("%v moved from %d to %d", key, port, after.held[key])
		}
	}
	if got := after.held[key("added")]; got != 10003 {
		t.Errorf("the added Service has %d, want 10003", got)
	}
}

func TestExhaustionIsTheYoungestsProblem(t *testing.T) {
	sources := []*corev1.Service{service("a"), service("b"), service("c")}
	for i, s := range sources {
		s.CreationTimestamp = metav1.NewTime(time.Unix(int64(100-i), 0))
	}
	slices.SortFunc(sources, byAge)
	plan := planShadows(testForm, PortRange{First: 10000, Last: 10001}, &world{sources: sources}, allocation{})
	if len(plan.problems) != 1 || plan.problems[0].Object.Name != "a" || plan.problems[0].Reason != PortsExhausted || plan.problems[0].Object.UID == "" {
		t.Errorf("problems %v, want one on shop/a, the youngest", plan.problems)
	}
	if len(plan.shadows) != 2 {
		t.Errorf("%d shadows, want 2", len(plan.shadows))
	}
}

func TestForeignServicesAreNeverPlanned(t *testing.T) {
	source := service("orders")
	w := &world{sources: []*corev1.Service{source}, own: map[string]*corev1.Service{
		shadowName(nameOf(source)): service("mine"),
		"shop":                     service("shop"),
		"weft-node":                service("weft-node", func(s *corev1.Service) { s.Labels = map[string]string{mesh.LabelManagedBy: "weft"} }),
	}}
	shadows := planShadows(testForm, testPorts, w, allocation{})
	if len(shadows.shadows)+len(shadows.orphans) > 0 || len(shadows.problems) != 1 || shadows.problems[0].Reason != reconcile.NameTaken {
		t.Errorf("%+v", shadows)
	}
	names := planNames(testForm, w, addresses{"shop": {"orders": {"10.0.0.1"}}, "bank": {"orders": {"10.0.0.2"}}})
	if len(names.dead) > 0 || len(names.problems) != 1 || names.problems[0].Object.String() != "Namespace shop" {
		t.Errorf("dead %v, problems %v", names.dead, names.problems)
	}
	if len(names.services) != 1 || names.services[0].want.Name != "bank" || len(names.slices) != 1 {
		t.Errorf("the other namespace is not served: %+v", names)
	}
}

func TestOrphans(t *testing.T) {
	w, ports := steady(testPorts, service("orders"), service("carts"))
	w.sources = w.sources[:1]
	plan := planShadows(testForm, testPorts, w, ports)
	if len(plan.orphans) != 1 || plan.orphans[0].Labels[mesh.LabelService] != "carts" {
		t.Errorf("orphans %v, want the shadow of carts", plan.orphans)
	}
	w.own["shop"] = testForm.names("shop")
	w.slices = []*discoveryv1.EndpointSlice{(&spread{own: "weft", namespace: "shop", family: "IPv4"}).slice("shop-v4-0")}
	names := planNames(testForm, w, addresses{})
	if len(names.dead) != 1 || len(names.deadSlices) != 1 {
		t.Errorf("dead %v, slices %v, want the names of shop", names.dead, names.deadSlices)
	}
}

// BenchmarkPass is what a change costs where nothing needs to be written: 5,000
// Services in 100 namespaces.
func BenchmarkPass(b *testing.B) {
	var sources []*corev1.Service
	for i := range 5000 {
		sources = append(sources, service(fmt.Sprintf("s%04d", i), func(s *corev1.Service) { s.Namespace = fmt.Sprintf("n%02d", i%100) }))
	}
	w, ports := steady(testPorts, sources...)
	a := addresses{}
	for _, svc := range w.own {
		source, _ := sourceOf(svc)
		a.add(source, svc)
	}
	for b.Loop() {
		plan := planShadows(testForm, testPorts, w, ports)
		for i := range plan.shadows {
			if plan.shadows[i].differs() {
				b.Fatal("something differs")
			}
		}
		planNames(testForm, w, a)
	}
}
