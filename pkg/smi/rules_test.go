package smi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// named is an object of a kind of a group, shop/it, with the fields.
func named(t *testing.T, group, version, kind, fields string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: "+group+"/"+version+"\nkind: "+kind+"\nmetadata: {name: it, namespace: shop, uid: u, creationTimestamp: \"2026-11-20T10:00:00Z\"}\n"+fields)
}

func refOf(group, version, kind string) mesh.Ref {
	return mesh.Ref{APIVersion: group + "/" + version, Kind: kind, Namespace: "shop", Name: "it", UID: "u"}
}

// versions are all versions of a kind.
func versions(t *testing.T, group, kind string) []string {
	t.Helper()
	k, ok := smi.Lookup(group, kind)
	if !ok {
		t.Fatalf("%s of %s is not known", kind, group)
	}
	return k.Versions
}

// Each shape that a version has is read in every version: the API server only
// renames.
func TestRouteGroupsOfEveryShape(t *testing.T) {
	want := []mesh.RequestMatch{
		{Name: "read", Path: "/orders/.*", Methods: []string{"GET", "HEAD"}},
		{Name: "beta", Headers: []mesh.HeaderMatch{{Name: "x-beta", Value: "1|true"}, {Name: "user-agent", Value: ".*Firefox.*"}}},
		{Name: "any"},
	}
	for _, version := range versions(t, smi.SpecsGroup, smi.HTTPRouteGroup) {
		for _, fields := range []string{
			`matches: [{name: read, pathRegex: "/orders/.*", methods: [GET, HEAD]}, {name: beta, headers: [{X-Beta: "1|true"}, {user-agent: ".*Firefox.*"}]}, {name: any, methods: [GET, "*"]}]`,
			`spec: {matches: [{name: read, pathRegex: "/orders/.*", methods: [GET, HEAD]}, {name: beta, headers: [{x-beta: "1|true"}, {User-Agent: ".*Firefox.*"}]}, {name: any, methods: ["*"], headers: null}]}`,
		} {
			got, err := smi.DecodeHTTPRouteGroup(named(t, smi.SpecsGroup, version, smi.HTTPRouteGroup, fields))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(mesh.RouteGroupInput{Ref: refOf(smi.SpecsGroup, version, smi.HTTPRouteGroup), Matches: want}, got); diff != "" {
				t.Errorf("%s %s: %s", version, fields, diff)
			}
		}
	}
}

func TestHeadersInBothForms(t *testing.T) {
	want := []mesh.HeaderMatch{{Name: "a", Value: "1"}, {Name: "b", Value: ""}}
	for _, headers := range []string{`[{A: "1"}, {B: ""}]`, `{A: "1", b: ""}`, `[{a: "1", b: ""}]`} {
		got, err := smi.DecodeHTTPRouteGroup(named(t, smi.SpecsGroup, "v1alpha4", smi.HTTPRouteGroup, "spec: {matches: [{name: m, headers: "+headers+"}]}"))
		if err != nil || len(got.Problems) > 0 || len(got.Matches) != 1 {
			t.Fatalf("%s: got %+v, %v", headers, got, err)
		}
		if diff := cmp.Diff(want, got.Matches[0].Headers); diff != "" {
			t.Errorf("%s: %s", headers, diff)
		}
	}
}

