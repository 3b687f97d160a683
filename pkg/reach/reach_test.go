package reach_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/reach"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// said is what the test's proxies answer.
type said struct {
	Me string `json:"me"`
}

// backends are three admin APIs: one answers, one never does, one has another
// version that lacks the path.
func backends(t *testing.T) map[string]string {
	ended := make(chan struct{})
	out := map[string]string{}
	for name, handler := range map[string]http.HandlerFunc{
		"answers": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"me": "answers"}`) },
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		},
		"older": http.NotFound,
	} {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		out[name] = server.Listener.Addr().String()
	}
	t.Cleanup(func() { close(ended) })
	return out
}

// cluster is a cluster of four node proxies, one of which nothing listens in,
// and one that is not running.
func cluster(t *testing.T) *testenv.APIServer {
	api := testenv.StartAPIServer(t)
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	at := backends(t)
	kubelet := testenv.StartKubelet(t, client, "here", func(pod, port string) (string, error) {
		address, ok := at[pod]
		if !ok || port != "15000" {
			return "", fmt.Errorf("nothing listens on port %s of %s", port, pod)
		}
		return address, nil
	})
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "weft"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"answers", "silent", "older", "deaf", "pending"} {
		pod, err := client.CoreV1().Pods("weft").Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": "weft-node"}},
			Spec:       corev1.PodSpec{NodeName: kubelet.Node, Containers: []corev1.Container{{Name: "weft", Image: "weft"}}},
		}, metav1.CreateOptions{})
		if err == nil && name != "pending" {
			pod.Status.Phase = corev1.PodRunning
			_, err = client.CoreV1().Pods("weft").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return api
}

// allow gives a user rights in namespace weft.
func allow(t *testing.T, api *testenv.APIServer, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.RbacV1().Roles("weft").Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}, metav1.CreateOptions{})
	if err == nil {
		_, err = client.RbacV1().RoleBindings("weft").Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fleet finds the proxies as a user.
func fleet(ctx context.Context, t *testing.T, config *rest.Config) (*reach.Fleet, error) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return reach.Cluster(ctx, reach.Config{REST: config, Client: client, Namespace: "weft", Timeout: 3 * time.Second})
}

// Those that can be asked answer; of each of the others it is said why not.
func TestEveryProxyAnswersOrIsNamed(t *testing.T) {
	api := cluster(t)
	list := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}
	allow(t, api, "person", list, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"get", "create"}})
	allow(t, api, "onlooker", list)

	f, err := fleet(t.Context(), t, api.ConfigFor("person"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]string{}
	for range 2 { // the second time on the connections of the first
		for _, a := range reach.Ask[said](t.Context(), f.Proxies, "/api/table") {
			got[a.Proxy.Name] = a.Value.Me
			if a.Err != nil {
				got[a.Proxy.Name] = a.Err.Error()
			}
		}
	}
	want := map[string]string{
		"answers": "answers", "silent": "no answer within 3s", "older": "404 page not found",
		"deaf": "nothing listens on port 15000 of deaf",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	f, err = fleet(t.Context(), t, api.ConfigFor("onlooker"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, a := range reach.Ask[said](t.Context(), f.Proxies, "/api/table") {
		if a.Err == nil || !strings.Contains(a.Err.Error(), `cannot get resource "pods/portforward"`) {
			t.Errorf("without the right: %v", a.Err)
		}
	}
	if _, err := fleet(t.Context(), t, api.ConfigFor("nobody")); err == nil || !strings.Contains(err.Error(), `cannot list resource "pods"`) {
		t.Errorf("without any right: %v", err)
	}
}

// Whoever looks again finds the proxies that came, and asks those that stay over
// the way that is open, or over a new one where that was broken.
func TestProxiesComeAndGo(t *testing.T) {
	api := cluster(t)
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	f, err := fleet(t.Context(), t, api.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	named := func() map[string]*reach.Proxy {
		out := map[string]*reach.Proxy{}
		for _, p := range f.Proxies {
			out[p.Name] = p
		}
		return out
	}
	before := named()
	if _, err := before["answers"].Read(t.Context(), "/api/table"); err != nil {
		t.Fatal(err)
	}
	pods, now := client.CoreV1().Pods("weft"), int64(0)
	pending, err := pods.Get(t.Context(), "pending", metav1.GetOptions{})
	if err == nil {
		pending.Status.Phase = corev1.PodRunning
		_, err = pods.UpdateStatus(t.Context(), pending, metav1.UpdateOptions{})
	}
	if err = errors.Join(err, pods.Delete(t.Context(), "deaf", metav1.DeleteOptions{GracePeriodSeconds: &now}), f.Refresh(t.Context())); err != nil {
		t.Fatal(err)
	}
	after := named()
	if len(after) != 4 || after["pending"] == nil || after["deaf"] != nil || after["answers"] != before["answers"] {
		t.Errorf("before %v, after %v", before, after)
	}
	api.DropConnections()
	// That it is broken may be heard a moment later.
	for ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second); ; {
		_, err := after["answers"].Read(ctx, "/api/table")
		if err == nil {
			cancel()
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("after its connection was dropped: %v", err)
		}
	}
}

func TestALocalMeshIsAskedByItsAddress(t *testing.T) {
	at := backends(t)
	for name, want := range map[string]string{"answers": "answers", "silent": "", "older": ""} {
		f := reach.Local(at[name], 100*time.Millisecond)
		answer := reach.Ask[said](t.Context(), f.Proxies, "/api/table")[0]
		f.Close()
		if answer.Value.Me != want || (answer.Err == nil) != (want != "") {
			t.Errorf("%s: %+v", name, answer)
		}
		var status *reach.HTTPError
		if errors.As(answer.Err, &status) != (name == "older") || status != nil && status.Status != http.StatusNotFound {
			t.Errorf("%s: error %v", name, answer.Err)
		}
	}
}
