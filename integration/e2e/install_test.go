//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
)

// testInstall: kubectl apply -k manifests, and all is Ready within 60 s.
func testInstall(c *cluster) {
	start := time.Now()
	c.kubectl("apply", "-k", "../../manifests")
	c.kubectl("-n", "weft", "rollout", "status", "daemonset/weft-node", "--timeout=60s")
	c.kubectl("-n", "weft", "rollout", "status", "deployment/weft-controller", "--timeout=60s")
	took := time.Since(start)
	c.Logf("all Ready %v after kubectl apply -k began", took)
	if took > time.Minute {
		c.Errorf("Ready after %v; want at most a minute", took)
	}
	// The container runtime's own seccomp profile lets it through.
	log, err := c.try(c.kubectlBin, "-n", "weft", "logs", "-l", "app.kubernetes.io/name=weft-node", "--tail=-1")
	if c.own && (err != nil || strings.Count(log, `"io_submit":true`) != 2) {
		c.Errorf("not both proxies have io_submit: %v\n%s", err, log)
	}
}

// testCheck: a whole mesh passes weft check.
func testCheck(c *cluster) {
	c.eventually(time.Minute, func() error {
		out, err := c.try(c.weft, "check")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		c.Log(out)
		return nil
	})
}

// testUninstall: everything is gone, compared object by object.
func testUninstall(c *cluster, before map[string]string) {
	c.kubectl("delete", "namespace", "bank", "--ignore-not-found")
	c.kubectl("delete", "trafficsplits.split.smi-spec.io", "--all", "-A", "--ignore-not-found")
	c.Log(c.run(c.weft, "uninstall"))
	c.eventually(2*time.Minute, func() error {
		if diff := cmp.Diff(before, c.inventory()); diff != "" {
			return fmt.Errorf("the cluster is not as before (- before, + now):\n%s", diff)
		}
		return nil
	})
	for _, a := range c.callers() {
		if _, err := a.get("http://echo.default", 5); err != nil {
			c.Errorf("the application without Weft: %v", err)
		}
	}
}

// transient kinds come and go by themselves.
var transient = []string{"Event", "Lease", "Pod", "ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints", "Node", "ComponentStatus", "IPAddress", "CSINode"}

// inventory is every object of the cluster that people make, with what they
// wrote in it: not its status, nor what the API server counts.
func (c *cluster) inventory() map[string]string {
	c.Helper()
	found := map[string]string{}
	for _, resource := range c.resources() {
		list, err := dynamic.NewForConfigOrDie(c.config).Resource(resource).List(context.Background(), metav1.ListOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			continue // going away, or not to be listed
		}
		if err != nil {
			c.Fatalf("%s: %v", resource, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if !slices.Contains(transient, o.GetKind()) {
				found[strings.Join([]string{o.GetKind(), o.GetNamespace(), o.GetName()}, " ")] = content(o)
			}
		}
	}
	return found
}

func (c *cluster) resources() (out []schema.GroupVersionResource) {
	c.Helper()
	lists, err := discovery.NewDiscoveryClientForConfigOrDie(c.config).ServerPreferredResources()
	if err != nil {
		c.Log(err) // a group that is going away
	}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			c.Fatal(err)
		}
		for _, r := range list.APIResources {
			if slices.Contains(r.Verbs, "list") {
				out = append(out, version.WithResource(r.Name))
			}
		}
	}
	return out
}

func content(o *unstructured.Unstructured) string {
	o = o.DeepCopy()
	unstructured.RemoveNestedField(o.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	for _, field := range []string{"deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"} {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations", field)
	}
	template := []string{"spec", "template", "metadata", "annotations"}
	unstructured.RemoveNestedField(o.Object, append(template, "kubectl.kubernetes.io/restartedAt")...)
	if left, found, _ := unstructured.NestedMap(o.Object, template...); found && len(left) == 0 {
		unstructured.RemoveNestedField(o.Object, template...)
	}
	out, _ := json.Marshal(o)
	return string(out)
}
