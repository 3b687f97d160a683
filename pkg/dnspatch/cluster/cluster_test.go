package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/pkg/dnspatch"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
)

const (
	rule  = "rewrite name suffix .mesh .weft.svc.cluster.local answer auto"
	plain = ".:53 {\n    kubernetes cluster.local\n}" // no reload
)

// roundTrip ensures, looks, ensures again and removes.
func (e *env) roundTrip(p *cluster.Patcher, look func()) {
	e.t.Helper()
	before := e.snapshot()
	e.check(p.Ensure(e.ctx))
	look()
	once := e.snapshot()
	e.check(p.Ensure(e.ctx))
	if d := cmp.Diff(once, e.snapshot()); d != "" {
		e.t.Errorf("a second Ensure writes (-once +twice)\n%s", d)
	}
	e.check(p.Remove(e.ctx))
	if d := cmp.Diff(before, e.snapshot()); d != "" {
		e.t.Errorf("Remove leaves something (-before +after)\n%s", d)
	}
}

// wantRule checks that a key holds the rule once, or not at all.
func (e *env) wantRule(configMap, key string, want bool) {
	e.t.Helper()
	text := e.get(configMap).Data[key]
	if n := strings.Count(text, rule); n > 1 || (n == 1) != want {
		e.t.Errorf("%s %s holds the rule %d times:\n%s", configMap, key, n, text)
	}
}

// testLayouts finds CoreDNS whatever it and its ConfigMap are called.
func testLayouts(t *testing.T, e *env) {
	renamed := podTemplate("my-dns-config")
	renamed.Spec.Volumes[0].ConfigMap.Items = []corev1.KeyToPath{{Key: "my.conf", Path: "Corefile"}}
	inline := podTemplate("coredns")
	inline.Spec.Containers[0].Args = []string{"-dns.port=53", "--conf=/etc/coredns/sub/../Corefile"}
	working := podTemplate("coredns")
	working.Spec.Containers[0].Args, working.Spec.Containers[0].WorkingDir = nil, "/etc/coredns"
	for name, tc := range map[string]struct {
		workload, label string
		template        corev1.PodTemplateSpec
		daemon          bool
		configMap, key  string
	}{
		"kubeadm":  {"coredns", "k8s-app=kube-dns", podTemplate("coredns"), false, "coredns", "Corefile"},
		"rke2":     {"rke2-coredns-rke2-coredns", "k8s-app=kube-dns", podTemplate("rke2-coredns-rke2-coredns"), false, "rke2-coredns-rke2-coredns", "Corefile"},
		"helm":     {"dns-coredns", "app.kubernetes.io/name=coredns", podTemplate("dns-coredns"), false, "dns-coredns", "Corefile"},
		"old name": {"x", "kubernetes.io/name=CoreDNS", podTemplate("coredns"), false, "coredns", "Corefile"},
		"daemons":  {"coredns", "k8s-app=kube-dns", podTemplate("coredns"), true, "coredns", "Corefile"},
		"renamed":  {"my-dns", "k8s-app=kube-dns", renamed, false, "my-dns-config", "my.conf"},
		"inline":   {"coredns", "k8s-app=kube-dns", inline, false, "coredns", "Corefile"},
		"default":  {"coredns", "k8s-app=kube-dns", working, false, "coredns", "Corefile"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, e.api, "layout-"+strings.ReplaceAll(name, " ", "-"))
			e.configMap(tc.configMap, map[string]string{tc.key: e.file("kubeadm"), "other": "x"})
			if tc.daemon {
				e.daemonSet(tc.workload, tc.label, tc.template)
			} else {
				e.deployment(tc.workload, tc.label, tc.template)
			}
			e.roundTrip(e.patcher(), func() { e.wantRule(tc.configMap, tc.key, true) })
		})
	}
}

// testNodeLocal adds a server block to node-local-dns.
func testNodeLocal(t *testing.T, e *env) {
	e.kubeadm(e.file("kubeadm"))
	e.configMap("node-local-dns", map[string]string{"Corefile": e.file("nodelocal")})
	e.daemonSet("node-local-dns", "k8s-app=node-local-dns", podTemplate("node-local-dns"))
	e.roundTrip(e.patcher(), func() {
		e.wantRule("coredns", "Corefile", true)
		text := e.get("node-local-dns").Data["Corefile"]
		if !strings.HasPrefix(text, e.file("nodelocal")) || !strings.Contains(text, "\nmesh:53 {\n") {
			t.Errorf("node-local-dns has\n%s", text)
		}
	})
}

// testNoCoreDNS: an error for Ensure, and node-local-dns is patched all the
// same; Remove has nothing to complain about.
func testNoCoreDNS(t *testing.T, e *env) {
	kubeDNS := podTemplate("kube-dns")
	kubeDNS.Spec.Containers[0].Args = nil
	e.deployment("kube-dns", "k8s-app=kube-dns", kubeDNS)
	e.configMap("node-local-dns", map[string]string{"Corefile": e.file("nodelocal")})
	before, p := e.snapshot(), e.patcher()
	if err := p.Ensure(e.ctx); !errors.Is(err, cluster.ErrNoCoreDNS) {
		t.Errorf("Ensure: %v", err)
	}
	if !strings.Contains(e.get("node-local-dns").Data["Corefile"], "\nmesh:53 {\n") {
		t.Error("node-local-dns is not patched")
	}
	e.check(p.Remove(e.ctx))
	if d := cmp.Diff(before, e.snapshot()); d != "" {
		t.Errorf("(-before +after)\n%s", d)
	}
}

