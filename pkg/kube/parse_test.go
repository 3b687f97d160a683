package kube

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// Each document that cannot be read is told with its place, and with the line
// of the error in the file.
func TestBrokenDocumentsAreTold(t *testing.T) {
	p := parser{trimmer: newTrimmer(""), log: zerolog.Nop()}
	_, broken := p.parse("a.yaml", []byte(`apiVersion: v1
kind: Service
metadata: {name: orders}
---
kind: Service
 metadata: {}
---
just words
---
apiVersion: v1
kind: Service
---
apiVersion: v1
metadata: {name: x}
---
{"kind": "ServiceList", "items": [3]}
---
kind: Service
metadata: {name: x}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplt
metadata: {name: x}
`))
	var got []string
	for _, b := range broken {
		if b.Object.Kind != "File" || b.Reason != mesh.Malformed {
			t.Errorf("got %+v", b)
		}
		got = append(got, b.Object.Name+" "+b.Message)
	}
	want := []string{
		"a.yaml:4 yaml: line 6: mapping values are not allowed in this context",
		"a.yaml:7 kind or apiVersion is missing; want one object per document",
		"a.yaml:9 metadata.name is missing",
		"a.yaml:12 kind or apiVersion is missing; want one object per document",
		"a.yaml:15 items[0]: want an object",
		"a.yaml:17 kind or apiVersion is missing; want one object per document",
		"a.yaml:20 there is no kind TrafficSplt in split.smi-spec.io",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever a file holds, reading it ends and every object has a name, every
// problem a message.
func FuzzParse(f *testing.F) {
	f.Add("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n---\nkind: List\nitems: []\n")
	f.Add("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: {kubernetes.io/service-name: b}}\nendpoints: [{addresses: [10.0.0.1]}]")
	f.Add("apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: [{addresses: [{ip: 1.2.3.4}], ports: [{port: 1}]}]")
	f.Add("apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}, status: {podIPs: [{}]}}]")
	f.Add(`{"apiVersion":"split.smi-spec.io/v1alpha4","kind":"TrafficSplit","metadata":{"name":"a"},"spec":{"backends":[{"weight":1e9}]}}`)
	f.Add("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, namespace: x, annotations: {weft.mesh/access: enforce}}")
	f.Add(`{"apiVersion":"specs.smi-spec.io/v1alpha1","kind":"HTTPRouteGroup","metadata":{"name":"a"},"matches":[{"name":"b","headers":[{"x":"y"}]}]}`)
	f.Add(`{"apiVersion":"access.smi-spec.io/v1alpha3","kind":"TrafficTarget","metadata":{"name":"a"},"spec":{"destination":{"kind":"ServiceAccount","name":"b"}}}`)
	f.Add("--- a: &a [*a]\n---\r\n...\n---")
	f.Fuzz(func(t *testing.T, content string) {
		p := parser{trimmer: newTrimmer(""), log: zerolog.Nop()}
		found, broken := p.parse("f", []byte(content))
		in, ledger := mesh.NewInputs(), newLedger()
		for _, r := range found {
			if r.reading.ref.Name == "" || (r.reading.ref.Namespace == "") != (r.reading.ref.Kind == "Namespace") || r.reading.ref.Kind == "" {
				t.Errorf("an object without a name: %+v", r.reading.ref)
			}
			for _, e := range ledger.put(r.reading) {
				e.apply(in)
			}
		}
		for _, b := range broken {
			if !strings.HasPrefix(b.Object.Name, "f:") || b.Message == "" {
				t.Errorf("got problem %+v", b)
			}
		}
		mesh.Build(in)
	})
}
