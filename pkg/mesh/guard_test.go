package mesh

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdmissions(t *testing.T) {
	network := func(s string) Admission { return Admission{Network: netip.MustParsePrefix(s)} }
	for list, want := range map[string][]Admission{
		"": nil, " , ": nil,
		"monitoring, team=payments":    {{Namespace: "monitoring"}, {Label: "team", Value: "payments"}},
		"example.com/zone=edge,empty=": {{Label: "example.com/zone", Value: "edge"}, {Label: "empty"}},
		"10.1.2.3/8,fd00::/8":          {network("10.0.0.0/8"), network("fd00::/8")},
		"192.0.2.1, 2001:db8::1":       {network("192.0.2.1/32"), network("2001:db8::1/128")},
	} {
		got, err := ParseAdmissions(list)
		if err != nil {
			t.Errorf("%q: %v", list, err)
		}
		same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%q: %s", list, diff)
		}
	}
	for _, wrong := range []string{"*", "Shop", "a.b", "-a", "10.0.0.0/33", "a/b/c=d", "a=b=c", "=x", "a b", "fe80::1%eth0", strings.Repeat("x", 64), "/a=b", "ä"} {
		got, err := ParseAdmissions("monitoring," + wrong)
		if err == nil || !strings.Contains(err.Error(), wrong) || len(got) != 1 {
			t.Errorf("%q: got %v, %v; want an error and the rest", wrong, got, err)
		}
	}
}

func TestWhichNamespacesAreGuarded(t *testing.T) {
	in := NewInputs()
	add := func(name string, annotations ...string) {
		n := NamespaceInput{Ref: Ref{APIVersion: "v1", Kind: "Namespace", Name: name}, Annotations: map[string]string{}}
		for i := 0; i < len(annotations); i += 2 {
			n.Annotations[annotations[i]] = annotations[i+1]
		}
		in.Namespaces[name] = n
	}
	add("bank", AnnotationGuard, "true", AnnotationAccess, "enforce", AnnotationGuardAllow, "monitoring,?,10.0.0.0/8")
	add("open", AnnotationGuard, "true")
	add("listening", AnnotationGuard, "true", AnnotationAccess, "audit")
	add("plain", AnnotationAccess, "enforce")
	add("un", AnnotationGuard, "false")
	add("odd", AnnotationGuard, "yes", AnnotationAccess, "enforce")
	m := Build(in)
	var guarded []string
	for _, g := range m.Guards {
		guarded = append(guarded, g.Namespace.Name)
	}
	if diff := cmp.Diff([]string{"bank", "odd"}, guarded); diff != "" {
		t.Error(diff)
	}
	if !m.Guards[0].Admits(netip.MustParseAddr("10.9.9.9")) || m.Guards[0].Admits(netip.MustParseAddr("11.0.0.1")) || len(m.Guards[0].Allow) != 2 {
		t.Errorf("got %+v", m.Guards[0])
	}
	var told []string
	for _, p := range m.Problems {
		told = append(told, p.Object.Name+" "+p.Reason)
	}
	if diff := cmp.Diff([]string{"bank BadAnnotation", "listening GuardWithoutAccess", "odd BadAnnotation", "open GuardWithoutAccess"}, told); diff != "" {
		t.Error(diff)
	}
	in.Access.Mode = AccessEnforce
	if m := Build(in); len(m.Guards) != 3 {
		t.Errorf("got %d guards where the whole mesh enforces, want 3", len(m.Guards))
	}
}