// A match that cannot be read stands for nothing; the others stay.
func TestUnreadableMatchesAreLeftOut(t *testing.T) {
	for match, want := range map[string]string{
		"x":                                  `spec.matches[0] is "x"; want an object`,
		"{}":                                 "spec.matches[0].name is missing",
		"{name: ''}":                         "spec.matches[0].name is empty",
		"{name: m, pathregex: /a}":           "spec.matches[0].pathregex is not known",
		"{name: m, pathRegex: 3}":            "spec.matches[0].pathRegex is 3; want a string",
		"{name: m, methods: GET}":            `spec.matches[0].methods is "GET"; want a list`,
		"{name: m, methods: [get]}":          `spec.matches[0].methods[0] is "get"; want * or one of GET`,
		"{name: m, methods: [GET, 3]}":       "spec.matches[0].methods[1] is 3; want a string",
		"{name: m, headers: x}":              `spec.matches[0].headers is "x"; want a list or an object`,
		"{name: m, headers: [x]}":            `spec.matches[0].headers[0] is "x"; want an object`,
		"{name: m, headers: [{}]}":           "spec.matches[0].headers[0] is empty",
		"{name: m, headers: [{a: 1}]}":       "spec.matches[0].headers[0].a is 1; want a string",
		"{name: m, headers: {a: null}}":      "spec.matches[0].headers.a is missing; want a string",
		`{name: m, headers: {"a b": "1"}}`:   `spec.matches[0].headers has the name "a b"`,
		`{name: m, headers: {":path": "/"}}`: `spec.matches[0].headers has the name ":path"`,
	} {
		got, err := smi.DecodeHTTPRouteGroup(named(t, smi.SpecsGroup, "v1alpha4", smi.HTTPRouteGroup, "spec: {matches: ["+match+", {name: good}]}"))
		if err != nil {
			t.Errorf("%s: %v", match, err)
			continue
		}
		if diff := cmp.Diff([]mesh.RequestMatch{{Name: "good"}}, got.Matches); diff != "" {
			t.Errorf("%s: %s", match, diff)
		}
		if len(got.Problems) != 1 || !strings.HasPrefix(got.Problems[0].Message, want) || !strings.HasSuffix(got.Problems[0].Message, "the match is left out") {
			t.Errorf("%s: got %+v, want %q", match, got.Problems, want)
		}
	}
}

func TestAGroupWithoutMatchesIsAProblem(t *testing.T) {
	for _, fields := range []string{"", "spec: {}", "spec: {matches: []}", "matches: []"} {
		got, err := smi.DecodeHTTPRouteGroup(named(t, smi.SpecsGroup, "v1alpha1", smi.HTTPRouteGroup, fields))
		if err != nil || len(got.Matches) > 0 || len(got.Problems) != 1 || got.Problems[0].Reason != mesh.Malformed {
			t.Errorf("%q: got %+v, %v; want no match and one problem", fields, got, err)
		}
	}
}

func TestPortRoutesOfEveryShape(t *testing.T) {
	decode := map[string]func(*unstructured.Unstructured) (mesh.PortRouteInput, error){
		smi.TCPRoute: smi.DecodeTCPRoute, smi.UDPRoute: smi.DecodeUDPRoute,
	}
	for kind, decode := range decode {
		for _, version := range versions(t, smi.SpecsGroup, kind) {
			for fields, want := range map[string][]uint16{
				"": nil, "spec: {}": nil, "spec: null": nil, "spec: {matches: {ports: []}}": nil,
				"spec: {matches: {ports: [8301, 8302.0, 65535]}}": {8301, 8302, 65535},
				"spec: {matches: {name: m, ports: [1]}}":          {1},
			} {
				got, err := decode(named(t, smi.SpecsGroup, version, kind, fields))
				if err != nil {
					t.Errorf("%s %s: %v", version, fields, err)
				}
				if diff := cmp.Diff(mesh.PortRouteInput{Ref: refOf(smi.SpecsGroup, version, kind), Ports: want}, got); diff != "" {
					t.Errorf("%s %s: %s", version, fields, diff)
				}
			}
		}
	}
}

// What would stand for all ports by mistake is an error.
func TestUnreadablePortsAreErrors(t *testing.T) {
	for fields, want := range map[string]string{
		"ports: [80]":                                 "ports is not known",
		"matches: {ports: [80]}":                      "matches is not known",
		"spec: []":                                    "spec is a list",
		"spec: {ports: [80]}":                         "spec.ports is not known",
		"spec: {matches: []}":                         "spec.matches is a list",
		"spec: {matches: {}}":                         "spec.matches.ports is missing; want a list, empty for all ports",
		"spec: {matches: {port: 80}}":                 "spec.matches.port is not known",
		"spec: {matches: {ports: 80}}":                "spec.matches.ports is 80; want a list",
		"spec: {matches: {ports: [80, '81']}}":        `spec.matches.ports[1] is "81"; want a port`,
		"spec: {matches: {ports: [0]}}":               "spec.matches.ports[0] is 0; want a port, a number from 1 to 65535",
		"spec: {matches: {ports: [65536]}}":           "spec.matches.ports[0] is 65536",
		"spec: {matches: {ports: [-1]}}":              "spec.matches.ports[0] is -1",
		"spec: {matches: {ports: [80.5]}}":            "spec.matches.ports[0] is 80.5",
		"spec: {matches: {ports: [1e300]}}":           "spec.matches.ports[0] is 1e+300",
		"spec: {matches: {ports: [80, null]}}":        "spec.matches.ports[1] is missing",
		"spec: {matches: {ports: [80], name2: wide}}": "spec.matches.name2 is not known",
	} {
		got, err := smi.DecodeTCPRoute(named(t, smi.SpecsGroup, "v1alpha4", smi.TCPRoute, fields))
		if err == nil || !strings.HasPrefix(err.Error(), want) || got.Ports != nil {
			t.Errorf("%s: got %+v, %v; want %q", fields, got, err, want)
		}
	}
}

