package smi

import (
	"context"
	"slices"
	"sync"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/guard"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// guard follows a namespace's guard from its annotations to its policy, with the
// rights that the manifests give to the controller.
func (s *suite) guard(t *testing.T) {
	s.kubectl(t, "apply", "-f", "../../manifests/namespace.yaml", "-f", "../../manifests/controller-rbac.yaml")
	problems := s.guards(t)
	s.kubectl(t, "create", "namespace", "bank")
	s.kubectl(t, "annotate", "namespace", "bank", "weft.mesh/guard=true")
	told := func(reason string) func() bool {
		return func() bool {
			return slices.ContainsFunc(problems(), func(p mesh.Problem) bool {
				return p.Reason == reason && p.Object.Kind == "Namespace" && p.Object.Name == "bank" && p.Object.UID != ""
			})
		}
	}
	await(t, "the problem that access is not enforced", told(mesh.GuardWithoutAccess))
	s.kubectl(t, "annotate", "namespace", "bank", "weft.mesh/access=enforce", "weft.mesh/guard-allow=monitoring,team=audit,192.0.2.0/24")
	s.policy(t, "the guard", func(p *networkingv1.NetworkPolicy) bool { return p != nil && len(p.Spec.Ingress[0].From) == 4 })
	if len(problems()) > 0 {
		t.Errorf("got %+v, want no problem", problems())
	}
	s.kubectl(t, "-n", "bank", "patch", "networkpolicy", "weft-guard", "--type=merge", "-p", `{"spec":{"ingress":[{}]}}`)
	s.policy(t, "its repair", func(p *networkingv1.NetworkPolicy) bool { return p != nil && len(p.Spec.Ingress[0].From) == 4 })
	s.kubectl(t, "-n", "bank", "delete", "networkpolicy", "weft-guard")
	s.policy(t, "its return", func(p *networkingv1.NetworkPolicy) bool { return p != nil })
	s.kubectl(t, "annotate", "namespace", "bank", "weft.mesh/guard-allow-", "weft.mesh/guard-")
	s.policy(t, "its end", func(p *networkingv1.NetworkPolicy) bool { return p == nil })

	foreign := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "weft-guard"}}
	if _, err := s.typed.NetworkingV1().NetworkPolicies("bank").Create(t.Context(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "annotate", "namespace", "bank", "weft.mesh/guard=true")
	await(t, "the problem that the name is taken", told("NameTaken"))
	s.policy(t, "the policy that is not Weft's", func(p *networkingv1.NetworkPolicy) bool { return p != nil && p.Spec.Ingress == nil })
	if err := guard.RemoveAll(t.Context(), s.typed); err != nil {
		t.Fatal(err)
	}
	s.policy(t, "the policy that is not Weft's", func(p *networkingv1.NetworkPolicy) bool { return p != nil })
}

// policy waits for bank's guard to be as asked; nil is none.
func (s *suite) policy(t *testing.T, what string, ok func(*networkingv1.NetworkPolicy) bool) {
	t.Helper()
	await(t, what, func() bool {
		p, err := s.typed.NetworkingV1().NetworkPolicies("bank").Get(t.Context(), "weft-guard", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			p, err = nil, nil
		}
		return err == nil && ok(p)
	})
}

// guards runs what the controller runs for guards until the test ends, and
// returns the problems that stand.
func (s *suite) guards(t *testing.T) func() []mesh.Problem {
	t.Helper()
	config := s.api.ConfigFor("system:serviceaccount:weft:weft-controller", "system:serviceaccounts", "system:serviceaccounts:weft")
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	log := zerolog.New(zerolog.NewTestWriter(t))
	var mu sync.Mutex // guards said
	said := map[string][]mesh.Problem{}
	put := func(part string, problems []mesh.Problem) {
		mu.Lock()
		defer mu.Unlock()
		said[part] = problems
	}
	r := guard.New(guard.Config{Client: typed, Problems: func(p []mesh.Problem) { put("guard", p) }, Log: log})
	loop := control.New(control.Config{
		Sources: []control.Source{kube.NewCluster(kube.ClusterConfig{Client: typed, Dynamic: untyped, Log: log})},
		Publish: func(s *control.Snapshot) {
			put("mesh", slices.DeleteFunc(slices.Clone(s.Mesh.Problems), func(p mesh.Problem) bool { return p.Object.Kind != "Namespace" }))
			r.Put(s.Mesh)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	for _, run := range []func(context.Context) error{r.Run, loop.Run} {
		go func() { ended <- run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return func() []mesh.Problem {
		mu.Lock()
		defer mu.Unlock()
		return append(slices.Clone(said["mesh"]), said["guard"]...)
	}
}
