package smi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/weft-mesh/weft/pkg/smi"
)

// written is an object's own fields, JSON, as a client of the version writes
// them; kind is the kind's name.
type written struct{ name, kind, version, fields string }

// writers write every kind in every version, as their clients do.
func writers() []written {
	const (
		account = `{"kind":"ServiceAccount","name":"orders","namespace":"default"}`
		rules   = `[{"kind":"HTTPRouteGroup","name":"orders","matches":["read"]},{"kind":"TCPRoute","name":"orders"}]`
		sources = `[{"kind":"ServiceAccount","name":"web","namespace":"front"}]`
		match   = `{"name":"read","pathRegex":"/orders/.*","methods":["GET","HEAD"]}`
		headers = `{"name":"firefox","headers":[{"user-agent":".*Firefox.*"},{"x-beta":"1"}]}`
		object  = `{"name":"firefox","headers":{"user-agent":".*Firefox.*","x-beta":"1"}}`
	)
	return []written{
		{"tt-1", smi.TrafficTarget, "v1alpha1", `{"destination":{"kind":"ServiceAccount","name":"orders","namespace":"default","port":8080},"specs":` + rules + `,"sources":` + sources + `}`},
		{"tt-2", smi.TrafficTarget, "v1alpha2", `{"spec":{"destination":{"kind":"ServiceAccount","name":"orders","namespace":"default","port":8080},"rules":` + rules + `,"sources":` + sources + `}}`},
		{"tt-3", smi.TrafficTarget, "v1alpha3", `{"spec":{"destination":` + account + `,"rules":` + rules + `,"sources":` + sources + `}}`},
		{"tt-4", smi.TrafficTarget, "v1alpha4", `{"spec":{"destination":{"group":"access.smi-spec.io","kind":"IdentityBinding","name":"orders"},"rules":` + rules + `,"sources":` + sources + `}}`},
		{"ib-4", smi.IdentityBinding, "v1alpha4", `{"spec":{"schemes":{"podLabelSelector":{"matchLabels":{"app":"web"}},"spiffeIdentities":["cluster.local/ns/front/sa/web"]}}}`},
		{"htr-1", smi.HTTPRouteGroup, "v1alpha1", `{"matches":[` + match + `]}`},
		{"htr-2", smi.HTTPRouteGroup, "v1alpha2", `{"matches":[` + match + `,` + headers + `]}`},
		{"htr-3", smi.HTTPRouteGroup, "v1alpha3", `{"spec":{"matches":[` + match + `,` + headers + `]}}`},
		{"htr-4", smi.HTTPRouteGroup, "v1alpha4", `{"spec":{"matches":[` + match + `,` + headers + `]}}`},
		{"htr-4-object", smi.HTTPRouteGroup, "v1alpha4", `{"spec":{"matches":[{"name":"any","methods":["*"]},` + object + `]}}`},
		{"htr-4-bare", smi.HTTPRouteGroup, "v1alpha4", `{}`},
		{"tr-1", smi.TCPRoute, "v1alpha1", `{}`},
		{"tr-2", smi.TCPRoute, "v1alpha2", `{}`},
		{"tr-3", smi.TCPRoute, "v1alpha3", `{"spec":{}}`},
		{"tr-4", smi.TCPRoute, "v1alpha4", `{"spec":{"matches":{"name":"cluster","ports":[8300,8301]}}}`},
		{"tr-4-all", smi.TCPRoute, "v1alpha4", `{"spec":{"matches":{"ports":[]}}}`},
		{"ur-4", smi.UDPRoute, "v1alpha4", `{"spec":{"matches":{"ports":[8301]}}}`},
		{"ts-1", smi.TrafficSplit, "v1alpha1", `{"spec":{"service":"orders","backends":[{"service":"a","weight":"500m"},{"service":"b","weight":"1"}]}}`},
		{"ts-2", smi.TrafficSplit, "v1alpha2", `{"spec":{"service":"orders","backends":[{"service":"a","weight":0},{"service":"b","weight":100}]}}`},
		{"ts-3", smi.TrafficSplit, "v1alpha3", `{"spec":{"service":"orders","backends":[{"service":"a","weight":5}],"matches":[{"kind":"HTTPRouteGroup","name":"orders"}]}}`},
		{"ts-4", smi.TrafficSplit, "v1alpha4", `{"spec":{"service":"orders","backends":[{"service":"a","weight":0.5}],"matches":[]}}`},
		// What nobody has defined is kept too.
		{"tt-more", smi.TrafficTarget, "v1alpha3", `{"spec":{"destination":{"kind":"ServiceAccount","name":"orders","note":{"kept":[1,"x"]}},"rules":[],"sources":[],"more":true},"extra":{"kept":[]}}`},
		{"htr-more", smi.HTTPRouteGroup, "v1alpha4", `{"spec":{"matches":[{"name":"a","more":{"kept":1.5}}],"routes":[]}}`},
	}
}

func kindOf(t *testing.T, name string) smi.Kind {
	t.Helper()
	for _, kind := range smi.Kinds() {
		if kind.Kind == name {
			return kind
		}
	}
	t.Fatalf("no kind %s", name)
	return smi.Kind{}
}

func (s *suite) client(t *testing.T, kind, version string) dynamic.ResourceInterface {
	t.Helper()
	return s.dynamic.Resource(kindOf(t, kind).Resource(version)).Namespace("default")
}

