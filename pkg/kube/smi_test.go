package kube

import (
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// Each kind that access rests on comes to its own place in the inputs.
func TestRulesOfEveryKind(t *testing.T) {
	want := mesh.NewInputs()
	ref := func(apiVersion, kind, n string) mesh.Ref {
		return mesh.Ref{APIVersion: apiVersion, Kind: kind, Namespace: "shop", Name: n}
	}
	want.RouteGroups[name("g")] = mesh.RouteGroupInput{
		Ref: ref("specs.smi-spec.io/v1alpha2", "HTTPRouteGroup", "g"), Matches: []mesh.RequestMatch{{Name: "a", Path: "/a"}},
	}
	want.TCPRoutes[name("r")] = mesh.PortRouteInput{Ref: ref("specs.smi-spec.io/v1alpha4", "TCPRoute", "r"), Ports: []uint16{80}}
	want.UDPRoutes[name("r")] = mesh.PortRouteInput{Ref: ref("specs.smi-spec.io/v1alpha4", "UDPRoute", "r"), Ports: []uint16{53}}
	want.Targets[name("t")] = mesh.TargetInput{
		Ref: ref("access.smi-spec.io/v1alpha3", "TrafficTarget", "t"), Created: time.Time{},
		Destination: mesh.Subject{Kind: "ServiceAccount", Name: "orders"},
	}
	want.Bindings[name("b")] = mesh.BindingInput{Ref: ref("access.smi-spec.io/v1alpha4", "IdentityBinding", "b"), ServiceAccount: "web"}
	want.Namespaces["shop"] = mesh.NamespaceInput{
		Ref: mesh.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}, Annotations: map[string]string{"weft.mesh/access": "enforce"},
	}
	check(t, want, inputs(t, `
{apiVersion: specs.smi-spec.io/v1alpha2, kind: HTTPRouteGroup, metadata: {name: g, namespace: shop}, matches: [{name: a, pathRegex: /a}]}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: r, namespace: shop}, spec: {matches: {ports: [80]}}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: UDPRoute, metadata: {name: r, namespace: shop}, spec: {matches: {ports: [53]}}}
---
{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {name: t, namespace: shop}, spec: {destination: {kind: ServiceAccount, name: orders}}}
---
{apiVersion: access.smi-spec.io/v1alpha4, kind: IdentityBinding, metadata: {name: b, namespace: shop}, spec: {schemes: {serviceAccount: web}}}
---
# A kind of the same name of another group is another kind.
{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TCPRoute, metadata: {name: other, namespace: shop}, spec: {rules: []}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {weft.mesh/access: enforce, other: x}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: plain, annotations: {other: x}}}
`))
}

// A rule that cannot be read grants nothing, unlike a split, which stays as it
// was read before.
func TestUnreadableRulesGrantNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	route := func(port string) string {
		return "{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: r, namespace: shop}, spec: {matches: {ports: [" + port + "]}}}"
	}
	routes := func(n int) func(*mesh.Inputs) bool {
		return func(in *mesh.Inputs) bool { return len(in.TCPRoutes) == n }
	}
	write(t, path, route("80"))
	w := follow(t, files(path))
	w.until("the route", all(routes(1), noProblem))
	write(t, path, route("eighty"))
	w.until("the problem, and no route", all(routes(0), hasProblem("TCPRoute shop/r", mesh.Malformed)))
	write(t, path, route("81"))
	w.until("the route again", all(routes(1), noProblem))
}

// A kind of one group does not stand in the way of one of another.
func TestGroupsTellKindsApart(t *testing.T) {
	smi := mesh.Ref{APIVersion: "specs.smi-spec.io/v1alpha4", Kind: "TCPRoute", Namespace: "shop", Name: "r"}
	gateway := smi
	gateway.APIVersion = "gateway.networking.k8s.io/v1alpha2"
	newer := smi
	newer.APIVersion = "specs.smi-spec.io/v1alpha3"
	if keyOf(smi) == keyOf(gateway) || keyOf(smi) != keyOf(newer) {
		t.Errorf("got %+v, %+v and %+v", keyOf(smi), keyOf(gateway), keyOf(newer))
	}
}

func TestPodsWithEqualLabelsShareThem(t *testing.T) {
	trimmer := newTrimmer("")
	labels := func(values map[string]string) map[string]string {
		r := trimmer.read(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Labels: values}})
		return r.piece.(podPiece).Labels
	}
	a := labels(map[string]string{"app": copied("orders"), "tier": copied("back")})
	b := labels(map[string]string{"tier": copied("back"), "app": copied("orders")})
	if unsafe.StringData(a["app"]) != unsafe.StringData(b["app"]) || len(trimmer.labels) != 1 {
		t.Errorf("equal labels are held %d times", len(trimmer.labels))
	}
	for _, other := range []map[string]string{{"app": "orders"}, {"app": "orders tier:back"}, {"app": "x", "tier": "back"}} {
		if got := labels(other); len(got) != len(other) || got["app"] != other["app"] {
			t.Errorf("got %v, want %v", got, other)
		}
	}
	if got := labels(nil); got != nil {
		t.Errorf("got %v for a pod without labels", got)
	}
	for i := range 3 * mostInterned {
		labels(map[string]string{"pod": copied("%d", i)})
	}
	if len(trimmer.labels) > mostInterned {
		t.Errorf("got %d sets, want at most %d", len(trimmer.labels), mostInterned)
	}
}

// An object of a version that nobody knows is a problem on it.
func TestUnknownVersionsAreTold(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "x", "namespace": "shop"}}}
	u.SetAPIVersion("access.smi-spec.io/v1beta1")
	u.SetKind("TrafficTarget")
	if r := newTrimmer("").read(u); r.problem == nil || r.piece != nil || r.ref.Name != "x" {
		t.Errorf("got %+v", r)
	}
}

// A CRD that comes between the looks at two versions is watched in the newest
// one all the same.
func TestTheNewestVersionWhenACRDComesAmidTheLooks(t *testing.T) {
	c, _, dynamic := pair()
	kind := smi.Kinds()[0]
	looks := 0
	dynamic.PrependReactor("list", kind.Plural, func(a clienttesting.Action) (bool, runtime.Object, error) {
		looks++
		return looks < 3, nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
	})
	version, err := c.served(t.Context(), kind)
	if err != nil || version != kind.Versions[0] {
		t.Errorf("got %q, %v, want %s", version, err, kind.Versions[0])
	}
}
