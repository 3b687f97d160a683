package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// replica is one `weft controller` in this process, with the rights that are
// installed.
type replica struct {
	t       *testing.T
	address string
	stop    context.CancelFunc
	ended   chan error
}

func startReplica(t *testing.T, api *testenv.APIServer) *replica {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, address: listener.Addr().String(), ended: make(chan error, 1)}
	listener.Close()
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	t.Cleanup(stop)
	kubeconfig := api.Kubeconfig("system:serviceaccount:weft:weft-controller", "system:serviceaccounts", "system:serviceaccounts:weft")
	args := []string{"controller", "--kubeconfig", kubeconfig, "--admin.address", r.address, "--log.level=error", "--ignoreNamespaces=secret"}
	go func() { r.ended <- run(ctx, args, io.Discard) }()
	eventually(t, "a ready replica", func() bool { status, _ := r.get("/readyz"); return status == http.StatusOK })
	return r
}

// get asks the replica's own API.
func (r *replica) get(path string) (int, string) {
	response, err := http.Get("http://" + r.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// shows tells whether a line stands in the metrics.
func (r *replica) shows(line string) bool {
	_, body := r.get("/metrics")
	return strings.Contains(body, "\n"+line+"\n")
}

// end waits for the end of a replica and returns how it ended.
func (r *replica) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(30 * time.Second):
		r.t.Fatal("the replica does not end")
		return nil
	}
}

func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !fact() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("not within 30 s: " + what)
		}
	}
}

// prepareCluster creates the namespace, the controller's rights as they are in the
// manifests, a CoreDNS, and two Services, of which one has a name that is taken.
func prepareCluster(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	check := func(_ any, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	options := metav1.CreateOptions{}
	for _, name := range []string{"weft", "shop", "bank"} {
		check(client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, options))
	}
	for _, name := range []string{"shop/orders", "bank/orders", "weft/bank"} {
		namespace, name, _ := strings.Cut(name, "/")
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
		check(client.CoreV1().Services(namespace).Create(t.Context(), svc, options))
	}
	file, err := os.ReadFile("../../manifests/controller-rbac.yaml")
	check(nil, err)
	for _, document := range bytes.Split(file, []byte("\n---\n")) {
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
		check(nil, err)
		rbac := client.RbacV1()
		switch o := object.(type) {
		case *rbacv1.ClusterRole:
			check(rbac.ClusterRoles().Create(t.Context(), o, options))
		case *rbacv1.ClusterRoleBinding:
			check(rbac.ClusterRoleBindings().Create(t.Context(), o, options))
		case *rbacv1.Role:
			check(rbac.Roles(o.Namespace).Create(t.Context(), o, options))
		case *rbacv1.RoleBinding:
			check(rbac.RoleBindings(o.Namespace).Create(t.Context(), o, options))
		}
	}
	createCoreDNS(t, client)
}

// corefile is that of the CoreDNS of these tests.
const corefile = ".:53 {\n    kubernetes cluster.local\n    reload\n}\n"

// createCoreDNS creates what the DNS patch looks for.
func createCoreDNS(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	check := func(_ any, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	options := metav1.CreateOptions{}
	check(client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "coredns"},
		Data:       map[string]string{"Corefile": corefile},
	}, options))
	labels := map[string]string{"k8s-app": "kube-dns"}
	check(client.AppsV1().Deployments("kube-system").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "coredns", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Name: "coredns", Image: "coredns", Args: []string{"-conf", "/etc/coredns/Corefile"},
					VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns"}},
				}},
				Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: "coredns"},
				}}}},
			}},
		},
	}, options))
}

// One replica leads and does everything, with no right but those installed; the
// other is ready and takes over at once when the first is stopped; a leader
// that loses the Lease ends.
func TestControllerLeads(t *testing.T) {
	api := testenv.StartAPIServer(t)
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	prepareCluster(t, client)
	shadowOf := func() (string, bool) {
		list, err := client.CoreV1().Services("weft").List(t.Context(), metav1.ListOptions{LabelSelector: mesh.LabelNamespace + "=shop"})
		if err != nil || len(list.Items) != 1 {
			return "", false
		}
		return list.Items[0].ResourceVersion, true
	}
	first := startReplica(t, api)
	second := startReplica(t, api)
	eventually(t, "a shadow of orders", func() bool { _, ok := shadowOf(); return ok })
	eventually(t, "a patched Corefile", func() bool {
		config, err := client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "coredns", metav1.GetOptions{})
		return err == nil && strings.Contains(config.Data["Corefile"], "rewrite name suffix .mesh .weft.svc.cluster.local")
	})
	eventually(t, "an Event about the name that is taken", func() bool {
		events, err := client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "reason=NameTaken"})
		return err == nil && len(events.Items) == 1 && events.Items[0].InvolvedObject.Name == "bank"
	})
	for _, line := range []string{
		"weft_controller_leader 1", "weft_shadow_services 2", `weft_mesh_ports{state="used"} 2`, `weft_mesh_ports{state="free"} 22764`,
		`weft_problems{reason="NameTaken"} 1`, "weft_dns_patched 1", "weft_shadow_write_failures_total 0", `weft_watch_stale_seconds{kind="Service"} 0`,
	} {
		eventually(t, line, func() bool { return first.shows(line) })
	}
	if !second.shows("weft_controller_leader 0") || second.shows("weft_shadow_services 0") {
		t.Error("the second replica leads, or tells what only the leader knows")
	}
	before, _ := shadowOf()

	first.stop()
	if err := first.end(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	eventually(t, "another leader", func() bool { return second.shows("weft_controller_leader 1") && second.shows("weft_shadow_services 2") })
	if after, _ := shadowOf(); after != before || !second.shows("weft_shadow_writes_total 0") {
		t.Errorf("the new leader wrote what stood: version %s, then %s", before, after)
	}
	steal(t, client)
	if err := second.end(); !errors.Is(err, errLeaseLost) {
		t.Errorf("lost the Lease: %v", err)
	}
}

// steal gives the Lease to somebody else.
func steal(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	leases := client.CoordinationV1().Leases("weft")
	eventually(t, "the Lease in other hands", func() bool {
		lease, err := leases.Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil {
			return false
		}
		lease.Spec.HolderIdentity = new("thief")
		_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{})
		return err == nil
	})
}