// object is what the client sends.
func (w written) object(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(w.fields), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetAPIVersion(kindOf(t, w.kind).Group + "/" + w.version)
	u.SetKind(w.kind)
	u.SetName(w.name)
	return u
}

// fields are an object's own, as JSON text.
func fields(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	own := u.DeepCopy().Object
	for _, field := range []string{"apiVersion", "kind", "metadata"} {
		delete(own, field)
	}
	text, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decoded is what Weft makes of an object, without who it is.
func decoded(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	var got any
	var err error
	switch u.GetKind() {
	case smi.TrafficTarget:
		got, err = smi.DecodeTrafficTarget(u)
	case smi.IdentityBinding:
		got, err = smi.DecodeIdentityBinding(u)
	case smi.HTTPRouteGroup:
		got, err = smi.DecodeHTTPRouteGroup(u)
	case smi.TCPRoute:
		got, err = smi.DecodeTCPRoute(u)
	case smi.UDPRoute:
		got, err = smi.DecodeUDPRoute(u)
	case smi.TrafficSplit:
		got, err = smi.DecodeTrafficSplit(u)
	}
	text, jsonErr := json.Marshal(got)
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	said := string(text)
	if err != nil {
		said += err.Error()
	}
	return strings.ReplaceAll(said, u.GetAPIVersion(), "")
}

// objectsReadBackAsWritten has each writer create an object, replace it by
// itself (PUT) and patch it. In every version the same fields are read, and Weft
// makes the same of them.
func (s *suite) objectsReadBackAsWritten(t *testing.T) {
	for _, w := range writers() {
		t.Run(w.name, func(t *testing.T) {
			client, ctx := s.client(t, w.kind, w.version), t.Context()
			want := fields(t, w.object(t))
			stored, err := client.Create(ctx, w.object(t), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s.readBack(t, w, want)
			if _, err := client.Update(ctx, stored, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Patch(ctx, w.name, types.MergePatchType, []byte(want), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			s.readBack(t, w, want)
		})
	}
	if got := s.kubectl(t, "get", "tt,ib,htr,tcproutes.specs.smi-spec.io,ur,ts"); !strings.Contains(got, "traffictarget.access.smi-spec.io/tt-1") || !strings.Contains(got, "DESTINATION") {
		t.Errorf("kubectl get says %s", got)
	}
}

func (s *suite) readBack(t *testing.T, w written, want string) {
	t.Helper()
	meant := ""
	for _, version := range kindOf(t, w.kind).Versions {
		found, err := s.client(t, w.kind, version).Get(t.Context(), w.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fields(t, found)); diff != "" {
			t.Errorf("in %s: %s", version, diff)
		}
		if meant == "" {
			meant = decoded(t, found)
		}
		if diff := cmp.Diff(meant, decoded(t, found)); diff != "" {
			t.Errorf("in %s Weft makes something else of it: %s", version, diff)
		}
	}
}

// foreignShapesCanBeChanged labels an object through the version that kubectl
// prefers, whatever shape it was written in.
func (s *suite) foreignShapesCanBeChanged(t *testing.T) {
	s.kubectl(t, "label", "tt/tt-1", "htr/htr-1", "htr/htr-4-bare", "tcproutes.specs.smi-spec.io/tr-1", "team=shop")
	for _, w := range writers() {
		if w.name == "tt-1" || w.name == "htr-1" || w.name == "tr-1" {
			s.readBack(t, w, fields(t, w.object(t)))
		}
	}
}

// wrongObjectsAreRefused by the schema where no client writes them so.
func (s *suite) wrongObjectsAreRefused(t *testing.T) {
	for _, w := range []written{
		{"no-kind", smi.TrafficTarget, "v1alpha3", `{"spec":{"destination":{"name":"orders"},"rules":[],"sources":[]}}`},
		{"no-destination", smi.TrafficTarget, "v1alpha3", `{"spec":{"rules":[],"sources":[]}}`},
		{"port", smi.TrafficTarget, "v1alpha2", `{"spec":{"destination":{"kind":"ServiceAccount","name":"orders","port":"http"}}}`},
		{"rule", smi.TrafficTarget, "v1alpha1", `{"destination":{"kind":"ServiceAccount","name":"orders"},"specs":[{"kind":"GRPCRoute","name":"x"}]}`},
		{"method", smi.HTTPRouteGroup, "v1alpha4", `{"spec":{"matches":[{"name":"a","methods":["get"]}]}}`},
		{"unnamed", smi.HTTPRouteGroup, "v1alpha2", `{"matches":[{"pathRegex":"/"}]}`},
		{"ports", smi.TCPRoute, "v1alpha4", `{"spec":{"matches":{"ports":[70000]}}}`},
		{"no-ports", smi.UDPRoute, "v1alpha4", `{"spec":{"matches":{}}}`},
		{"no-scheme", smi.IdentityBinding, "v1alpha4", `{"spec":{"schemes":{}}}`},
		{"label", smi.IdentityBinding, "v1alpha4", `{"spec":{"schemes":{"podLabelSelector":{"matchLabels":{"a":1}}}}}`},
	} {
		if _, err := s.client(t, w.kind, w.version).Create(t.Context(), w.object(t), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
			t.Errorf("%s: got %v, want it refused as invalid", w.name, err)
		}
	}
}