// testDamagedGoesOn: a Corefile that cannot be edited is told and left alone,
// the other place is done.
func testDamagedGoesOn(t *testing.T, e *env) {
	damaged := plain + "\n# weft begin\n"
	e.kubeadm(damaged)
	e.configMap("node-local-dns", map[string]string{"Corefile": e.file("nodelocal")})
	p := e.patcher()
	if err := p.Ensure(e.ctx); !errors.Is(err, dnspatch.ErrMarks) || !strings.Contains(err.Error(), "key Corefile of ConfigMap coredns:") {
		t.Errorf("Ensure: %v", err)
	}
	if !strings.Contains(e.get("node-local-dns").Data["Corefile"], "\nmesh:53 {\n") {
		t.Error("node-local-dns is not patched")
	}
	if err := p.Remove(e.ctx); !errors.Is(err, dnspatch.ErrMarks) {
		t.Errorf("Remove: %v", err)
	}
	if got := e.get("coredns").Data["Corefile"]; got != damaged {
		t.Errorf("the Corefile became %q", got)
	}
	if got := e.get("node-local-dns").Data["Corefile"]; got != e.file("nodelocal") {
		t.Errorf("node-local-dns keeps %q", got)
	}
}

// testCoreDNSForOtherPurposes: the cluster's own decides.
func testCoreDNSForOtherPurposes(t *testing.T, e *env) {
	e.kubeadm(e.file("kubeadm"))
	e.configMap("other", map[string]string{"Corefile": ".:53 {\n    whoami\n}\n"})
	e.deployment("other", "app.kubernetes.io/name=coredns", podTemplate("other"))
	e.roundTrip(e.patcher(), func() { e.wantRule("coredns", "Corefile", true) })
}

func testKeyIsMissing(t *testing.T, e *env) {
	e.configMap("coredns", map[string]string{"other": "x"})
	e.deployment("coredns", "k8s-app=kube-dns", podTemplate("coredns"))
	if err := e.patcher().Ensure(e.ctx); err == nil || !strings.Contains(err.Error(), "ConfigMap coredns in "+e.system+" has no key Corefile") {
		t.Errorf("got %v", err)
	}
}

// testRemoveTwice: nothing there to remove is no error and no write.
func testRemoveTwice(t *testing.T, e *env) {
	e.kubeadm(plain)
	version := e.get("coredns").ResourceVersion
	e.check(e.patcher().Remove(e.ctx))
	if got := e.get("coredns").ResourceVersion; got != version {
		t.Error("Remove writes")
	}
	e.check(e.client.CoreV1().ConfigMaps(e.system).Delete(e.ctx, "coredns", metav1.DeleteOptions{}))
	if err := e.patcher().Ensure(e.ctx); err == nil {
		t.Error("no error without the ConfigMap")
	}
}

// testRun: overwritten, and back; the beginning is told, a failure once and so is its end.
func testRun(t *testing.T, e *env) {
	e.kubeadm(e.file("kubeadm"))
	reports := make(chan error, 100)
	p := cluster.New(cluster.Config{Client: e.client, System: e.system, Interval: 1e6, Report: func(err error) { reports <- err }})
	ctx, stop := context.WithCancel(e.ctx)
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	patched := func() bool { return strings.Contains(e.get("coredns").Data["Corefile"], rule) }
	e.await("the first patch", patched)
	if err := <-reports; err != nil {
		t.Errorf("reported %v of the first patch", err)
	}
	e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["Corefile"] = e.file("k3s") })
	e.await("the patch of the overwritten Corefile", patched)
	e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["Corefile"] = "{" })
	var syntax *dnspatch.SyntaxError
	if err := <-reports; !errors.As(err, &syntax) {
		t.Errorf("reported %v", err)
	}
	e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["Corefile"] = plain })
	if err := <-reports; err != nil {
		t.Errorf("reported %v after the repair", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run gives %v", err)
	}
	if len(reports) > 0 {
		t.Errorf("reported more: %v", <-reports)
	}
}

func testStatus(t *testing.T, e *env) {
	mesh := "mesh:53 {\n    forward . 192.0.2.1\n}\n"
	e.kubeadm(plain + "\n" + mesh)
	e.configMap("node-local-dns", map[string]string{"Corefile": ".:53 {\n    reload\n}\n"})
	want := []cluster.Status{
		{Workload: "deployments coredns", ConfigMap: "coredns", Key: "Corefile", Shadowed: []string{"mesh"}},
		{ConfigMap: "node-local-dns", Key: "Corefile", Reload: true, Err: dnspatch.ErrNoForwardBlock},
	}
	same := cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) || errors.Is(b, a) })
	for _, patched := range []bool{false, true} {
		want[0].Patched = patched
		got, err := e.patcher().Status(e.ctx)
		e.check(err)
		if d := cmp.Diff(want, got, same); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		if err := e.patcher().Ensure(e.ctx); !errors.Is(err, dnspatch.ErrNoForwardBlock) {
			t.Errorf("Ensure: %v", err)
		}
	}
}
