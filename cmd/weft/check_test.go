package main

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/weft-mesh/weft/pkg/dnspatch"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// dnsOf is a cluster whose CoreDNS reads a Corefile.
func dnsOf(text string) *clients {
	return &clients{typed: fake.NewClientset(
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"},
			Data:       map[string]string{"Corefile": text},
		},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns", Labels: map[string]string{"k8s-app": "kube-dns"}},
			Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Args:         []string{"-conf", "/etc/coredns/Corefile"},
					VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns"}},
				}},
				Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: "coredns"},
				}}}},
			}}},
		},
	)}
}

// The check must be told what the controller was told, or it calls a whole DNS
// broken.
func TestCheckOfDNSFollowsTheControllersOptions(t *testing.T) {
	k := dnsOf(corefile)
	patcher := cluster.New(cluster.Config{Client: k.typed, Names: dnspatch.Config{
		Domains: []string{"test", "traefik.test"}, ClusterDomain: "west.example",
	}})
	if err := patcher.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		check checkCommand
		want  string
	}{
		{checkCommand{Domain: "test", Aliases: []string{"traefik.test"}, ClusterDomain: "west.example"}, "is told of .test names"},
		{checkCommand{Domain: "test", Aliases: []string{"traefik.test"}}, "is not told of .test names"},
		{checkCommand{Domain: "mesh"}, "is not told of .mesh names"},
	} {
		test.check.Namespace = "weft"
		found := test.check.dns(t.Context(), k)
		if len(found) != 1 || !strings.HasSuffix(found[0].text, test.want) || found[0].ok == strings.Contains(test.want, "not") {
			t.Errorf("%+v: %+v; want …%q", test.check, found, test.want)
		}
	}
}

// Each part says what does not hold and what to do about it.
func TestCheckSaysWhatIsMissing(t *testing.T) {
	c := &checkCommand{Asking: Asking{Namespace: "weft"}, Domain: "mesh"}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "weft", Name: name, Generation: 2}
	}
	controller := func(want int32, observed int64, updated, ready int32) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta("weft-controller"), Spec: appsv1.DeploymentSpec{Replicas: &want}, Status: appsv1.DeploymentStatus{
			ObservedGeneration: observed, UpdatedReplicas: updated, ReadyReplicas: ready,
		}}
	}
	set := func(observed int64, updated, ready int32) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{ObjectMeta: meta("weft-node"), Status: appsv1.DaemonSetStatus{
			ObservedGeneration: observed, DesiredNumberScheduled: 3, UpdatedNumberScheduled: updated, NumberReady: ready,
		}}
	}
	shadow := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "weft", Name: "orders-x", Labels: map[string]string{mesh.LabelService: "orders"}}}
	for _, test := range []struct {
		check   func(context.Context, *clients) []finding
		objects []runtime.Object
		ok      bool
		want    string
	}{
		{c.controller, nil, false, "the controller is not installed"},
		{c.controller, []runtime.Object{controller(2, 2, 2, 1)}, false, "1 of 2 controllers are ready"},
		{c.controller, []runtime.Object{controller(0, 2, 0, 0)}, false, "0 of 0 controllers are ready"},
		{c.controller, []runtime.Object{controller(2, 2, 1, 2)}, false, "1 of 2 controllers are of the newest version"},
		{c.controller, []runtime.Object{controller(2, 1, 2, 2)}, false, "of the newest version"},
		{c.controller, []runtime.Object{controller(2, 2, 2, 2)}, true, "2 of 2 controllers are ready"},
		{c.nodes, nil, false, "the node proxy is not installed"},
		{c.nodes, []runtime.Object{set(1, 3, 3)}, false, "of the newest version"},
		{c.nodes, []runtime.Object{set(2, 2, 3)}, false, "2 of 3 node proxies are of the newest version"},
		{c.nodes, []runtime.Object{set(2, 3, 2)}, false, "2 of 3 node proxies are ready"},
		{c.nodes, []runtime.Object{set(2, 3, 3)}, true, "3 of 3 node proxies are ready"},
		{c.names, nil, false, "no Service has a mesh address"},
		{c.names, []runtime.Object{shadow}, true, "Services with a mesh address: 1"},
		{c.dns, nil, false, "no CoreDNS found"},
		{c.problems, nil, false, "the controller cannot be asked for problems"},
	} {
		found := test.check(t.Context(), &clients{typed: fake.NewClientset(test.objects...)})
		if len(found) != 1 || found[0].ok != test.ok || !strings.Contains(found[0].text, test.want) || (found[0].hint == "") != test.ok {
			t.Errorf("%+v; want %v, %q", found, test.ok, test.want)
		}
	}
}
