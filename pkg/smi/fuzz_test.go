package smi_test

import (
	"encoding/json"
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
