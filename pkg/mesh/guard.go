package mesh

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// The annotations of a Namespace that guard its pods.
const (
	AnnotationGuard      = "weft.mesh/guard"       // "true" or "false"
	AnnotationGuardAllow = "weft.mesh/guard-allow" // see ParseAdmissions
)

// Guard is a namespace whose pods take connections from the mesh only, so that
// a call of the plain Service name does not walk around the access rules.
type Guard struct {
	Namespace Ref         `json:"namespace"`
	Allow     []Admission `json:"allow,omitempty"` // who else may connect
}

// Admission is somebody who may connect past the mesh. Exactly one of Namespace,
// Label and Network is set.
type Admission struct {
	Namespace string       `json:"namespace,omitempty"` // all its pods
	Label     string       `json:"label,omitempty"`     // the pods of all namespaces with this label and Value
	Value     string       `json:"value,omitempty"`
	Network   netip.Prefix `json:"network,omitzero"`
}

// Admits tells whether a network that the guard admits has the address.
func (g *Guard) Admits(ip netip.Addr) bool {
	return slices.ContainsFunc(g.Allow, func(a Admission) bool { return a.Network.Contains(ip) })
}

// ParseAdmissions reads a list of admissions, separated by commas: the name of a
// namespace, key=value for the namespaces with a label, an address or a network
// (CIDR). What cannot be read admits nobody and is the error; the rest is kept.
func ParseAdmissions(list string) ([]Admission, error) {
	var out []Admission
	var wrong []string
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		a, ok := parseAdmission(item)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%q", item))
			continue
		}
		out = append(out, a)
	}
	if wrong != nil {
		return out, fmt.Errorf("%s: want the name of a namespace, key=value or a network", strings.Join(wrong, ", "))
	}
	return out, nil
}

func parseAdmission(item string) (Admission, bool) {
	if ip, err := netip.ParseAddr(item); err == nil && ip.Zone() == "" {
		return Admission{Network: netip.PrefixFrom(ip, ip.BitLen())}, true
	}
	if network, err := netip.ParsePrefix(item); err == nil {
		return Admission{Network: network.Masked()}, true
	}
	if key, value, label := strings.Cut(item, "="); label {
		prefix, name, prefixed := strings.Cut(key, "/")
		if !prefixed {
			prefix, name = "", key
		}
		ok := labelPart(name) && (!prefixed || dnsName(prefix, 253)) && (value == "" || labelPart(value))
		return Admission{Label: key, Value: value}, ok
	}
	return Admission{Namespace: item}, dnsName(item, 63) && !strings.Contains(item, ".")
}

// labelPart tells whether s may be a label's name or value, as Kubernetes has it.
func labelPart(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) && !strings.ContainsAny(s[:1]+s[len(s)-1:], "-_.")
}

// dnsName tells whether s may be a name of small letters, digits, dashes and dots.
func dnsName(s string, most int) bool {
	return s != "" && len(s) <= most && labelPart(s[:min(len(s), 63)]) && s == strings.ToLower(s) && !strings.Contains(s, "_")
}

// guards are the guarded namespaces, by name.
func (b *builder) guards() []*Guard {
	var out []*Guard
	for _, name := range slices.Sorted(maps.Keys(b.in.Namespaces)) {
		namespace := b.in.Namespaces[name]
		switch value, said := namespace.Annotations[AnnotationGuard]; {
		case !said || value == "false":
			continue
		case value != "true":
			b.problem(namespace.Ref, BadAnnotation, `%s is %q; it takes "true" or "false"; the namespace is guarded meanwhile`, AnnotationGuard, value)
		}
		if mode := b.modes.of(name); mode != AccessEnforce {
			b.problem(namespace.Ref, GuardWithoutAccess, "the namespace is not guarded, for access is not enforced in it but %s", mode)
			continue
		}
		allow, err := ParseAdmissions(namespace.Annotations[AnnotationGuardAllow])
		if err != nil {
			b.problem(namespace.Ref, BadAnnotation, "%s has %v; what cannot be read admits nobody", AnnotationGuardAllow, err)
		}
		out = append(out, &Guard{Namespace: namespace.Ref, Allow: allow})
	}
	return out
}
