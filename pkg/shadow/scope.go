package shadow

import (
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
)

// scope says which Services are meshed.
type scope struct {
	own           string // Weft's own namespace
	watch, ignore []string
}

// namespace tells whether the Services of a namespace are meshed. To ignore
// wins over to watch; kube-system is meshed only where it is watched by name.
func (s scope) namespace(name string) bool {
	switch {
	case name == s.own || slices.Contains(s.ignore, name):
		return false
	case len(s.watch) > 0:
		return slices.Contains(s.watch, name)
	}
	return name != "kube-system"
}

// service tells whether a Service is meshed.
func (s scope) service(svc *corev1.Service) bool {
	return s.namespace(svc.Namespace) &&
		svc.Spec.Type != corev1.ServiceTypeExternalName &&
		nameOf(svc) != mesh.Name{Namespace: "default", Name: "kubernetes"} &&
		slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { _, ok := mesh.ParseTransport(string(p.Protocol)); return ok })
}

func nameOf(svc *corev1.Service) mesh.Name {
	return mesh.Name{Namespace: svc.Namespace, Name: svc.Name}
}

func refOf(svc *corev1.Service) mesh.Ref {
	return mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: svc.Namespace, Name: svc.Name, UID: string(svc.UID)}
}

// keysOf are the ports of a Service that want a mesh port, in its own order.
func keysOf(svc *corev1.Service) []portKey {
	out := make([]portKey, 0, len(svc.Spec.Ports))
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if transport, ok := mesh.ParseTransport(string(p.Protocol)); ok {
			out = append(out, portKey{service: nameOf(svc), number: uint16(p.Port), transport: transport})
		}
	}
	return out
}

// managed tells whether a Service carries our label.
func managed(svc *corev1.Service) bool { return svc.Labels[mesh.LabelManagedBy] == mesh.ManagedBy }

// sourceOf is the Service that a shadow Service stands for; not ok for a
// Service that is no shadow.
func sourceOf(svc *corev1.Service) (mesh.Name, bool) {
	n := mesh.Name{Namespace: svc.Labels[mesh.LabelNamespace], Name: svc.Labels[mesh.LabelService]}
	return n, managed(svc) && n.Namespace != "" && n.Name != ""
}

// isNames tells whether a Service has the shape of the ones that carry the
// names of a namespace. Only such are deleted as orphans: a Service of another
// shape that carries our label is somebody's mistake, not our leftover.
func isNames(svc *corev1.Service) bool {
	_, shadow := sourceOf(svc)
	return managed(svc) && !shadow && svc.Spec.ClusterIP == corev1.ClusterIPNone && len(svc.Spec.Selector) == 0
}
