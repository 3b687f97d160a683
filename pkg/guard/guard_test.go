package guard

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
	"go.uber.org/goleak"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func guardOf(namespace string, allow ...mesh.Admission) *mesh.Guard {
	return &mesh.Guard{Namespace: mesh.Ref{APIVersion: "v1", Kind: "Namespace", Name: namespace, UID: "u-" + namespace}, Allow: allow}
}

var testForm = form{namespace: "weft", selector: map[string]string{"app": "node"}, meshed: func(n string) bool { return n != "weft" }}

func TestThePolicyOfAGuard(t *testing.T) {
	got := testForm.policy(guardOf("bank", mesh.Admission{Namespace: "monitoring"},
		mesh.Admission{Label: "team", Value: "audit"}, mesh.Admission{Network: netip.MustParsePrefix("192.0.2.0/24")}))
	var want networkingv1.NetworkPolicy
	if err := yaml.UnmarshalStrict([]byte(`
metadata:
  name: weft-guard
  namespace: bank
  labels: {app.kubernetes.io/managed-by: weft}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: weft}}
      podSelector: {matchLabels: {app: node}}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
    - namespaceSelector: {matchLabels: {team: audit}}
    - ipBlock: {cidr: 192.0.2.0/24}
`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsPlanned(t *testing.T) {
	ours := func(namespace string) *networkingv1.NetworkPolicy { return testForm.policy(guardOf(namespace)) }
	foreign := ours("theirs")
	foreign.Labels = nil
	p := testForm.plan([]*mesh.Guard{guardOf("bank"), guardOf("weft")}, map[string]*networkingv1.NetworkPolicy{
		"bank": ours("bank"), "gone": ours("gone"), "theirs": foreign,
	})
	if len(p.changes) != 1 || merge(p.changes[0].have, p.changes[0].want) != nil {
		t.Errorf("got %+v, want bank's, as it stands", p.changes)
	}
	if len(p.dead) != 1 || p.dead[0].Namespace != "gone" {
		t.Errorf("got %+v, want only Weft's own that is not wanted", p.dead)
	}
	if len(p.problems) != 1 || p.problems[0].Reason != NotMeshed || p.problems[0].Object.Name != "weft" {
		t.Errorf("got %+v", p.problems)
	}
}

// TestAGuardComesAndGoes follows one through what happens to it.
func TestAGuardComesAndGoes(t *testing.T) {
	client := fake.NewClientset()
	told := make(chan []mesh.Problem, 100)
	r := New(Config{Client: client, Problems: func(p []mesh.Problem) { told <- p }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	policies := client.NetworkingV1().NetworkPolicies("bank")
	// until waits, from pass to pass, for the policy to be as asked.
	until := func(what string, ok func(*networkingv1.NetworkPolicy) bool) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			policy, err := policies.Get(ctx, policyName, metav1.GetOptions{})
			if err != nil {
				policy = nil
			}
			if ok(policy) {
				return
			}
			select {
			case <-told:
			case <-deadline:
				t.Fatalf("not within 20 s: %s; the policy is %+v", what, policy)
			}
		}
	}
	r.Put(&mesh.Mesh{Guards: []*mesh.Guard{guardOf("bank")}})
	until("the policy", func(p *networkingv1.NetworkPolicy) bool { return p != nil })
	edited, err := policies.Get(ctx, policyName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edited.Spec.Ingress = nil
	edited.Labels["team"] = "bank"
	if _, err := policies.Update(ctx, edited, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("its repair", func(p *networkingv1.NetworkPolicy) bool {
		return p != nil && len(p.Spec.Ingress) == 1 && p.Labels["team"] == "bank"
	})
	r.Put(&mesh.Mesh{Guards: []*mesh.Guard{guardOf("bank", mesh.Admission{Namespace: "x"})}})
	until("one more who is admitted", func(p *networkingv1.NetworkPolicy) bool {
		return p != nil && len(p.Spec.Ingress[0].From) == 2
	})
	r.Put(&mesh.Mesh{})
	until("its end", func(p *networkingv1.NetworkPolicy) bool { return p == nil })
}

// A policy of the same name that is not Weft's is told and left alone.
func TestAForeignPolicyIsLeftAlone(t *testing.T) {
	foreign := testForm.policy(guardOf("bank"))
	foreign.Labels, foreign.Spec.Ingress = nil, nil
	client := fake.NewClientset(foreign)
	told := make(chan []mesh.Problem, 100)
	r := New(Config{Client: client, Problems: func(p []mesh.Problem) { told <- p }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	r.Put(&mesh.Mesh{Guards: []*mesh.Guard{guardOf("bank")}})
	deadline := time.After(20 * time.Second)
	for heard := false; !heard; {
		select {
		case problems := <-told:
			heard = slices.ContainsFunc(problems, func(p mesh.Problem) bool { return p.Reason == "NameTaken" && p.Object.Name == "bank" })
		case <-deadline:
			t.Fatal("it was not told within 20 s")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, action := range client.Actions() {
		if verb := action.GetVerb(); verb != "list" && verb != "watch" {
			t.Errorf("it was touched: %v", action)
		}
	}
	if err := RemoveAll(t.Context(), fake.NewClientset(testForm.policy(guardOf("a")), testForm.policy(guardOf("b")))); err != nil {
		t.Error(err)
	}
}

// A pod that takes a connection past the mesh is a problem of its namespace.
func TestAGuardThatDoesNotHoldIsTold(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	open := listener.Addr().(*net.TCPAddr).AddrPort()
	shut := netip.AddrPortFrom(open.Addr(), 1) // nobody listens there
	service := func(namespace string, at netip.AddrPort) *mesh.Service {
		pod := &mesh.Workload{Name: mesh.Name{Namespace: namespace, Name: "pod"}}
		return &mesh.Service{Name: mesh.Name{Namespace: namespace, Name: "s"}, Ports: []*mesh.Port{
			{Transport: mesh.UDP, Endpoints: []mesh.Endpoint{{Address: at, Workload: pod}}},
			{Transport: mesh.TCP, Endpoints: []mesh.Endpoint{{Address: at}, {Address: at, Workload: pod}}},
		}}
	}
	m := &mesh.Mesh{}
	for _, test := range []struct {
		namespace string
		at        netip.AddrPort
		allow     []mesh.Admission
	}{
		{"open", open, nil},
		{"shut", shut, nil},
		{"admitting", open, []mesh.Admission{{Network: netip.MustParsePrefix("127.0.0.0/8")}}},
		{"elsewhere", open, []mesh.Admission{{Network: netip.MustParsePrefix("192.0.2.0/24")}, {Namespace: "shop"}}},
		{"labelled", open, []mesh.Admission{{Label: "a", Value: "b"}}},
		{"own", open, []mesh.Admission{{Namespace: "weft"}}},
		{"unwritten", open, nil},
	} {
		m.Guards = append(m.Guards, guardOf(test.namespace, test.allow...))
		m.Services = append(m.Services, service(test.namespace, test.at))
	}
	m.Guards = append(m.Guards, guardOf("empty"))
	r := New(Config{Client: fake.NewClientset()})
	stop, err := r.watch(t.Context())
	defer stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range m.Guards {
		if g.Namespace.Name != "unwritten" {
			if err := r.policies.GetStore().Add(testForm.policy(g)); err != nil {
				t.Fatal(err)
			}
		}
	}
	found := r.try(t.Context(), m)
	if len(found) != 2 || found["open"].Reason != NotEnforced || found["open"].Object.UID != "u-open" || found["elsewhere"].Reason != NotEnforced {
		t.Errorf("got %+v, want open and elsewhere", found)
	}
	if got := r.try(t.Context(), nil); len(got) > 0 {
		t.Errorf("got %+v without a Mesh", got)
	}
}
