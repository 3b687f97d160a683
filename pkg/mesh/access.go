package mesh

import (
	"fmt"
	"net/netip"
)

// AnnotationAccess on a Namespace sets the AccessMode of its workloads.
const AnnotationAccess = "weft.mesh/access"

// AccessMode is what becomes of calls that no TrafficTarget allows.
type AccessMode uint8

const (
	// AccessOff lets every call pass.
	AccessOff AccessMode = iota
	// AccessAudit lets every call pass, and tells which would be refused.
	AccessAudit
	// AccessEnforce refuses what is not allowed.
	AccessEnforce
)

var accessModes = [...]string{AccessOff: "off", AccessAudit: "audit", AccessEnforce: "enforce"}

// String is "off", "audit" or "enforce".
func (m AccessMode) String() string { return accessModes[m] }

// MarshalText writes an AccessMode as String does.
func (m AccessMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (m *AccessMode) UnmarshalText(text []byte) error {
	for i, name := range accessModes {
		if name == string(text) {
			*m = AccessMode(i)
			return nil
		}
	}
	return fmt.Errorf("access mode %q: want off, audit or enforce", text)
}

// AccessSettings are those of the whole mesh.
type AccessSettings struct {
	// Mode of the namespaces that do not say theirs.
	Mode AccessMode
	// Trusted are the networks whose callers may do everything although they
	// are no pods. A live pod is never trusted for its address.
	Trusted []netip.Prefix
}

// Access is who may call whom. What no Grant allows is refused, where the mode
// of the destination's namespace says so.
type Access struct {
	Trusted []netip.Prefix `json:"trusted,omitempty"`
	Grants  []*Grant       `json:"grants,omitempty"` // by the name of their object
}

// Grant is what one TrafficTarget allows: calls of any source, to workloads of
// the destination, that all it says holds for. Grants only add to each other.
type Grant struct {
	Origin      Ref         `json:"origin"`
	Destination Principal   `json:"destination"`
	Sources     []Principal `json:"sources"`
	// Port is the only one, 0 for any; it restricts the ports of TCP and UDP.
	Port uint16 `json:"port,omitempty"`
	TCP  Ports  `json:"tcp"`
	UDP  Ports  `json:"udp"`
	// Requests is true of a Grant for HTTP requests only: those that any of
	// the Matches holds for. No other use of TCP is granted.
	Requests bool            `json:"requests,omitempty"`
	Matches  []*RequestMatch `json:"matches,omitempty"`
}

// Ports are ports of a pod, or of the Service whose call is carried to it. The
// zero value is none.
type Ports struct {
	All  bool     `json:"all,omitempty"`
	Only []uint16 `json:"only,omitempty"`
}

// Principal names workloads by what they are: those of a ServiceAccount or
// those of an IdentityBinding.
type Principal struct {
	Name    Name `json:"name"`
	Binding bool `json:"binding,omitempty"`
}

// Account is the Principal of a ServiceAccount.
func Account(namespace, name string) Principal {
	return Principal{Name: Name{Namespace: namespace, Name: name}}
}

// Principals returns all that a workload is.
func (w *Workload) Principals() []Principal {
	return append([]Principal{Account(w.Name.Namespace, w.ServiceAccount)}, w.Bindings...)
}

// modes gives the AccessMode of each namespace.
type modes struct {
	otherwise AccessMode
	said      map[string]AccessMode
}

func (m *modes) of(namespace string) AccessMode {
	if mode, ok := m.said[namespace]; ok {
		return mode
	}
	return m.otherwise
}

// indexModes reads the namespaces. A value that says nothing known enforces:
// a slip of the pen must not open what was closed.
func (b *builder) indexModes() {
	b.modes = modes{otherwise: b.in.Access.Mode, said: map[string]AccessMode{}}
	for name, namespace := range b.in.Namespaces {
		value, ok := namespace.Annotations[AnnotationAccess]
		if !ok {
			continue
		}
		var mode AccessMode
		if mode.UnmarshalText([]byte(value)) != nil {
			mode = AccessEnforce
			b.problem(namespace.Ref, BadAnnotation, "%s is %q; it takes off, audit or enforce; access is enforced meanwhile", AnnotationAccess, value)
		}
		b.modes.said[name] = mode
	}
}
