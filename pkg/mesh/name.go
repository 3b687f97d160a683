package mesh

import (
	"cmp"
	"fmt"
	"strings"
)

// Name is the namespace and the name of an object. Namespace is empty for a
// cluster-scoped object.
type Name struct{ Namespace, Name string }

// String is "namespace/name", or the name alone for a cluster-scoped object.
func (n Name) String() string {
	if n.Namespace == "" {
		return n.Name
	}
	return n.Namespace + "/" + n.Name
}

// MarshalText writes a Name as String does, so that it can be a JSON key.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (n *Name) UnmarshalText(text []byte) error {
	before, after, namespaced := strings.Cut(string(text), "/")
	if !namespaced {
		*n = Name{Name: before}
		return nil
	}
	if strings.Contains(after, "/") {
		return fmt.Errorf("name %q: more than one slash", text)
	}
	*n = Name{Namespace: before, Name: after}
	return nil
}

// Compare orders Names by namespace, then by name.
func (n Name) Compare(o Name) int {
	if c := strings.Compare(n.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(n.Name, o.Name)
}

// Ref names an object of a kind: what a Problem or an Event is told on.
type Ref struct {
	// APIVersion is the group and version, such as "v1" or "split.smi-spec.io/v1alpha4".
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// UID is empty where the source knows none (a file).
	UID string `json:"uid,omitempty"`
}

// String is "Kind namespace/name".
func (r Ref) String() string {
	return r.Kind + " " + Name{Namespace: r.Namespace, Name: r.Name}.String()
}

func (r Ref) compare(o Ref) int {
	return cmp.Or(cmp.Compare(r.Namespace, o.Namespace), cmp.Compare(r.Name, o.Name),
		cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.APIVersion, o.APIVersion), cmp.Compare(r.UID, o.UID))
}

// Labels of the objects that Weft writes and reads back.
const (
	// LabelManagedBy with the value ManagedBy marks every object that Weft wrote itself.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "weft"
	// LabelService and LabelNamespace on a shadow Service name the Service it stands for.
	LabelService   = "weft.mesh/service"
	LabelNamespace = "weft.mesh/namespace"
	// AnnotationProtocol on a Service sets the protocol of all its ports; see ParseProtocol.
	AnnotationProtocol = "weft.mesh/protocol"
)
