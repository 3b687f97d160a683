package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/dnspatch"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
	"github.com/weft-mesh/weft/pkg/smi"
)

// left lists what an installation makes outside of its namespace, and the Corefile.
func left(t *testing.T, k *clients) []string {
	t.Helper()
	var out []string
	for _, r := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "namespaces"},
		{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	} {
		list, err := k.dynamic.Resource(r).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			if list.Items[i].GetNamespace() != "weft" { // nobody here empties a namespace that is gone
				out = append(out, r.Resource+" "+list.Items[i].GetName())
			}
		}
	}
	config, err := k.typed.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return append(out, config.Data["Corefile"])
}

// install applies install.yaml and patches the Corefile as the controller would.
func install(t *testing.T, k *clients, kubeconfig string) {
	t.Helper()
	command := exec.Command(testenv.Tool(t, "kubectl"), "--kubeconfig", kubeconfig, "apply", "-f", "../../manifests/install.yaml")
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	patcher := cluster.New(cluster.Config{Client: k.typed, Names: dnspatch.Config{Domains: []string{"test"}}})
	if err := patcher.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// uninstall runs the command. No controller runs here: the test itself lets the
// namespace go once it is to be deleted.
func uninstall(t *testing.T, k *clients, kubeconfig string) string {
	t.Helper()
	var out bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), []string{"uninstall", "--kubeconfig", kubeconfig}, &out) }()
	namespaces := k.typed.CoreV1().Namespaces()
	eventually(t, "an end of namespace weft", func() bool {
		ns, err := namespaces.Get(t.Context(), "weft", metav1.GetOptions{})
		if err == nil && ns.Status.Phase == corev1.NamespaceTerminating {
			ns.Spec.Finalizers = nil
			_, err = namespaces.Finalize(t.Context(), ns, metav1.UpdateOptions{})
		}
		return apierrors.IsNotFound(err)
	})
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// Everything is gone and the Corefile as it was, whatever its domains; the
// definition of TrafficSplit stays only while there are TrafficSplits.
func TestUninstallLeavesTheClusterAsItWas(t *testing.T) {
	api := testenv.StartAPIServer(t)
	kubeconfig := api.Kubeconfig("admin", "system:masters")
	k, err := connect(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	createCoreDNS(t, k.typed)
	before := left(t, k)
	install(t, k, kubeconfig)
	if diff := cmp.Diff(before, left(t, k)); strings.Count(diff, "\n+") < 8 {
		t.Fatalf("nothing is installed: %s", diff)
	}
	refusesNamespacesOfOthers(t, k, kubeconfig)
	splits := k.dynamic.Resource(smi.Kinds()[0].Resource("v1alpha4")).Namespace("default")
	split := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": smi.SplitGroup + "/v1alpha4", "kind": smi.TrafficSplit, "metadata": map[string]any{"name": "orders"},
		"spec": map[string]any{"service": "orders", "backends": []any{map[string]any{"service": "orders", "weight": int64(1)}}},
	}}
	eventually(t, "a TrafficSplit", func() bool {
		_, err := splits.Create(t.Context(), split, metav1.CreateOptions{})
		return err == nil
	})
	if said := uninstall(t, k, kubeconfig); !strings.Contains(said, "kept the definition of trafficsplits.split.smi-spec.io: 1 objects are left") {
		t.Errorf("it says\n%s", said)
	}
	if _, err := splits.Get(t.Context(), "orders", metav1.GetOptions{}); err != nil {
		t.Errorf("somebody's TrafficSplit: %v", err)
	}
	if err := splits.Delete(t.Context(), "orders", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	said := uninstall(t, k, kubeconfig)
	eventually(t, "the cluster as before", func() bool { return cmp.Equal(before, left(t, k)) })
	if strings.Contains(said, "kept") || strings.Count(said, "✓ removed") != 6 {
		t.Errorf("it says\n%s", said)
	}
}

// A wrong --namespace must not cost anybody a namespace, nor Weft its rights.
func refusesNamespacesOfOthers(t *testing.T, k *clients, kubeconfig string) {
	t.Helper()
	before := left(t, k)
	for namespace, want := range map[string]string{
		"kube-public": "--namespace=kube-public: that namespace is not Weft's",
		"wefft":       "--namespace=wefft: there is no such namespace, Weft is in weft",
	} {
		err := run(t.Context(), []string{"uninstall", "--kubeconfig", kubeconfig, "--timeout=5s", "--namespace", namespace}, io.Discard)
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want a usage error, %q", err, want)
		}
	}
	if diff := cmp.Diff(before, left(t, k)); diff != "" {
		t.Errorf("something was removed: %s", diff)
	}
}
