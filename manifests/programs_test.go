package manifests_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/dnspatch/cluster"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/shadow"
)

// patience is how long a program may take.
const patience = 30 * time.Second

// as is a client with the rights of a service account of Weft's.
func as(t *testing.T, api *testenv.APIServer, name string) *kubernetes.Clientset {
	user, groups := account(name)
	return clientFor(t, api.ConfigFor(user, groups...))
}

// during runs a program until the function is through, and waits for its end.
func during(t *testing.T, program func(context.Context) error, what func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- program(ctx) }()
	what(ctx)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// nodeReads watches all that a node proxy watches, with its rights.
func nodeReads(t *testing.T, api *testenv.APIServer) {
	user, groups := account("weft-node")
	objects, err := dynamic.NewForConfig(api.ConfigFor(user, groups...))
	if err != nil {
		t.Fatal(err)
	}
	source := kube.NewCluster(kube.ClusterConfig{Client: as(t, api, "weft-node"), Dynamic: objects})
	synced := make(chan struct{})
	run := func(ctx context.Context) error {
		return source.Run(ctx, func(c mesh.Change) {
			if c.Synced {
				close(synced)
			}
		})
	}
	during(t, run, func(ctx context.Context) {
		select {
		case <-synced:
		case <-ctx.Done():
		}
		for _, s := range source.Status() {
			if !s.Synced || s.Err != "" {
				t.Errorf("%+v", s)
			}
		}
	})
}

// controllerWrites writes shadow Services and names, addresses of Weft's own
// choice among them, with the controller's rights. Kubernetes asks for no
// further right; OpenShift would for endpointslices/restricted.
func controllerWrites(t *testing.T, api *testenv.APIServer) {
	slices := clientFor(t, api.Config()).DiscoveryV1().EndpointSlices("weft")
	reconciler := shadow.New(shadow.Config{Client: as(t, api, "weft-controller")})
	during(t, reconciler.Run, func(ctx context.Context) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !reconciler.Synced() && ctx.Err() == nil {
			<-tick.C
		}
	})
	list, err := slices.List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=shop"})
	if err != nil {
		t.Fatal(err)
	}
	if stats := reconciler.Stats(); stats.Shadows == 0 || stats.WriteFailures > 0 || len(list.Items) == 0 {
		t.Errorf("%+v, %d slices", stats, len(list.Items))
	}
}

// controllerPatchesDNS patches a CoreDNS as kubeadm installs it, but that has
// to be restarted, with the controller's rights.
func controllerPatchesDNS(t *testing.T, api *testenv.APIServer) {
	client := clientFor(t, api.Config())
	name := metav1.ObjectMeta{Name: "coredns", Labels: map[string]string{"k8s-app": "kube-dns"}}
	corefile := &corev1.ConfigMap{ObjectMeta: name, Data: map[string]string{"Corefile": ".:53 {\n    kubernetes cluster.local\n}\n"}}
	if _, err := client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), corefile, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: name.Labels}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "coredns", Image: "coredns", Args: []string{"-conf", "/etc/coredns/Corefile"},
			VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns"}},
		}},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "coredns"}},
		}}},
	}}
	deployment := &appsv1.Deployment{ObjectMeta: name, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: name.Labels}, Template: pod}}
	if _, err := client.AppsV1().Deployments("kube-system").Create(t.Context(), deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patcher := cluster.New(cluster.Config{Client: as(t, api, "weft-controller")})
	if err := patcher.Ensure(t.Context()); err != nil {
		t.Error(err)
	}
	all, err := patcher.Status(t.Context())
	if err != nil || len(all) != 1 || !all[0].Patched {
		t.Errorf("%+v, %v", all, err)
	}
}
