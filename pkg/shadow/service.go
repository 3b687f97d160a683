package shadow

import (
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// mostName is the length of a Service's name at most (RFC 1035 label).
const mostName = 63

// shadowName is the name of the shadow of a Service: readable in front, unique
// behind, 50 bits of a hash of namespace/name.
func shadowName(source mesh.Name) string {
	sum := sha256.Sum256([]byte(source.String()))
	hash := strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))[:10]
	front := source.Name[:min(len(source.Name), mostName-1-len(hash))]
	return strings.TrimRight(front, "-") + "-" + hash
}

// form is what all shadow Services have in common.
type form struct {
	namespace    string
	selector     map[string]string
	distribution *string // trafficDistribution; nil where the server has none
}

// shadow is the Service that stands for source, with the server's defaults
// written out. Ports without a mesh port are left out.
func (f form) shadow(source *corev1.Service, held map[portKey]uint16) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace,
			Name:      shadowName(nameOf(source)),
			Labels: map[string]string{
				mesh.LabelManagedBy: mesh.ManagedBy,
				mesh.LabelNamespace: source.Namespace,
				mesh.LabelService:   source.Name,
			},
		},
		Spec: corev1.ServiceSpec{
			Type:                  corev1.ServiceTypeClusterIP,
			Selector:              f.selector,
			Ports:                 shadowPorts(source, held),
			IPFamilyPolicy:        familyPolicy(source),
			IPFamilies:            slices.Clone(source.Spec.IPFamilies[:min(1, len(source.Spec.IPFamilies))]),
			TrafficDistribution:   f.distribution,
			SessionAffinity:       corev1.ServiceAffinityNone,
			InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster),
		},
	}
}

// familyPolicy follows the source, but never requires what the cluster may not
// have: a headless Service without a selector requires two families by default,
// on a cluster with one too. The first family is the source's; the server adds
// the second.
func familyPolicy(source *corev1.Service) *corev1.IPFamilyPolicy {
	if p := source.Spec.IPFamilyPolicy; p != nil && *p != corev1.IPFamilyPolicySingleStack {
		return new(corev1.IPFamilyPolicyPreferDualStack)
	}
	return new(corev1.IPFamilyPolicySingleStack)
}

func shadowPorts(source *corev1.Service, held map[portKey]uint16) []corev1.ServicePort {
	out := make([]corev1.ServicePort, 0, len(source.Spec.Ports))
	for i := range source.Spec.Ports {
		from := &source.Spec.Ports[i]
		transport, supported := mesh.ParseTransport(string(from.Protocol))
		port, ok := held[portKey{service: nameOf(source), number: uint16(from.Port), transport: transport}]
		if !ok || !supported {
			continue
		}
		out = append(out, corev1.ServicePort{
			Name: from.Name, Protocol: corev1.Protocol(transport.String()), AppProtocol: from.AppProtocol,
			Port: from.Port, TargetPort: intstr.FromInt32(int32(port)),
		})
	}
	return out
}

// names is the headless Service that carries the names of a namespace.
func (f form) names(namespace string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.namespace,
			Name:      namespace,
			Labels:    map[string]string{mesh.LabelManagedBy: mesh.ManagedBy},
		},
		Spec: corev1.ServiceSpec{
			Type:                  corev1.ServiceTypeClusterIP,
			ClusterIP:             corev1.ClusterIPNone,
			SessionAffinity:       corev1.ServiceAffinityNone,
			InternalTrafficPolicy: new(corev1.ServiceInternalTrafficPolicyCluster),
		},
	}
}

// merge returns have as it should be, or nil when it already is. What the
// server decides (cluster IPs, and the families where we do not ask for any)
// and what others add to the metadata stays; the rest of the spec is ours.
func merge(have, want *corev1.Service) *corev1.Service {
	out := have.DeepCopy()
	out.Labels = mergeLabels(have.Labels, want.Labels)
	out.Spec = *want.Spec.DeepCopy()
	if have.Spec.Type != corev1.ServiceTypeExternalName {
		keepAddresses(&out.Spec, &have.Spec)
	}
	if equality.Semantic.DeepEqual(out.Spec, have.Spec) && maps.Equal(out.Labels, have.Labels) {
		return nil
	}
	return out
}

func mergeLabels(have, want map[string]string) map[string]string {
	out := make(map[string]string, len(have)+len(want))
	maps.Copy(out, have)
	maps.Copy(out, want)
	if want[mesh.LabelService] == "" {
		delete(out, mesh.LabelService)
		delete(out, mesh.LabelNamespace)
	}
	return out
}

// keepAddresses keeps what the server gave. One family is kept where one is
// asked for; a second one, where two are, comes from the server.
func keepAddresses(spec, have *corev1.ServiceSpec) {
	spec.ClusterIP, spec.ClusterIPs, spec.IPFamilies = have.ClusterIP, have.ClusterIPs, have.IPFamilies
	if spec.IPFamilyPolicy == nil {
		spec.IPFamilyPolicy = have.IPFamilyPolicy
		return
	}
	if *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack {
		spec.ClusterIPs = spec.ClusterIPs[:min(1, len(spec.ClusterIPs))]
		spec.IPFamilies = spec.IPFamilies[:min(1, len(spec.IPFamilies))]
	}
}

// replaced tells whether have cannot become want by an update: headless or not
// and the first family are for life.
func replaced(have, want *corev1.Service) bool {
	if have.Spec.Type == corev1.ServiceTypeExternalName {
		return false
	}
	if (have.Spec.ClusterIP == corev1.ClusterIPNone) != (want.Spec.ClusterIP == corev1.ClusterIPNone) {
		return true
	}
	families := want.Spec.IPFamilies
	return len(families) > 0 && len(have.Spec.IPFamilies) > 0 && have.Spec.IPFamilies[0] != families[0]
}
