package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/dnspatch"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/smi"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// oldestKubernetes is the minor version of Kubernetes 1 from which on Services
// have trafficDistribution, so that calls stay near.
const oldestKubernetes = 31

// checkTimeout bounds a whole check.
const checkTimeout = 30 * time.Second

// checkCommand is `weft check`: is the mesh whole? One line per check.
type checkCommand struct {
	Kubeconfig    string   `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Namespace     string   `description:"Weft's own namespace."`
	Domain        string   `description:"The domain of the mesh names."`
	Aliases       []string `description:"Further domains for the same names, as the controller has them."`
	ClusterDomain string   `description:"The domain of the cluster's Services, where the controller has it; by default what the Corefile says."`
}

func newCheck() runner { return &checkCommand{Namespace: "weft", Domain: "mesh"} }

// finding is one line of the check: what holds or does not, and then what to do.
type finding struct {
	ok         bool
	text, hint string
}

func holds(format string, args ...any) finding {
	return finding{ok: true, text: fmt.Sprintf(format, args...)}
}

func fails(hint, format string, args ...any) finding {
	return finding{text: fmt.Sprintf(format, args...), hint: hint}
}

// Run prints the findings and fails if one does not hold.
func (c *checkCommand) Run(ctx context.Context, out io.Writer) error {
	if err := cmp.Or(
		checkNamespace(c.Namespace), checkDomains("domain", c.Domain), checkDomains("aliases", c.Aliases...),
		checkClusterDomain(c.ClusterDomain),
	); err != nil {
		return err
	}
	reached, err := connect(c.Kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	failed := 0
	for _, f := range c.server(ctx, reached) {
		failed += f.print(out)
	}
	if failed > 0 {
		return errors.New("nothing else can be checked")
	}
	for _, check := range []func(context.Context, *clients) []finding{
		c.definitions, c.controller, c.nodes, c.dns, c.names, c.problems,
	} {
		for _, f := range check(ctx, reached) {
			failed += f.print(out)
		}
	}
	if failed > 0 {
		return fmt.Errorf("checks that do not hold: %d", failed)
	}
	return nil
}

// print writes a finding and returns 1 if it does not hold, else 0.
func (f finding) print(out io.Writer) int {
	if f.ok {
		fmt.Fprintln(out, "✓", f.text)
		return 0
	}
	fmt.Fprintln(out, "✗", f.text)
	if f.hint != "" {
		fmt.Fprintln(out, "  →", f.hint)
	}
	return 1
}

func (c *checkCommand) server(_ context.Context, k *clients) []finding {
	v, err := k.typed.Discovery().ServerVersion()
	if err != nil {
		return []finding{fails("is the kubeconfig the right one, and the API server up?", "the API server does not answer: %v", err)}
	}
	minor, _ := strconv.Atoi(strings.TrimRight(v.Minor, "+"))
	if v.Major == "1" && minor < oldestKubernetes {
		return []finding{fails(fmt.Sprintf("upgrade to Kubernetes 1.%d or newer", oldestKubernetes), "Kubernetes is %s", v.GitVersion)}
	}
	return []finding{holds("Kubernetes is %s", v.GitVersion)}
}

// installHint is the hint where something of Weft is missing.
const installHint = "kubectl apply -k manifests"

// definitions are the findings for the kinds of SMI. All that are served in the
// same versions share a line.
func (c *checkCommand) definitions(ctx context.Context, k *clients) []finding {
	resource := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	var out []finding
	kinds := map[string][]string{}
	for _, kind := range smi.Kinds() {
		crd, err := k.dynamic.Resource(resource).Get(ctx, kind.Plural+"."+kind.Group, metav1.GetOptions{})
		if err != nil {
			out = append(out, missing(err, "the definition of "+kind.Kind))
			continue
		}
		served := servedVersions(crd)
		kinds[served] = append(kinds[served], kind.Kind)
	}
	for _, served := range slices.Backward(slices.Sorted(maps.Keys(kinds))) {
		out = append(out, holds("served in %s: %s", served, strings.Join(kinds[served], ", ")))
	}
	return out
}

// servedVersions are the versions that a definition serves, as text.
func servedVersions(crd *unstructured.Unstructured) string {
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	var served []string
	for _, v := range versions {
		if v, ok := v.(map[string]any); ok && v["served"] == true {
			served = append(served, fmt.Sprint(v["name"]))
		}
	}
	return strings.Join(served, ", ")
}

// missing is the finding for an object that could not be read.
func missing(err error, what string) finding {
	if apierrors.IsNotFound(err) {
		return fails(installHint, "%s is not installed", what)
	}
	return fails("", "%s cannot be read: %v", what, err)
}

func (c *checkCommand) controller(ctx context.Context, k *clients) []finding {
	d, err := k.typed.AppsV1().Deployments(c.Namespace).Get(ctx, "weft-controller", metav1.GetOptions{})
	if err != nil {
		return []finding{missing(err, "the controller")}
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	hint := "kubectl -n " + c.Namespace + " describe deployment weft-controller; kubectl -n " + c.Namespace + " logs -l app.kubernetes.io/name=weft-controller"
	switch {
	case want == 0:
		hint = "kubectl -n " + c.Namespace + " scale deployment weft-controller --replicas 2"
	case d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < want:
		return []finding{fails("wait, or "+hint, "%d of %d controllers are of the newest version", d.Status.UpdatedReplicas, want)}
	}
	if want == 0 || d.Status.ReadyReplicas < want {
		return []finding{fails(hint, "%d of %d controllers are ready; calls go on, changes to Services wait", d.Status.ReadyReplicas, want)}
	}
	return []finding{holds("%d of %d controllers are ready", d.Status.ReadyReplicas, want)}
}

func (c *checkCommand) nodes(ctx context.Context, k *clients) []finding {
	d, err := k.typed.AppsV1().DaemonSets(c.Namespace).Get(ctx, "weft-node", metav1.GetOptions{})
	if err != nil {
		return []finding{missing(err, "the node proxy")}
	}
	s := d.Status
	hint := "kubectl -n " + c.Namespace + " get pods -o wide; kubectl -n " + c.Namespace + " describe daemonset weft-node"
	switch {
	case s.ObservedGeneration < d.Generation || s.UpdatedNumberScheduled < s.DesiredNumberScheduled:
		return []finding{fails("wait, or "+hint, "%d of %d node proxies are of the newest version", s.UpdatedNumberScheduled, s.DesiredNumberScheduled)}
	case s.DesiredNumberScheduled == 0 || s.NumberReady < s.DesiredNumberScheduled:
		return []finding{fails(hint, "%d of %d node proxies are ready; the callers of a node without one use another node's", s.NumberReady, s.DesiredNumberScheduled)}
	}
	return []finding{holds("%d of %d node proxies are ready", s.NumberReady, s.DesiredNumberScheduled)}
}

func (c *checkCommand) dns(ctx context.Context, k *clients) []finding {
	statuses, err := c.patcher(k).Status(ctx)
	if err != nil {
		return []finding{fails("Weft patches CoreDNS; see docs/install.md for others", "the cluster's DNS: %v", err)}
	}
	var out []finding
	for _, s := range statuses {
		where := fmt.Sprintf("%s (ConfigMap %s, key %s)", s.Workload, s.ConfigMap, s.Key)
		switch {
		case s.Err != nil:
			out = append(out, fails("", "%s: %v", where, s.Err))
		case !s.Patched:
			out = append(out, fails("the controller writes it within 10 s; its log says why not: kubectl -n "+c.Namespace+" logs deployment/weft-controller", "%s is not told of .%s names", where, c.Domain))
		case len(s.Shadowed) > 0:
			out = append(out, fails("remove the server blocks of these domains from the Corefile", "%s has server blocks of its own for %s", where, strings.Join(s.Shadowed, ", ")))
		default:
			out = append(out, holds("%s is told of .%s names", where, c.Domain))
		}
	}
	return out
}

func (c *checkCommand) patcher(k *clients) *cluster.Patcher {
	return cluster.New(cluster.Config{Client: k.typed, Names: dnspatch.Config{
		Domains: append([]string{c.Domain}, c.Aliases...), Namespace: c.Namespace, ClusterDomain: c.ClusterDomain,
	}})
}

func (c *checkCommand) names(ctx context.Context, k *clients) []finding {
	shadows, err := k.typed.CoreV1().Services(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: mesh.LabelService})
	if err != nil {
		return []finding{fails("", "Weft's Services cannot be read: %v", err)}
	}
	if len(shadows.Items) == 0 {
		return []finding{fails("is there a Service outside kube-system? The controller's log says more", "no Service has a mesh address")}
	}
	return []finding{holds("Services with a mesh address: %d", len(shadows.Items))}
}

// problems asks the controller that leads, through the API server.
func (c *checkCommand) problems(ctx context.Context, k *clients) []finding {
	problems, err := c.ask(ctx, k)
	if err != nil {
		return []finding{fails("is a controller leading? kubectl -n "+c.Namespace+" get lease weft-controller", "the controller cannot be asked for problems: %v", err)}
	}
	if len(problems) == 0 {
		return []finding{holds("no object has a problem")}
	}
	var out []finding
	for _, p := range problems {
		out = append(out, fails("", "%s: %s: %s", p.Object, p.Reason, p.Message))
	}
	return out
}

func (c *checkCommand) ask(ctx context.Context, k *clients) (problems []mesh.Problem, err error) {
	lease, err := k.typed.CoordinationV1().Leases(c.Namespace).Get(ctx, leaseName, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return nil, errors.New("none leads")
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	content, err := k.typed.CoreV1().RESTClient().Get().Namespace(c.Namespace).Resource("pods").
		Name(pod + ":15020").SubResource("proxy").Suffix("/api/problems").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	return problems, json.Unmarshal(content, &problems)
}
