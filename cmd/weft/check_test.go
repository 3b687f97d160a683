package main

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/weft-mesh/weft/pkg/dnspatch"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
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
		{checkCommand{Domain: "test", Aliases: []string{"traefik.test"}, ClusterDomain: "west.example"}, "resolves .test names"},
		{checkCommand{Domain: "test", Aliases: []string{"traefik.test"}}, "does not resolve .test names"},
		{checkCommand{Domain: "mesh"}, "does not resolve .mesh names"},
	} {
		test.check.Namespace = "weft"
		found := test.check.dns(t.Context(), k)
		if len(found) != 1 || !strings.HasSuffix(found[0].text, test.want) || found[0].ok == strings.Contains(test.want, "not") {
			t.Errorf("%+v: %+v; want …%q", test.check, found, test.want)
		}
	}
}
