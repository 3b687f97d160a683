package apiserver_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
)

const crd = "../../manifests/crds/trafficsplits.yaml"

// splitClient is a client of one version of TrafficSplit in default.
func splitClient(t *testing.T, api *testenv.APIServer, version string) dynamic.ResourceInterface {
	t.Helper()
	client, err := dynamic.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(smi.Kinds()[0].Resource(version)).Namespace("default")
}

// splitOf is a TrafficSplit with the spec, as a client of the version sends it.
func splitOf(t *testing.T, version, name, spec string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(`{"apiVersion":"split.smi-spec.io/` + version + `","kind":"TrafficSplit","metadata":{"name":"` + name + `"},"spec":` + spec + `}`)); err != nil {
		t.Fatal(err)
	}
	return u
}

// awaitSplits waits until the API server serves TrafficSplits.
func awaitSplits(t *testing.T, api *testenv.APIServer) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := error(nil)
		for _, version := range smi.Kinds()[0].Versions {
			if _, err := splitClient(t, api, version).List(t.Context(), metav1.ListOptions{}); err != nil {
				missing = err
			}
		}
		if missing == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal(missing)
		}
	}
}

// TestTrafficSplitsAreKeptAsWritten has each writer write as it does and read
// back what it wrote, in its own version and in every other.
func TestTrafficSplitsAreKeptAsWritten(t *testing.T) {
	api := testenv.StartAPIServer(t)
	kubectl(t, api, "apply", "-f", crd)
	awaitSplits(t, api)
	for _, w := range []writer{
		{"flagger-linkerd", "v1alpha1",
			`{"service":"podinfo","backends":[{"service":"podinfo-canary","weight":"0"},{"service":"podinfo-primary","weight":"100"}]}`,
			`{"service":"podinfo","backends":[{"service":"podinfo-canary","weight":"10"},{"service":"podinfo-primary","weight":"90"}]}`},
		{"flagger-osm", "v1alpha2",
			`{"service":"podinfo","backends":[{"service":"podinfo-canary","weight":0},{"service":"podinfo-primary","weight":100}]}`,
			`{"service":"podinfo","backends":[{"service":"podinfo-canary","weight":50},{"service":"podinfo-primary","weight":50}]}`},
		{"flagger-smi", "v1alpha3",
			`{"service":"app.example.com","backends":[{"service":"podinfo-canary","weight":0},{"service":"podinfo-primary","weight":100}]}`,
			`{"service":"app.example.com","backends":[{"service":"podinfo-canary","weight":100},{"service":"podinfo-primary","weight":0}]}`},
		{"argo-default", "v1alpha1",
			`{"service":"stable","backends":[{"service":"canary","weight":"5"},{"service":"stable","weight":"95"}]}`,
			`{"service":"stable","backends":[{"service":"canary","weight":"1"},{"service":"experiment","weight":"4"},{"service":"stable","weight":"95"}]}`},
		{"argo-v1alpha2", "v1alpha2",
			`{"service":"root","backends":[{"service":"canary","weight":5},{"service":"stable","weight":95}]}`,
			`{"service":"root","backends":[{"service":"canary","weight":6},{"service":"stable","weight":94}]}`},
		{"argo-v1alpha3", "v1alpha3",
			`{"service":"root","backends":[{"service":"canary","weight":5},{"service":"stable","weight":95}]}`,
			`{"service":"root","backends":[{"service":"canary","weight":7},{"service":"stable","weight":93}]}`},
		{"by-hand", "v1alpha4",
			`{"service":"root","backends":[{"service":"a","weight":0.5},{"service":"b","weight":"500m","note":{"kept":true}}],"matches":[{"kind":"HTTPRouteGroup","name":"beta","apiGroup":"specs.smi-spec.io"}],"kept":[1,"x"]}`,
			`{"service":"root","backends":[{"service":"a","weight":1}],"matches":[]}`},
	} {
		t.Run(w.name, func(t *testing.T) { w.writeAndRead(t, api) })
	}
	if got := kubectl(t, api, "get", "ts", "argo-default"); !strings.Contains(got, "SERVICE") || !strings.Contains(got, "stable") {
		t.Errorf("kubectl get ts: %s", got)
	}
}

// writer is a client of one version, and the specs that it writes in turn.
type writer struct{ name, version, first, second string }

// writeAndRead creates an object, and replaces it as Flagger does (PUT) and as
// Argo Rollouts does (merge PATCH).
func (w writer) writeAndRead(t *testing.T, api *testenv.APIServer) {
	client, ctx := splitClient(t, api, w.version), t.Context()
	stored, err := client.Create(ctx, splitOf(t, w.version, w.name, w.first), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	readBack(t, api, w.name, w.first)
	stored.Object["spec"] = splitOf(t, w.version, w.name, w.second).Object["spec"]
	if _, err := client.Update(ctx, stored, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	readBack(t, api, w.name, w.second)
	if _, err := client.Patch(ctx, w.name, types.MergePatchType, []byte(`{"spec":`+w.first+`}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	readBack(t, api, w.name, w.first)
}

// readBack reads the object in every version; all of them decode.
func readBack(t *testing.T, api *testenv.APIServer, name, spec string) {
	t.Helper()
	var want any
	if err := json.Unmarshal([]byte(spec), &want); err != nil {
		t.Fatal(err)
	}
	for _, version := range smi.Kinds()[0].Versions {
		found, err := splitClient(t, api, version).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(found.Object["spec"])
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in %s: %s", version, diff)
		}
		if _, err := smi.DecodeTrafficSplit(found); err != nil {
			t.Errorf("in %s: %v", version, err)
		}
	}
}

// TestTrafficSplitsComeAndGo installs and removes the CRD under a running
// source. Bad objects blind nobody.
func TestTrafficSplitsComeAndGo(t *testing.T) {
	api := testenv.StartAPIServer(t)
	p := watchCluster(t, api)
	p.until("the first picture, without the CRD", services())
	p.watches(true)
	kubectl(t, api, "apply", "-f", crd)
	awaitSplits(t, api)
	client, ctx := splitClient(t, api, "v1alpha2"), t.Context()
	good := `{"service":"a","backends":[{"service":"b","weight":1}]}`
	bad := `{"service":"a","backends":[{"service":"b","weight":[]}]}`
	for name, spec := range map[string]string{"good": good, "bad": bad} {
		if _, err := client.Create(ctx, splitOf(t, "v1alpha2", name, spec), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	p.until("the good split and the problem of the bad one", func(in *mesh.Inputs) bool {
		for ref, problem := range in.Problems {
			split := in.Splits[mesh.Name{Namespace: "default", Name: "good"}]
			return ref.Name == "bad" && ref.UID != "" && ref.APIVersion == "split.smi-spec.io/v1alpha4" &&
				strings.Contains(problem.Message, "spec.backends[0].weight") && len(in.Splits) == 1 && split.Root == "a"
		}
		return false
	})
	if _, err := client.Create(ctx, splitOf(t, "v1alpha2", "empty", `{"service":"a","backends":[{"service":"b"}]}`), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a backend without a weight: got %v, want it refused", err)
	}
	kubectl(t, api, "delete", "-f", crd)
	p.until("nothing, without the CRD", func(in *mesh.Inputs) bool { return len(in.Splits) == 0 && len(in.Problems) == 0 })
	kubectl(t, api, "apply", "-f", crd)
	awaitSplits(t, api)
	if _, err := client.Create(ctx, splitOf(t, "v1alpha2", "again", good), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.until("the split, with the CRD", func(in *mesh.Inputs) bool { return len(in.Splits) == 1 })
}
