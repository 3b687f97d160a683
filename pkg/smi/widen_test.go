package smi_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/smi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// breaks yields the value with one thing in it misspelt or of another type, for
// each thing in it.
func breaks(value any, yield func(any)) {
	for _, other := range []any{int64(3), true, "x", map[string]any{"x": int64(1)}} {
		if reflect.TypeOf(other) != reflect.TypeOf(value) || reflect.TypeOf(other).Kind() == reflect.Map {
			yield(other)
		}
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			with := func(k string, item any) {
				broken := maps.Clone(v)
				delete(broken, key)
				broken[k] = item
				yield(broken)
			}
			if len(key) > 1 { // the names of headers and labels are the author's
				with(key+"x", v[key])
			}
			breaks(v[key], func(item any) { with(key, item) })
		}
	case []any:
		for i := range v {
			breaks(v[i], func(item any) {
				broken := slices.Clone(v)
				broken[i] = item
				yield(broken)
			})
		}
	}
}

// within tells whether each item of some is one of all.
func within[T any](some, all []T) bool {
	return !slices.ContainsFunc(some, func(s T) bool {
		return !slices.ContainsFunc(all, func(a T) bool { return reflect.DeepEqual(s, a) })
	})
}

// grants decodes an object whose kind tells who may do what, and tells of
// another object whether it stands for more.
func grants(t *testing.T, whole *unstructured.Unstructured) (wider func(*unstructured.Unstructured) bool) {
	t.Helper()
	var err error
	switch kind := whole.GetKind(); kind {
	case smi.HTTPRouteGroup:
		good, e := smi.DecodeHTTPRouteGroup(whole)
		err, wider = e, func(u *unstructured.Unstructured) bool {
			got, _ := smi.DecodeHTTPRouteGroup(u)
			return !within(got.Matches, good.Matches)
		}
	case smi.TCPRoute:
		good, e := smi.DecodeTCPRoute(whole)
		err, wider = e, func(u *unstructured.Unstructured) bool {
			got, err := smi.DecodeTCPRoute(u)
			return err == nil && !reflect.DeepEqual(got.Ports, good.Ports)
		}
	case smi.TrafficTarget:
		good, e := smi.DecodeTrafficTarget(whole)
		err, wider = e, func(u *unstructured.Unstructured) bool {
			got, err := smi.DecodeTrafficTarget(u)
			same := got.Destination == good.Destination && got.Port == good.Port && reflect.DeepEqual(got.Rules, good.Rules)
			return err == nil && len(got.Sources) > 0 && len(got.Rules) > 0 && (!same || !within(got.Sources, good.Sources))
		}
	case smi.IdentityBinding:
		good, e := smi.DecodeIdentityBinding(whole)
		err, wider = e, func(u *unstructured.Unstructured) bool {
			got, err := smi.DecodeIdentityBinding(u)
			return err == nil && (got.ServiceAccount != good.ServiceAccount || !within(got.SPIFFE, good.SPIFFE) || !reflect.DeepEqual(got.PodLabels, good.PodLabels))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return wider
}

// Whatever is misspelt in an object, or is of another type than it should be,
// the object never stands for more than before: who may not call may not call
// because somebody made a mistake.
func TestMistakesNeverWiden(t *testing.T) {
	const target = `destination: {kind: ServiceAccount, name: orders, namespace: shop, port: 8080}
%s: [{kind: HTTPRouteGroup, name: g, matches: [read]}, {kind: TCPRoute, name: r}]
sources: [{kind: ServiceAccount, name: web, namespace: front}, {kind: IdentityBinding, group: access.smi-spec.io, name: b}]`
	for _, test := range []struct{ group, version, kind, fields string }{
		{smi.SpecsGroup, "v1alpha4", smi.HTTPRouteGroup, "spec: {matches: [{name: a, pathRegex: /a, methods: [GET], headers: [{a: b}, {c: d}]}, {name: b, headers: {a: b, c: d}}]}"},
		{smi.SpecsGroup, "v1alpha1", smi.HTTPRouteGroup, "matches: [{name: a, pathRegex: /a, methods: [GET]}, {name: b, methods: [PUT]}]"},
		{smi.SpecsGroup, "v1alpha4", smi.TCPRoute, "spec: {matches: {name: m, ports: [80, 81]}}"},
		{smi.AccessGroup, "v1alpha1", smi.TrafficTarget, fmt.Sprintf(target, "specs")},
		{smi.AccessGroup, "v1alpha3", smi.TrafficTarget, "spec:\n  " + strings.ReplaceAll(fmt.Sprintf(target, "rules"), "\n", "\n  ")},
		{smi.AccessGroup, "v1alpha4", smi.IdentityBinding, "spec: {schemes: {podLabelSelector: {matchLabels: {a: b, c: d}}, spiffeIdentities: [x, z]}}"},
	} {
		good := named(t, test.group, test.version, test.kind, test.fields)
		wider, tried := grants(t, good), 0
		head := map[string]any{}
		fields := maps.Clone(good.Object)
		for _, key := range []string{"apiVersion", "kind", "metadata"} {
			head[key] = fields[key]
			delete(fields, key)
		}
		breaks(fields, func(broken any) {
			whole, ok := broken.(map[string]any)
			if !ok {
				return // no object at all
			}
			whole = maps.Clone(whole)
			maps.Copy(whole, head)
			tried++
			if wider(&unstructured.Unstructured{Object: whole}) {
				t.Errorf("%s: %v stands for more than %v", test.kind, broken, fields)
			}
		})
		if tried < 20 {
			t.Errorf("%s: only %d mistakes were tried", test.kind, tried)
		}
	}
}
