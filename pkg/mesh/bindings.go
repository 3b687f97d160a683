package mesh

import (
	"maps"
	"slices"
)

// TrustDomain is that of the identities: spiffe://<trust domain>/ns/<namespace>/sa/<name>.
const TrustDomain = "cluster.local"

// SPIFFE is the identity of a ServiceAccount as a URI.
func SPIFFE(namespace, account string) string {
	return "spiffe://" + TrustDomain + "/ns/" + namespace + "/sa/" + account
}

// indexBindings groups the IdentityBindings by namespace, each by name: a
// binding means workloads of its own namespace only.
func (b *builder) indexBindings() {
	b.bindings = map[string][]*BindingInput{}
	for _, name := range sortedNames(b.in.Bindings) {
		binding := b.in.Bindings[name]
		b.problems = append(b.problems, binding.Problems...)
		b.bindings[name.Namespace] = append(b.bindings[name.Namespace], &binding)
	}
}

// bound returns the IdentityBindings that a pod is in.
func (b *builder) bound(pod Name, input *PodInput) (out []Principal) {
	for _, binding := range b.bindings[pod.Namespace] {
		if binding.means(pod, input) {
			out = append(out, Principal{Name: Name{Namespace: pod.Namespace, Name: binding.Ref.Name}, Binding: true})
		}
	}
	return out
}

// means tells whether a pod of the binding's namespace is any of what it says.
func (i *BindingInput) means(pod Name, input *PodInput) bool {
	if i.ServiceAccount != "" && i.ServiceAccount == input.ServiceAccount {
		return true
	}
	if slices.Contains(i.SPIFFE, SPIFFE(pod.Namespace, input.ServiceAccount)) {
		return true
	}
	if len(i.PodLabels) == 0 {
		return false
	}
	for label := range maps.Keys(i.PodLabels) {
		if value, ok := input.Labels[label]; !ok || value != i.PodLabels[label] {
			return false
		}
	}
	return true
}