func TestTargetsOfEveryShape(t *testing.T) {
	const top = `
destination: {kind: ServiceAccount, name: orders, namespace: shop, port: 8080}
specs: [{kind: HTTPRouteGroup, name: g, matches: [read]}, {kind: TCPRoute, name: r}]
sources: [{kind: ServiceAccount, name: web, namespace: front}, {kind: IdentityBinding, group: access.smi-spec.io, name: b}]
`
	want := mesh.TargetInput{
		Created:     time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
		Destination: mesh.Subject{Kind: "ServiceAccount", Namespace: "shop", Name: "orders"}, Port: 8080,
		Rules:   []mesh.TargetRule{{Kind: "HTTPRouteGroup", Name: "g", Matches: []string{"read"}}, {Kind: "TCPRoute", Name: "r"}},
		Sources: []mesh.Subject{{Kind: "ServiceAccount", Namespace: "front", Name: "web"}, {Kind: "IdentityBinding", Name: "b"}},
	}
	spec := "spec:" + strings.ReplaceAll(strings.ReplaceAll(top, "\n", "\n  "), "specs:", "rules:")
	for _, version := range versions(t, smi.AccessGroup, smi.TrafficTarget) {
		want.Ref = refOf(smi.AccessGroup, version, smi.TrafficTarget)
		for _, fields := range []string{top, spec, "spec: {}\n" + top} {
			got, err := smi.DecodeTrafficTarget(named(t, smi.AccessGroup, version, smi.TrafficTarget, fields))
			if err != nil {
				t.Fatalf("%s: %v", fields, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s: %s", version, fields, diff)
			}
		}
	}
}

// What could grant more when it is left out is an error, and grants nothing.
func TestUnreadableTargetsAreErrors(t *testing.T) {
	const good = "kind: ServiceAccount, name: orders"
	for fields, want := range map[string]string{
		"":        "spec.destination is missing",
		"spec: 3": "spec is 3; want an object",
		"spec: {destination: {" + good + "}}\nsources: []":                               "spec and sources are both there, and only one of them can count",
		"destination: orders":                                                            `destination is "orders"; want an object`,
		"spec: {destination: {name: orders}}":                                            "spec.destination.kind is missing",
		"spec: {destination: {kind: ServiceAccount}}":                                    "spec.destination.name is missing",
		"spec: {destination: {" + good + ", namespace: 3}}":                              "spec.destination.namespace is 3",
		"spec: {destination: {" + good + ", port: '80'}}":                                `spec.destination.port is "80"; want a port`,
		"spec: {destination: {" + good + ", port: 0}}":                                   "spec.destination.port is 0",
		"spec: {destination: {" + good + ", port: 80.5}}":                                "spec.destination.port is 80.5",
		"spec: {destination: {" + good + ", ports: [80]}}":                               "spec.destination.ports is not known",
		"spec: {destination: {" + good + ", group: apps}}":                               `spec.destination.group is "apps"`,
		"spec: {destination: {" + good + ", group: access.smi-spec.io}}":                 `spec.destination.group is "access.smi-spec.io", of which no kind "ServiceAccount"`,
		"spec: {destination: {" + good + "}, specs: []}":                                 "spec.specs is not known",
		"spec: {destination: {" + good + "}, rules: {}}":                                 "spec.rules is an object; want a list",
		"spec: {destination: {" + good + "}, rules: [x]}":                                "spec.rules[0] is",
		"spec: {destination: {" + good + "}, rules: [{name: g}]}":                        "spec.rules[0].kind is missing",
		"spec: {destination: {" + good + "}, rules: [{kind: TCPRoute}]}":                 "spec.rules[0].name is missing",
		"spec: {destination: {" + good + "}, rules: [{kind: H, name: g, matches: [3]}]}": "spec.rules[0].matches[0] is 3",
		"spec: {destination: {" + good + "}, rules: [{kind: H, name: g, match: [m]}]}":   "spec.rules[0].match is not known",
		"spec: {destination: {" + good + "}, sources: x}":                                "spec.sources is",
	} {
		got, err := smi.DecodeTrafficTarget(named(t, smi.AccessGroup, "v1alpha3", smi.TrafficTarget, fields))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", fields, err, want)
		}
		if diff := cmp.Diff(mesh.TargetInput{Ref: got.Ref, Created: got.Created}, got); diff != "" {
			t.Errorf("%s: more than the Ref was read: %s", fields, diff)
		}
	}
}

