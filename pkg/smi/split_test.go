package smi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// object reads YAML as the API's clients do.
func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

const header = `
kind: TrafficSplit
metadata:
  name: orders
  namespace: shop
  uid: u-1
  creationTimestamp: "2026-11-20T10:00:00Z"
`

func ref(version string) mesh.Ref {
	return mesh.Ref{APIVersion: "split.smi-spec.io/" + version, Kind: "TrafficSplit", Namespace: "shop", Name: "orders", UID: "u-1"}
}

func TestDecodeReadsEveryVersion(t *testing.T) {
	created := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		version, spec string
		want          mesh.SplitInput
	}{
		{"v1alpha1", `{service: orders, backends: [{service: a, weight: 500m}, {service: b, weight: "1"}]}`, mesh.SplitInput{
			Root: "orders", Backends: []mesh.SplitBackend{{Service: "a", Weight: 500}, {Service: "b", Weight: 1000}},
		}},
		{"v1alpha2", `{service: orders.shop, backends: [{service: a, weight: 0}, {service: b, weight: 100}]}`, mesh.SplitInput{
			Root: "orders.shop", Backends: []mesh.SplitBackend{{Service: "a"}, {Service: "b", Weight: 100_000}},
		}},
		{"v1alpha3", `{service: orders, backends: [{service: a, weight: 0.5}], matches: [{kind: HTTPRouteGroup, name: beta}]}`, mesh.SplitInput{
			Root: "orders", Backends: []mesh.SplitBackend{{Service: "a", Weight: 500}},
			Matches: []mesh.Ref{{Kind: "HTTPRouteGroup", Namespace: "shop", Name: "beta"}},
		}},
		{"v1alpha4", `{service: orders, extra: {x: 1}, backends: [{service: a, weight: 1, note: y}], matches: [{apiGroup: specs.smi-spec.io, kind: HTTPRouteGroup, name: beta}]}`, mesh.SplitInput{
			Root: "orders", Backends: []mesh.SplitBackend{{Service: "a", Weight: 1000}},
			Matches: []mesh.Ref{{APIVersion: "specs.smi-spec.io", Kind: "HTTPRouteGroup", Namespace: "shop", Name: "beta"}},
		}},
	} {
		t.Run(test.version, func(t *testing.T) {
			test.want.Ref, test.want.Created = ref(test.version), created
			got, err := smi.DecodeTrafficSplit(object(t, "apiVersion: split.smi-spec.io/"+test.version+header+"spec: "+test.spec))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	for _, test := range []struct {
		weight string
		want   int64
	}{
		{"0", 0}, {"-0.0", 0}, {"1", 1000}, {"100", 100_000}, {`"100"`, 100_000}, {"0.1", 100}, {"0.29", 290}, {"0.007", 7},
		{"0.0001", 1}, {"1e-300", 1}, {`"1n"`, 1}, {`"2k"`, 2_000_000}, {`"1e3"`, 1_000_000}, {`"+5"`, 5000}, {`".5"`, 500},
		{"2147483647", 2_147_483_647_000}, {"1.5", 1500}, {`"1500m"`, 1500}, {`"1Ki"`, 1_024_000},
	} {
		split, err := smi.DecodeTrafficSplit(object(t, "apiVersion: split.smi-spec.io/v1alpha4"+header+
			"spec: {service: orders, backends: [{service: a, weight: "+test.weight+"}]}"))
		if err != nil {
			t.Errorf("%s: %v", test.weight, err)
			continue
		}
		if got := split.Backends[0].Weight; got != test.want {
			t.Errorf("%s: got %d thousandths, want %d", test.weight, got, test.want)
		}
	}
}

// What cannot be read without sending traffic somewhere by guess is refused as
// a whole, with the field's name.
func TestErrorsNameTheField(t *testing.T) {
	backend := func(b string) string { return "{service: orders, backends: [{service: a, weight: 1}, " + b + "]}" }
	for _, test := range []struct{ spec, want string }{
		{"null", "spec is missing"},
		{"[]", "spec is a list"},
		{"{backends: []}", "spec.service is missing"},
		{"{service: 3}", "spec.service is 3; want a string"},
		{"{service: ''}", "spec.service is empty"},
		{"{service: orders, backends: {}}", "spec.backends is an object; want a list"},
		{backend("x"), `spec.backends[1] is "x"; want an object`},
		{backend("{service: [], weight: 1}"), "spec.backends[1].service is a list"},
		{backend("{service: b, weight: -1}"), "spec.backends[1].weight: -1: a weight is not negative"},
		{backend("{service: b, weight: -0.5}"), "spec.backends[1].weight: -0.5: a weight is not negative"},
		{backend(`{service: b, weight: "-1"}`), `spec.backends[1].weight: "-1": a weight is not negative`},
		{backend("{service: b, weight: 1e300}"), "spec.backends[1].weight: 1e+300: the largest weight is 2147483647"},
		{backend("{service: b, weight: 2147483648}"), "spec.backends[1].weight: 2147483648: the largest weight"},
		{backend(`{service: b, weight: "1e99"}`), `spec.backends[1].weight: "1e99": the largest weight`},
		{backend(`{service: b, weight: "1e999999999"}`), "spec.backends[1].weight: \"1e999999999\": want a number or a quantity"},
		{backend(`{service: b, weight: "1e-999999999"}`), "spec.backends[1].weight"},
		{backend("{service: b, weight: ten}"), `spec.backends[1].weight: "ten": want a number or a quantity`},
		{backend("{service: b, weight: 10%}"), `spec.backends[1].weight: "10%": want a number`},
		{backend("{service: b, weight: true}"), "spec.backends[1].weight: true: want a number"},
		{backend("{weight: ten}"), "spec.backends[1].weight"},
		{"{service: orders, matches: beta}", `spec.matches is "beta"; want a list`},
		{"{service: orders, matches: [beta]}", `spec.matches[0] is "beta"; want an object`},
		{"{service: orders, matches: [{kind: HTTPRouteGroup}]}", "spec.matches[0].name is missing"},
		{"{service: orders, matches: [{name: beta}]}", "spec.matches[0].kind is missing"},
		{"{service: " + strings.Repeat("x", 5) + ", backends: " + strings.Repeat("y", 500) + "}", "yyy…"},
	} {
		split, err := smi.DecodeTrafficSplit(object(t, "apiVersion: split.smi-spec.io/v1alpha4"+header+"spec: "+test.spec))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want %q in it", test.spec, err, test.want)
		}
		if split.Ref != ref("v1alpha4") || split.Root != "" || split.Backends != nil {
			t.Errorf("%s: got %+v, want the Ref and nothing else", test.spec, split)
		}
	}
}

func TestOmissionsAreProblems(t *testing.T) {
	split, err := smi.DecodeTrafficSplit(object(t, "apiVersion: split.smi-spec.io/v1alpha2"+header+
		"spec: {service: orders, backends: [{weight: 1}, {service: b}, {service: c, weight: null}, {service: '', weight: 2}, {service: d, weight: 3}]}"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]mesh.SplitBackend{{Service: "b"}, {Service: "c"}, {Service: "d", Weight: 3000}}, split.Backends); diff != "" {
		t.Error(diff)
	}
	var said []string
	for _, p := range split.Problems {
		if p.Object != split.Ref || p.Reason != mesh.Malformed {
			t.Errorf("got %+v, want it on the split as Malformed", p)
		}
		said = append(said, p.Message)
	}
	want := []string{
		"spec.backends[0].service is missing; the backend is left out and its share goes to the others",
		"spec.backends[1].weight is missing; the backend gets no traffic",
		"spec.backends[2].weight is missing; the backend gets no traffic",
		"spec.backends[3].service is missing; the backend is left out and its share goes to the others",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

func TestOtherKindsAreErrors(t *testing.T) {
	for _, head := range []string{
		"apiVersion: split.smi-spec.io/v1beta1\nkind: TrafficSplit", "apiVersion: split.smi-spec.io/v1alpha4\nkind: Other",
		"apiVersion: example.com/v1alpha4\nkind: TrafficSplit", "apiVersion: v1\nkind: Service",
	} {
		if _, err := smi.DecodeTrafficSplit(object(t, head)); err == nil {
			t.Errorf("%q was taken for a TrafficSplit", head)
		}
	}
	for _, empty := range []*unstructured.Unstructured{nil, {}} {
		if _, err := smi.DecodeTrafficSplit(empty); err == nil {
			t.Error("an empty object was taken for a TrafficSplit")
		}
	}
}

func TestKindsAreFoundByTheirGroup(t *testing.T) {
	for _, kind := range smi.Kinds() {
		found, ok := smi.Lookup(kind.Group, kind.Kind)
		if diff := cmp.Diff(kind, found); !ok || diff != "" {
			t.Errorf("%s: %s", kind.Kind, diff)
		}
		if got, want := kind.Resource("v1alpha4").String(), kind.Group+"/v1alpha4, Resource="+kind.Plural; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if _, ok := smi.Lookup("gateway.networking.k8s.io", smi.TCPRoute); ok {
		t.Error("a kind of another group was found")
	}
}
