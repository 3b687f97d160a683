package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/console"
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
	Domain        string        `description:"The domain of the mesh names."`
	Aliases       []string      `description:"Further domains for the same names, as the controller has them."`
	ClusterDomain string        `description:"The domain of the cluster's Services, where the controller has it; by default what the Corefile says."`
	Pre           bool          `description:"Check whether Weft can be installed, instead of whether it is whole."`
	Wait          time.Duration `description:"How long to check again until everything holds, showing what is waited for; 0 checks once."`
	Asking
}

func newCheck() runner { return &checkCommand{Domain: "mesh", Asking: defaultAsking()} }

// finding is one line of the check: what holds or does not, and then what to do.
type finding struct {
	ok         bool
	doubt      bool // it holds, but should be looked at
	text, hint string
}

func holds(format string, args ...any) finding {
	return finding{ok: true, text: fmt.Sprintf(format, args...)}
}

func fails(hint, format string, args ...any) finding {
	return finding{text: fmt.Sprintf(format, args...), hint: hint}
}

func doubts(hint, format string, args ...any) finding {
	return finding{ok: true, doubt: true, text: fmt.Sprintf(format, args...), hint: hint}
}

// group is the findings about one thing.
type group struct {
	title string
	check func(context.Context, *clients) []finding
	// decisive is true where nothing after it can be checked unless it holds.
	decisive bool
}

// Run prints the findings and fails if one does not hold.
func (c *checkCommand) Run(ctx context.Context, out io.Writer) error {
	if err := cmp.Or(
		checkNamespace(c.Namespace), checkDomains("domain", c.Domain), checkDomains("aliases", c.Aliases...),
		checkClusterDomain(c.ClusterDomain), checkDuration("wait", c.Wait, 0),
	); err != nil {
		return err
	}
	if c.Pre && c.Admin != "" {
		return usageError("--pre is of a cluster, --admin (WEFT_ADMIN) of a weft local: give one of them")
	}
	p := console.New(out, c.Output)
	var reached *clients
	groups := c.local()
	if c.Admin == "" {
		var err error
		if reached, err = c.connect(); err != nil {
			return err
		}
		groups = c.groups()
	}
	if c.Wait > 0 {
		c.wait(ctx, groups, reached, p)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return show(p, look(ctx, groups, reached))
}

// groups are those of a cluster.
func (c *checkCommand) groups() []group {
	if c.Pre {
		return []group{{"Kubernetes", c.server, true}, {"Rights", c.rights, false}, {"Names", c.corefile, false}, {"What is there", c.before, false}}
	}
	return []group{
		{"Kubernetes", c.server, true}, {"Definitions", c.definitions, false}, {"Controller", c.controller, false},
		{"Node proxies", c.nodes, false}, {"What the proxies see", c.proxies, false}, {"Names", c.naming, false},
		{"NetworkPolicies", c.networkPolicies, false}, {"Objects", c.problems, false},
	}
}

// local are the groups of a weft local.
func (c *checkCommand) local() []group {
	return []group{{"What the proxies see", c.proxies, true}, {"Objects", c.proxyProblems, false}}
}

// naming is all that a mesh name needs.
func (c *checkCommand) naming(ctx context.Context, k *clients) []finding {
	return append(c.dns(ctx, k), c.names(ctx, k)...)
}

// found is a finding as a program reads it.
type found struct {
	Group string `json:"group"`
	OK    bool   `json:"ok"`
	Doubt bool   `json:"doubt,omitempty"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}

// look checks group after group.
func look(ctx context.Context, groups []group, k *clients) (all []found) {
	for _, g := range groups {
		whole := true
		for _, f := range g.check(ctx, k) {
			all = append(all, found{g.title, f.ok, f.doubt, f.text, f.hint})
			whole = whole && f.ok
		}
		if !whole && g.decisive {
			break
		}
	}
	return all
}

// failures counts what does not hold, and returns the first of it.
func failures(all []found) (n int, first string) {
	for _, f := range all {
		if !f.OK {
			if n == 0 {
				first = f.Text
			}
			n++
		}
	}
	return n, first
}

// show writes the findings; it is an error where one does not hold.
func show(p *console.Printer, all []found) error {
	done, err := p.Structured(all)
	title := ""
	for _, f := range all {
		if done {
			break
		}
		if f.Group != title {
			title = f.Group
			p.Printf("%s\n", p.Strong(title))
		}
		mark := p.Good("✓")
		switch {
		case !f.OK:
			mark = p.Bad("✗")
		case f.Doubt:
			mark = p.Doubtful("!")
		}
		p.Printf("  %s %s\n", mark, f.Text)
		if f.Hint != "" {
			p.Printf("    → %s\n", f.Hint)
		}
	}
	if n, _ := failures(all); n > 0 {
		return fmt.Errorf("checks that do not hold: %d", n)
	}
	return err
}

// wait checks until everything holds or the time is over, and shows each time
// what is waited for, once.
func (c *checkCommand) wait(ctx context.Context, groups []group, k *clients, p *console.Printer) {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	waiting := progress{out: p.Out}
	if p.Format == console.FormatJSON || p.Format == console.FormatYAML {
		waiting.out = os.Stderr
	}
	// What the wait ends with is checked, and told, once more.
	_ = waiting.until(ctx, func(ctx context.Context) (string, error) {
		_, first := failures(look(ctx, groups, k))
		return first, nil
	})
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
	return told(problems)
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