func TestUnreadableSourcesAreLeftOut(t *testing.T) {
	got, err := smi.DecodeTrafficTarget(named(t, smi.AccessGroup, "v1alpha3", smi.TrafficTarget, `
spec:
  destination: {kind: ServiceAccount, name: orders}
  sources: [web, {kind: ServiceAccount}, {kind: ServiceAccount, name: web, labels: {}}, {kind: Pod, group: apps, name: p}, {kind: ServiceAccount, name: good}]`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]mesh.Subject{{Kind: "ServiceAccount", Name: "good"}}, got.Sources); diff != "" {
		t.Error(diff)
	}
	if len(got.Problems) != 4 {
		t.Errorf("got %+v, want four problems", got.Problems)
	}
	for i, p := range got.Problems {
		if p.Object != got.Ref || !strings.HasPrefix(p.Message, "spec.sources["+string(rune('0'+i))+"]") {
			t.Errorf("got %+v", p)
		}
	}
}

func TestBindings(t *testing.T) {
	binding := func(schemes string) (mesh.BindingInput, error) {
		return smi.DecodeIdentityBinding(named(t, smi.AccessGroup, "v1alpha4", smi.IdentityBinding, "spec: {schemes: "+schemes+"}"))
	}
	ref := refOf(smi.AccessGroup, "v1alpha4", smi.IdentityBinding)
	for schemes, want := range map[string]mesh.BindingInput{
		`{podLabelSelector: {matchLabels: {app: web, tier: ""}}}`:            {Ref: ref, PodLabels: map[string]string{"app": "web", "tier": ""}},
		`{serviceAccount: web, spiffeIdentities: [cluster.local/ns/a/sa/b]}`: {Ref: ref, ServiceAccount: "web", SPIFFE: []string{"cluster.local/ns/a/sa/b"}},
	} {
		got, err := binding(schemes)
		if err != nil {
			t.Errorf("%s: %v", schemes, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", schemes, diff)
		}
	}
	for schemes, want := range map[string]string{
		"null":                                  "spec.schemes is missing",
		"{}":                                    "spec.schemes is an object; want at least one scheme",
		"{labels: {}}":                          "spec.schemes.labels is not known",
		"{podLabelSelector: app}":               `spec.schemes.podLabelSelector is "app"; want an object`,
		"{podLabelSelector: {}}":                "spec.schemes.podLabelSelector.matchLabels is missing",
		"{podLabelSelector: {matchLabels: {}}}": "spec.schemes.podLabelSelector.matchLabels is an object; want at least one label",
		"{podLabelSelector: {matchLabels: {a: 1}}}":                        "spec.schemes.podLabelSelector.matchLabels.a is 1",
		"{podLabelSelector: {matchLabels: {a: b}, matchExpressions: [x]}}": "spec.schemes.podLabelSelector.matchExpressions is not known",
		"{podLabelSelector: {matchLabels: {a: b}}, serviceAccount: web}":   "spec.schemes has a podLabelSelector and a serviceAccount",
		"{spiffeIdentities: ['']}":                                         "spec.schemes.spiffeIdentities[0] is empty",
		"{serviceAccount: 3}":                                              "spec.schemes.serviceAccount is 3",
	} {
		got, err := binding(schemes)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", schemes, err, want)
		}
		if diff := cmp.Diff(mesh.BindingInput{Ref: ref}, got); diff != "" {
			t.Errorf("%s: more than the Ref was read: %s", schemes, diff)
		}
	}
}
