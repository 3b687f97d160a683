package guard

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// policyName is that of every NetworkPolicy of Weft's, one per namespace.
const policyName = "weft-guard"

// The reasons of the problems that a Reconciler finds.
const (
	NotMeshed   = "GuardNotMeshed"   // a guarded namespace is not meshed, so that nobody could call its pods
	NotEnforced = "GuardNotEnforced" // a guarded pod takes connections past the mesh
)

// form is what all policies have in common.
type form struct {
	namespace string            // Weft's own
	selector  map[string]string // of the node proxies in it
	meshed    func(namespace string) bool
}

// change is a policy that should stand, beside what stands under its name (or
// nil), and the Namespace to which trouble with it is told.
type change struct {
	have, want *networkingv1.NetworkPolicy
	about      mesh.Ref
}

// plan is which policies should stand, and which should not.
type plan struct {
	changes  []change
	dead     []*networkingv1.NetworkPolicy
	problems []mesh.Problem
}

// plan is pure. own are all policies that are called as Weft's, by namespace.
func (f form) plan(guards []*mesh.Guard, own map[string]*networkingv1.NetworkPolicy) *plan {
	p := &plan{}
	wanted := map[string]bool{}
	for _, guard := range guards {
		name := guard.Namespace.Name
		if !f.meshed(name) {
			p.problems = append(p.problems, mesh.Problem{Object: guard.Namespace, Reason: NotMeshed, Message: fmt.Sprintf(
				"namespace %s is not meshed and is not guarded: nobody could call its pods", name)})
			continue
		}
		wanted[name] = true
		p.changes = append(p.changes, change{have: own[name], want: f.policy(guard), about: guard.Namespace})
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if !wanted[name] && managed(own[name]) {
			p.dead = append(p.dead, own[name])
		}
	}
	return p
}

// policy is the NetworkPolicy of a guard.
func (f form) policy(g *mesh.Guard) *networkingv1.NetworkPolicy {
	from := []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: labelled(corev1.LabelMetadataName, f.namespace),
		PodSelector:       &metav1.LabelSelector{MatchLabels: f.selector},
	}}
	for _, a := range g.Allow {
		from = append(from, peer(a))
	}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: g.Namespace.Name, Name: policyName, Labels: map[string]string{mesh.LabelManagedBy: mesh.ManagedBy},
		},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: from}},
		},
	}
}

func peer(a mesh.Admission) networkingv1.NetworkPolicyPeer {
	switch {
	case a.Network.IsValid():
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: a.Network.String()}}
	case a.Label != "":
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: labelled(a.Label, a.Value)}
	}
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: labelled(corev1.LabelMetadataName, a.Namespace)}
}

func labelled(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

// managed tells whether a policy carries our label.
func managed(p *networkingv1.NetworkPolicy) bool {
	return p.Labels[mesh.LabelManagedBy] == mesh.ManagedBy
}

// merge is what to write so that have becomes as wanted, nil for nothing. What
// others added to its metadata stays.
func merge(have, want *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	if managed(have) && equality.Semantic.DeepEqual(have.Spec, want.Spec) {
		return nil
	}
	next := have.DeepCopy()
	next.Spec = want.Spec
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	maps.Copy(next.Labels, want.Labels)
	return next
}
