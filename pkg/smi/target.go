package smi

import (
	"fmt"

	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// DecodeTrafficTarget reads a TrafficTarget of any version: destination, specs
// and sources at the top of the object (v1alpha1), or destination, rules and
// sources in its spec. The port of a destination, which only v1alpha1 and
// v1alpha2 have, counts in every version.
//
// A destination, a port or a rule that cannot be read is an error that names
// the field, with only Ref and Created read: rules of one target restrict each
// other, so that to leave one out could grant more. A source is left out, with
// a problem, for without it fewer are granted anything. A field that is not
// known cannot be read, for it may be a misspelt restriction.
func DecodeTrafficTarget(object *unstructured.Unstructured) (mesh.TargetInput, error) {
	h, err := head(object, AccessGroup, TrafficTarget)
	target := mesh.TargetInput{Ref: h.ref, Created: h.created}
	if err != nil {
		return target, err
	}
	if err := targetBody(&target, object.Object); err != nil {
		return mesh.TargetInput{Ref: h.ref, Created: h.created}, err
	}
	return target, nil
}

func targetBody(target *mesh.TargetInput, whole map[string]any) error {
	path, fields, err := body(whole, "destination", "specs", "sources")
	if err != nil {
		return err
	}
	rules := "specs"
	if path != "" {
		rules = "rules"
		if err := only(path, fields, "destination", rules, "sources"); err != nil {
			return err
		}
	}
	if err := destination(target, join(path, "destination"), fields["destination"]); err != nil {
		return err
	}
	if target.Rules, err = targetRules(join(path, rules), fields[rules]); err != nil {
		return err
	}
	path = join(path, "sources")
	sources, err := list(path, fields["sources"])
	if err != nil {
		return err
	}
	for i, item := range sources {
		source, err := subject(index(path, i), item)
		if err != nil {
			target.Problems = append(target.Problems, malformed(target.Ref, "%v; the source is left out", err))
			continue
		}
		target.Sources = append(target.Sources, source)
	}
	return nil
}

func destination(target *mesh.TargetInput, path string, value any) (err error) {
	if fields, ok := value.(map[string]any); ok && fields["port"] != nil {
		if target.Port, err = port(path+".port", fields["port"]); err != nil {
			return err
		}
	}
	target.Destination, err = subject(path, value, "port")
	return err
}

// subject reads whom a target is about. Other fields beside a subject's own may
// be there where the caller has read them.
func subject(path string, value any, others ...string) (mesh.Subject, error) {
	var s mesh.Subject
	fields, err := object(path, value)
	if err != nil {
		return s, err
	}
	if err := only(path, fields, append([]string{"kind", "group", "namespace", "name"}, others...)...); err != nil {
		return s, err
	}
	if s.Kind, err = text(path+".kind", fields["kind"]); err != nil {
		return s, err
	}
	if s.Name, err = text(path+".name", fields["name"]); err != nil {
		return s, err
	}
	if s.Namespace, err = optional(path+".namespace", fields["namespace"]); err != nil {
		return s, err
	}
	group, err := optional(path+".group", fields["group"])
	if err == nil && group != "" && (group != AccessGroup || s.Kind != IdentityBinding) {
		err = fmt.Errorf("%s.group is %q, of which no kind %q is known", path, shorten(group), shorten(s.Kind))
	}
	return s, err
}

func targetRules(path string, value any) ([]mesh.TargetRule, error) {
	items, err := list(path, value)
	if err != nil {
		return nil, err
	}
	var rules []mesh.TargetRule
	for i, item := range items {
		path := index(path, i)
		fields, err := object(path, item)
		if err != nil {
			return nil, err
		}
		if err := only(path, fields, "kind", "name", "matches"); err != nil {
			return nil, err
		}
		var rule mesh.TargetRule
		if rule.Kind, err = text(path+".kind", fields["kind"]); err != nil {
			return nil, err
		}
		if rule.Name, err = text(path+".name", fields["name"]); err != nil {
			return nil, err
		}
		if rule.Matches, err = texts(path+".matches", fields["matches"]); err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}
