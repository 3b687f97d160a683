package testenv_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/weft-mesh/weft/integration/testenv"
)

// TestAPIServer starts one API server and goes through its life.
func TestAPIServer(t *testing.T) {
	started := time.Now()
	api := testenv.StartAPIServer(t)
	t.Logf("ready in %v", time.Since(started).Round(10*time.Millisecond))
	client := clientFor(t, api.Config())
	service := createService(t, client)

	t.Run("RBAC", func(t *testing.T) { testRBAC(t, api) })
	t.Run("Kubeconfig", func(t *testing.T) { testKubeconfig(t, api) })
	t.Run("DropConnections", func(t *testing.T) { testDrop(t, api, service) })
	t.Run("StopAndStart", func(t *testing.T) { testStop(t, api, service) })
	t.Run("Expire", func(t *testing.T) { testExpire(t, api, service) })
}

// testRBAC shows that a user without rights has none.
func testRBAC(t *testing.T, api *testenv.APIServer) {
	nobody := clientFor(t, api.ConfigFor("system:serviceaccount:default:nobody", "system:serviceaccounts"))
	_, err := nobody.CoreV1().Services("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:nobody") {
		t.Errorf("listing Services without a right: %v, want it forbidden for that user", err)
	}
}

// testKubeconfig shows that the real kubectl takes the file.
func testKubeconfig(t *testing.T, api *testenv.APIServer) {
	kubeconfig := api.Kubeconfig("admin", "system:masters")
	output, err := exec.Command(testenv.Tool(t, "kubectl"), "--kubeconfig", kubeconfig, "get", "service", "orders", "-o", "name").CombinedOutput()
	if err != nil || strings.TrimSpace(string(output)) != "service/orders" {
		t.Errorf("kubectl: %q, %v", output, err)
	}
}

// testDrop shows that a dropped watch ends and may go on where it was.
func testDrop(t *testing.T, api *testenv.APIServer, service *corev1.Service) {
	client := clientFor(t, api.Config())
	watching := watchFrom(t, client, service.ResourceVersion)
	api.DropConnections()
	if event, open := next(t, watching); open && event.Type != watch.Error {
		t.Errorf("after the drop: %v, want the end", event)
	}
	again := watchFrom(t, client, service.ResourceVersion)
	change(t, client, "after-drop")
	if event, open := next(t, again); !open || event.Type != watch.Modified {
		t.Errorf("the new watch: %v, want the change", event)
	}
}

// testStop shows that nobody answers in between and nothing is lost.
func testStop(t *testing.T, api *testenv.APIServer, service *corev1.Service) {
	client := clientFor(t, api.Config())
	api.Stop()
	if _, err := client.CoreV1().Services("default").Get(t.Context(), service.Name, metav1.GetOptions{}); err == nil {
		t.Error("a stopped API server answers")
	}
	started := time.Now()
	api.Start()
	t.Logf("ready again in %v", time.Since(started).Round(10*time.Millisecond))
	found, err := client.CoreV1().Services("default").Get(t.Context(), service.Name, metav1.GetOptions{})
	if err != nil || found.UID != service.UID || found.Spec.ClusterIP != service.Spec.ClusterIP {
		t.Errorf("after the return: %v, %v, want the Service as it was", found, err)
	}
}

// testExpire shows that the past is gone for a watch.
func testExpire(t *testing.T, api *testenv.APIServer, service *corev1.Service) {
	client := clientFor(t, api.Config())
	api.Expire()
	watching, err := client.CoreV1().Services("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: service.ResourceVersion})
	if err == nil {
		defer watching.Stop()
		event, _ := next(t, watching)
		err = apierrors.FromObject(event.Object)
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		t.Errorf("a watch from before: %v, want 410", err)
	}
}

// clientFor is a client that acts as config says.
func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// createService creates default/orders.
func createService(t *testing.T, client kubernetes.Interface) *corev1.Service {
	t.Helper()
	service, err := client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// change labels default/orders.
func change(t *testing.T, client kubernetes.Interface, label string) {
	t.Helper()
	service, err := client.CoreV1().Services("default").Get(t.Context(), "orders", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	service.Labels = map[string]string{"changed": label}
	if _, err := client.CoreV1().Services("default").Update(t.Context(), service, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// watchFrom watches the Services of default from a version on.
func watchFrom(t *testing.T, client kubernetes.Interface, version string) watch.Interface {
	t.Helper()
	watching, err := client.CoreV1().Services("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watching.Stop)
	return watching
}

// next is the next event of a watch, and whether there was one.
func next(t *testing.T, watching watch.Interface) (watch.Event, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case event, open := <-watching.ResultChan():
		return event, open
	case <-ctx.Done():
		t.Fatal("no event within 20 s")
		return watch.Event{}, false
	}
}
