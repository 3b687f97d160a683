package cluster_test

import (
	"context"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCluster runs the tests against one API server, each in a namespace of
// its own in the place of kube-system.
func TestCluster(t *testing.T) {
	api := testenv.StartAPIServer(t)
	for name, test := range map[string]func(*testing.T, *env){
		"layouts":          testLayouts,
		"override":         testOverride,
		"created":          testCreated,
		"created-shared":   testCreatedAndShared,
		"imports-changed":  testImportsChanged,
		"node-local":       testNodeLocal,
		"restart":          testRestart,
		"daemonset":        testRestartOfDaemonSet,
		"sub-path":         testSubPath,
		"conflict":         testConflict,
		"two-writers":      testTwoWriters,
		"no-dns":           testNoCoreDNS,
		"damaged":          testDamagedGoesOn,
		"forbidden":        testForbidden,
		"documented-role":  testDocumentedRole,
		"run":              testRun,
		"status":           testStatus,
		"other-purposes":   testCoreDNSForOtherPurposes,
		"key-is-missing":   testKeyIsMissing,
		"removed-manually": testRemoveTwice,
	} {
		t.Run(name, func(t *testing.T) { test(t, newEnv(t, api, "system-"+name)) })
	}
}

// env is one cluster DNS to be patched.
type env struct {
	t      *testing.T
	ctx    context.Context
	api    *testenv.APIServer
	client kubernetes.Interface // the administrator's
	system string
}

func newEnv(t *testing.T, api *testenv.APIServer, system string) *env {
	e := &env{t, t.Context(), api, newClient(t, api.Config()), system}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}
	_, err := e.client.CoreV1().Namespaces().Create(e.ctx, namespace, metav1.CreateOptions{})
	e.check(err)
	return e
}

// newClient is a client whose connections end with the test.
func newClient(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.CloseIdleConnections)
	client, err := kubernetes.NewForConfigAndClient(config, http)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (e *env) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// patcher acts as the administrator.
func (e *env) patcher() *cluster.Patcher {
	return cluster.New(cluster.Config{Client: e.client, System: e.system})
}

// patcherFor acts as a user, named after the namespace.
func (e *env) patcherFor(wrap func(http.RoundTripper) http.RoundTripper) *cluster.Patcher {
	config := e.api.ConfigFor(e.system)
	config.QPS = -1
	config.Wrap(wrap)
	return cluster.New(cluster.Config{Client: newClient(e.t, config), System: e.system})
}

func plainly(next http.RoundTripper) http.RoundTripper { return next }

// configMap creates one.
func (e *env) configMap(name string, data map[string]string) {
	e.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	_, err := e.client.CoreV1().ConfigMaps(e.system).Create(e.ctx, cm, metav1.CreateOptions{})
	e.check(err)
}

// edit changes a ConfigMap as a person would.
func (e *env) edit(name string, change func(*corev1.ConfigMap)) {
	e.t.Helper()
	cm := e.get(name)
	change(cm)
	_, err := e.client.CoreV1().ConfigMaps(e.system).Update(e.ctx, cm, metav1.UpdateOptions{})
	e.check(err)
}

func (e *env) get(name string) *corev1.ConfigMap {
	e.t.Helper()
	cm, err := e.client.CoreV1().ConfigMaps(e.system).Get(e.ctx, name, metav1.GetOptions{})
	e.check(err)
	return cm
}

// snapshot is every ConfigMap and pod template of the namespace, as text,
// without what the API server counts by itself.
func (e *env) snapshot() string {
	e.t.Helper()
	maps, err := e.client.CoreV1().ConfigMaps(e.system).List(e.ctx, metav1.ListOptions{})
	e.check(err)
	deployments, err := e.client.AppsV1().Deployments(e.system).List(e.ctx, metav1.ListOptions{})
	e.check(err)
	daemons, err := e.client.AppsV1().DaemonSets(e.system).List(e.ctx, metav1.ListOptions{})
	e.check(err)
	var all []any
	for _, o := range maps.Items {
		o.ManagedFields, o.ResourceVersion = nil, ""
		all = append(all, o)
	}
	for _, o := range deployments.Items {
		all = append(all, o.Name, o.Spec)
	}
	for _, o := range daemons.Items {
		all = append(all, o.Name, o.Spec)
	}
	text, err := yaml.Marshal(all)
	e.check(err)
	return string(text)
}

// podTemplate is a CoreDNS pod: its ConfigMap at /etc/coredns.
func podTemplate(configMap string) corev1.PodTemplateSpec {
	labels := map[string]string{"pod": "dns"}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "coredns", Image: "coredns", Args: []string{"-conf", "/etc/coredns/Corefile"},
				VolumeMounts: []corev1.VolumeMount{{Name: "config-volume", MountPath: "/etc/coredns"}},
			}},
			Volumes: []corev1.Volume{volume("config-volume", configMap, nil)},
		},
	}
}

func volume(name, configMap string, optional *bool) corev1.Volume {
	source := &corev1.ConfigMapVolumeSource{Optional: optional}
	source.Name = configMap
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{ConfigMap: source}}
}

// mountCustom adds coredns-custom as AKS and k3s mount it.
func mountCustom(template *corev1.PodTemplateSpec) {
	yes := true
	c := &template.Spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "custom", MountPath: "/etc/coredns/custom"})
	template.Spec.Volumes = append(template.Spec.Volumes, volume("custom", "coredns-custom", &yes))
}

func (e *env) deployment(name, label string, template corev1.PodTemplateSpec) {
	e.t.Helper()
	key, value, _ := strings.Cut(label, "=")
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{key: value}},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: maps.Clone(template.Labels)}, Template: template},
	}
	_, err := e.client.AppsV1().Deployments(e.system).Create(e.ctx, d, metav1.CreateOptions{})
	e.check(err)
}

func (e *env) daemonSet(name, label string, template corev1.PodTemplateSpec) {
	e.t.Helper()
	key, value, _ := strings.Cut(label, "=")
	d := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{key: value}},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: maps.Clone(template.Labels)}, Template: template},
	}
	_, err := e.client.AppsV1().DaemonSets(e.system).Create(e.ctx, d, metav1.CreateOptions{})
	e.check(err)
}

// kubeadm is the plainest layout, with the Corefile.
func (e *env) kubeadm(corefile string) {
	e.t.Helper()
	e.configMap("coredns", map[string]string{"Corefile": corefile})
	e.deployment("coredns", "k8s-app=kube-dns", podTemplate("coredns"))
}

// file is a Corefile of package dnspatch's tests.
func (e *env) file(name string) string {
	e.t.Helper()
	b, err := os.ReadFile("../testdata/" + name + ".Corefile")
	e.check(err)
	return string(b)
}

// grant gives the environment's user the rules.
func (e *env) grant(rules []rbacv1.PolicyRule) {
	e.t.Helper()
	rbac, name := e.client.RbacV1(), metav1.ObjectMeta{Name: "weft"}
	_, err := rbac.Roles(e.system).Create(e.ctx, &rbacv1.Role{ObjectMeta: name, Rules: rules}, metav1.CreateOptions{})
	e.check(err)
	_, err = rbac.RoleBindings(e.system).Create(e.ctx, &rbacv1.RoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "weft"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: e.system}},
	}, metav1.CreateOptions{})
	e.check(err)
}

// await polls until done, at most ten seconds.
func (e *env) await(what string, done func() bool) {
	e.t.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			e.t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}
