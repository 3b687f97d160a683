package smi_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/smi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Whatever an object holds, it is a split whose weights are not negative or an
// error that says which field is wrong.
func FuzzDecodeTrafficSplit(f *testing.F) {
	for _, seed := range []string{
		`{"service":"orders","backends":[{"service":"a","weight":1},{"service":"b","weight":"500m"}],"matches":[{"kind":"HTTPRouteGroup","name":"m"}]}`,
		`{"service":"orders","backends":[{"service":"a","weight":"1e-999999999"}]}`,
		`{"service":"orders","backends":[{"service":"a","weight":9223372036854775807}]}`,
		`{"service":"orders","backends":[{"service":"a","weight":1e308},null,3]}`,
		`{"service":"orders","backends":[{"service":"a","weight":"-"},{"service":"a","weight":"1EE9"},{"weight":".Ei"}]}`,
		`[]`, `null`, `{"service":{}}`, `{"service":"a","matches":[[]]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		var value any
		if json.Unmarshal([]byte(spec), &value) != nil {
			return
		}
		split, err := smi.DecodeTrafficSplit(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "split.smi-spec.io/v1alpha4", "kind": "TrafficSplit", "metadata": value, "spec": value,
		}})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "spec") || len(err.Error()) > 1000 {
				t.Errorf("the error names no field, or is a flood: %v", err)
			}
			return
		}
		for _, b := range split.Backends {
			if b.Weight < 0 || b.Service == "" {
				t.Errorf("got backend %+v", b)
			}
		}
	})
}

// Whatever an object of any kind and version holds, it is read or the error
// says which field is wrong; what is read names things and ports.
func FuzzDecodeRules(f *testing.F) {
	for kind := range smi.Kinds() {
		for _, seed := range []string{
			`{"spec":{"matches":[{"name":"a","pathRegex":"/x","methods":["*"],"headers":[{"a":"b"}]},{"name":"b","headers":{"c":"d"}}]}}`,
			`{"matches":[{"name":"a"},null,3,{"name":[]}],"spec":{}}`, `{"spec":{"matches":{"ports":[80,1e9,-1,"x"]}}}`,
			`{"destination":{"kind":"ServiceAccount","name":"a","port":80.5},"specs":[{}],"sources":[{},null]}`,
			`{"spec":{"destination":{"kind":"IdentityBinding","name":"a","group":"access.smi-spec.io"},"rules":[{"kind":"TCPRoute","name":"r","matches":[""]}],"sources":[[]]}}`,
			`{"spec":{"schemes":{"podLabelSelector":{"matchLabels":{"a":"b"}},"spiffeIdentities":["x"],"serviceAccount":"y"}}}`,
			`{"spec":null,"metadata":{"name":3,"creationTimestamp":[]}}`,
		} {
			f.Add(kind, seed)
		}
	}
	f.Fuzz(func(t *testing.T, kind int, fields string) {
		whole := map[string]any{}
		if json.Unmarshal([]byte(fields), &whole) != nil || whole == nil {
			return
		}
		kinds := smi.Kinds()
		k := kinds[uint(kind)%uint(len(kinds))]
		whole["apiVersion"], whole["kind"] = k.Group+"/"+k.Versions[uint(kind)/8%uint(len(k.Versions))], k.Kind
		err := decodeAny(t, &unstructured.Unstructured{Object: whole})
		if err == nil || len(err.Error()) > 1000 {
			if err != nil {
				t.Errorf("the error is a flood: %v", err)
			}
			return
		}
		named := strings.HasPrefix(err.Error(), "spec") || strings.HasPrefix(err.Error(), "destination")
		for field := range whole {
			named = named || strings.HasPrefix(err.Error(), field[:min(len(field), 64)])
		}
		if !named {
			t.Errorf("the error names no field: %v", err)
		}
	})
}

// decodeAny decodes an object of any kind but TrafficSplit and looks at what it
// came to.
func decodeAny(t *testing.T, whole *unstructured.Unstructured) error {
	switch whole.GetKind() {
	case smi.HTTPRouteGroup:
		got, err := smi.DecodeHTTPRouteGroup(whole)
		for _, m := range got.Matches {
			if m.Name == "" {
				t.Errorf("a match without a name: %+v", m)
			}
		}
		return err
	case smi.TCPRoute, smi.UDPRoute:
		decode := smi.DecodeTCPRoute
		if whole.GetKind() == smi.UDPRoute {
			decode = smi.DecodeUDPRoute
		}
		got, err := decode(whole)
		if slices.Contains(got.Ports, 0) || err != nil && got.Ports != nil {
			t.Errorf("got ports %v, %v", got.Ports, err)
		}
		return err
	case smi.TrafficTarget:
		got, err := smi.DecodeTrafficTarget(whole)
		for _, s := range append(got.Sources, got.Destination) {
			if err == nil && (s.Kind == "" || s.Name == "") {
				t.Errorf("a subject without a kind or a name: %+v", got)
			}
		}
		return err
	case smi.IdentityBinding:
		got, err := smi.DecodeIdentityBinding(whole)
		if err == nil && got.PodLabels == nil && got.SPIFFE == nil && got.ServiceAccount == "" {
			t.Errorf("a binding that says nothing: %+v", got)
		}
		return err
	}
	return nil
}
