package cluster_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
)

const restartedAt = "weft.mesh/restarted-at"

// restarted is the annotation of the Deployment coredns.
func (e *env) restarted() string {
	e.t.Helper()
	d, err := e.client.AppsV1().Deployments(e.system).Get(e.ctx, "coredns", metav1.GetOptions{})
	e.check(err)
	return d.Spec.Template.Annotations[restartedAt]
}

// testRestart: without the plugin reload, once for each change by Weft.
func testRestart(t *testing.T, e *env) {
	e.kubeadm(plain)
	p, first := e.patcher(), ""
	e.roundTrip(p, func() { first = e.restarted() })
	if first == "" {
		t.Fatal("not restarted")
	}
	e.check(p.Ensure(e.ctx))
	second := e.restarted()
	e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["other"] = "x" })
	e.check(p.Ensure(e.ctx))
	if got := e.restarted(); got != second || second == first {
		t.Errorf("restarted at %q, %q, %q", first, second, got)
	}
	e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["Corefile"], cm.Annotations = plain, nil })
	e.check(p.Ensure(e.ctx))
	third := e.restarted()
	if third <= second {
		t.Errorf("not restarted after it was overwritten: %q, %q", second, third)
	}
	// A writer that died between the ConfigMap and the restart.
	d, err := e.client.AppsV1().Deployments(e.system).Get(e.ctx, "coredns", metav1.GetOptions{})
	e.check(err)
	d.Spec.Template.Annotations[restartedAt] = second
	_, err = e.client.AppsV1().Deployments(e.system).Update(e.ctx, d, metav1.UpdateOptions{})
	e.check(err)
	e.check(p.Ensure(e.ctx))
	if got := e.restarted(); got != third {
		t.Errorf("the lost restart is not made up for: %q, want %q", got, third)
	}
}

func testRestartOfDaemonSet(t *testing.T, e *env) {
	e.configMap("coredns", map[string]string{"Corefile": plain})
	e.daemonSet("coredns", "k8s-app=kube-dns", podTemplate("coredns"))
	e.roundTrip(e.patcher(), func() {
		d, err := e.client.AppsV1().DaemonSets(e.system).Get(e.ctx, "coredns", metav1.GetOptions{})
		e.check(err)
		if d.Spec.Template.Annotations[restartedAt] == "" {
			t.Error("not restarted")
		}
	})
}

// testSubPath: a file that is mounted alone never changes in a running pod.
func testSubPath(t *testing.T, e *env) {
	template := podTemplate("coredns")
	mount := &template.Spec.Containers[0].VolumeMounts[0]
	mount.MountPath, mount.SubPath = "/etc/coredns/Corefile", "Corefile"
	e.configMap("coredns", map[string]string{"Corefile": e.file("kubeadm")})
	e.deployment("coredns", "k8s-app=kube-dns", template)
	e.roundTrip(e.patcher(), func() {
		e.wantRule("coredns", "Corefile", true)
		if e.restarted() == "" {
			t.Error("not restarted")
		}
	})
}

// roundTripper is a function as one.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// testConflict has somebody write just before the patcher does.
func testConflict(t *testing.T, e *env) {
	e.kubeadm(plain)
	e.grant([]rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}})
	var once sync.Once
	conflicts := 0
	p := e.patcherFor(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				once.Do(func() { e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["other"] = "x" }) })
			}
			response, err := next.RoundTrip(r)
			if err == nil && response.StatusCode == http.StatusConflict {
				conflicts++
			}
			return response, err
		})
	})
	e.check(p.Ensure(e.ctx))
	e.wantRule("coredns", "Corefile", true)
	if conflicts != 1 || e.get("coredns").Data["other"] != "x" {
		t.Errorf("%d conflicts, %v", conflicts, e.get("coredns").Data)
	}
}

// testTwoWriters: two patchers that both create and write at once.
func testTwoWriters(t *testing.T, e *env) {
	e.k3s(e.file("k3s"))
	errs := make(chan error)
	for range 4 {
		go func() { errs <- e.patcher().Ensure(e.ctx) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	e.wantRule("coredns-custom", "weft.override", true)
}

// testForbidden: the error is the rule to add. Adding what it says, one after
// the other, ends in success.
func testForbidden(t *testing.T, e *env) {
	e.kubeadm(plain)
	p := e.patcherFor(plainly)
	var rules []rbacv1.PolicyRule
	e.grant(rules)
	asked := map[string]bool{}
	e.await("rights enough", func() bool {
		var forbidden *cluster.ForbiddenError
		err := p.Ensure(e.ctx)
		if err == nil {
			return true
		}
		if !errors.As(err, &forbidden) {
			t.Fatalf("got %v", err)
		}
		if key := strings.Join([]string{forbidden.Verb, forbidden.Resource, forbidden.Name}, " "); !asked[key] {
			asked[key] = true
			rules = append(rules, ruleIn(t, forbidden.Error()))
			e.updateRole(rules)
		}
		return false
	})
	want := map[string]bool{
		"list deployments ": true, "list daemonsets ": true,
		"get configmaps coredns": true, "get configmaps node-local-dns": true,
		"update configmaps coredns": true, "patch deployments coredns": true,
	}
	if d := cmp.Diff(want, asked); d != "" {
		t.Errorf("rights (-want +asked)\n%s", d)
	}
	e.wantRule("coredns", "Corefile", true)
}

// ruleIn parses the rule at the end of the message.
func ruleIn(t *testing.T, message string) rbacv1.PolicyRule {
	t.Helper()
	var rule rbacv1.PolicyRule
	if err := yaml.UnmarshalStrict([]byte(message[strings.Index(message, "{"):]), &rule); err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	return rule
}

func (e *env) updateRole(rules []rbacv1.PolicyRule) {
	e.t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "weft"}, Rules: rules}
	_, err := e.client.RbacV1().Roles(e.system).Update(e.ctx, role, metav1.UpdateOptions{})
	e.check(err)
}

// testDocumentedRole: the rules in the package's documentation are enough for
// all that the package does.
func testDocumentedRole(t *testing.T, e *env) {
	rules := documentedRules(t)
	e.grant(rules)
	p := e.patcherFor(plainly)
	e.await("the Role to be in force", func() bool { return errors.Is(p.Ensure(e.ctx), cluster.ErrNoCoreDNS) })
	template := podTemplate("coredns")
	mountCustom(&template)
	e.configMap("coredns", map[string]string{"Corefile": ".:53 {\n    kubernetes cluster.local\n    import custom/*.override\n}\n"})
	e.deployment("coredns", "k8s-app=kube-dns", template)
	e.configMap("node-local-dns", map[string]string{"Corefile": strings.ReplaceAll(e.file("nodelocal"), "reload", "loop")})
	e.daemonSet("node-local-dns", "k8s-app=node-local-dns", podTemplate("node-local-dns"))
	e.roundTrip(p, func() { e.wantRule("coredns-custom", "weft.override", true) })
	e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["Corefile"] = plain })
	e.roundTrip(p, func() { e.wantRule("coredns", "Corefile", true) })
}

// documentedRules reads them from the package comment.
func documentedRules(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(source), "//\trules:\n")
	text, _, _ = strings.Cut(text, "package cluster")
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte("rules:\n"+strings.ReplaceAll(text, "//\t", "")), &role); err != nil {
		t.Fatal(err)
	}
	if len(role.Rules) == 0 {
		t.Fatal("no rules in the package comment")
	}
	return role.Rules
}
