package cluster_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
)

// k3s is a CoreDNS that imports from coredns-custom, which need not exist.
func (e *env) k3s(corefile string) {
	e.t.Helper()
	template := podTemplate("coredns")
	mountCustom(&template)
	e.configMap("coredns", map[string]string{"Corefile": corefile})
	e.deployment("coredns", "k8s-app=kube-dns", template)
}

// exists tells whether there is a ConfigMap.
func (e *env) exists(name string) bool {
	e.t.Helper()
	_, err := e.client.CoreV1().ConfigMaps(e.system).Get(e.ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		e.check(err)
	}
	return err == nil
}

// testOverride: the platform's Corefile stays as it is, the user's keys too.
func testOverride(t *testing.T, e *env) {
	for name, corefile := range map[string]string{
		"k3s": e.file("k3s"),
		"aks": ".:53 {\n    kubernetes cluster.local\n    import custom/*.override\n    reload\n}\nimport custom/*.server\n",
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, e.api, "override-"+name)
			e.k3s(corefile)
			e.configMap("coredns-custom", map[string]string{"user.override": "log"})
			e.roundTrip(e.patcher(), func() {
				e.wantRule("coredns-custom", "weft.override", true)
				e.wantRule("coredns", "Corefile", false)
				e.wantStatus(cluster.Status{
					Workload: "deployments coredns", ConfigMap: "coredns-custom", Key: "weft.override", Patched: true, Reload: true,
				})
			})
		})
	}
}

// wantStatus checks the only Status.
func (e *env) wantStatus(want cluster.Status) {
	e.t.Helper()
	got, err := e.patcher().Status(e.ctx)
	e.check(err)
	if d := cmp.Diff([]cluster.Status{want}, got); d != "" {
		e.t.Errorf("status (-want +got)\n%s", d)
	}
}

// testCreated: a ConfigMap that Weft created goes with it.
func testCreated(t *testing.T, e *env) {
	e.k3s(e.file("k3s"))
	e.wantStatus(cluster.Status{Workload: "deployments coredns", ConfigMap: "coredns-custom", Key: "weft.override", Reload: true})
	e.roundTrip(e.patcher(), func() { e.wantRule("coredns-custom", "weft.override", true) })
	if e.exists("coredns-custom") {
		t.Error("coredns-custom is still there")
	}
}

// testCreatedAndShared: what others put into it since stays, and is theirs.
func testCreatedAndShared(t *testing.T, e *env) {
	e.k3s(e.file("k3s"))
	p := e.patcher()
	e.check(p.Ensure(e.ctx))
	e.edit("coredns-custom", func(cm *corev1.ConfigMap) { cm.Data["user.override"] = "log" })
	e.check(p.Remove(e.ctx))
	cm := e.get("coredns-custom")
	if d := cmp.Diff(map[string]string{"user.override": "log"}, cm.Data); d != "" || len(cm.Labels) > 0 {
		t.Errorf("labels %v, data (-want +got)\n%s", cm.Labels, d)
	}
}

// testImportsChanged: the block moves when the Corefile's import comes or goes.
func testImportsChanged(t *testing.T, e *env) {
	e.k3s(e.file("kubeadm"))
	p := e.patcher()
	for range 2 {
		e.check(p.Ensure(e.ctx))
		e.wantRule("coredns", "Corefile", true)
		e.edit("coredns", func(cm *corev1.ConfigMap) {
			cm.Data["Corefile"] = ".:53 {\n    import custom/*.override\n" + cm.Data["Corefile"][len(".:53 {\n"):]
		})
		e.check(p.Ensure(e.ctx))
		e.wantRule("coredns", "Corefile", false)
		e.wantRule("coredns-custom", "weft.override", true)
		e.edit("coredns", func(cm *corev1.ConfigMap) { cm.Data["Corefile"] = e.file("kubeadm") })
	}
	e.check(p.Remove(e.ctx))
	if e.exists("coredns-custom") || e.get("coredns").Data["Corefile"] != e.file("kubeadm") {
		t.Errorf("Remove leaves\n%s", e.snapshot())
	}
}
