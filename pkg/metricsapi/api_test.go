package metricsapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// world is an API with some objects, whose node proxies saw the rows.
type world struct {
	*testing.T
	api    *API
	client *tls.Certificate // the front proxy's
	window time.Duration    // that was asked for last
	failed error            // of asking the node proxies
}

func newWorld(t *testing.T, rows ...telemetry.Row) *world {
	t.Helper()
	authority, err := pki.New("front")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t}
	if w.client, err = authority.Issue("front-proxy-client"); err != nil {
		t.Fatal(err)
	}
	typed := fake.NewClientset(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: frontNamespace, Name: frontConfigMap},
		Data: map[string]string{
			"requestheader-client-ca-file": string(authority.Certificate), "requestheader-allowed-names": `["front-proxy-client"]`,
		},
	})
	lists := map[schema.GroupVersionResource]string{}
	for _, k := range kinds() {
		lists[k.GroupVersionResource] = k.kind + "List"
	}
	w.api = New(Config{Typed: typed, Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, objects()...),
		Traffic: func(_ context.Context, window time.Duration) ([]telemetry.Traffic, error) {
			w.window = window
			return []telemetry.Traffic{{Seconds: 31.5, Rows: rows[:len(rows)/2]}, {Seconds: 30, Rows: rows[len(rows)/2:]}}, w.failed
		}})
	return w
}

func made(apiVersion, kind, namespace, name string, more ...string) *unstructured.Unstructured {
	text := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"namespace":%q,"name":%q,"labels":{"app":%q}%s}%s}`,
		apiVersion, kind, namespace, name, name, strings.Join(more[:min(len(more), 1)], ""), strings.Join(more[min(len(more), 1):], ""))
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(text)); err != nil {
		panic(err)
	}
	return u
}

func objects() []runtime.Object {
	return []runtime.Object{
		made("v1", "Namespace", "", "shop"), made("v1", "Namespace", "", "front"), made("v1", "Node", "", "a"), made("v1", "Node", "", "b"),
		made("apps/v1", "Deployment", "shop", "orders"), made("apps/v1", "Deployment", "front", "web"), made("apps/v1", "Deployment", "shop", "idle"),
		made("apps/v1", "ReplicaSet", "shop", "orders-abc"),
		made("v1", "Pod", "shop", "orders-1", `,"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"orders-abc","uid":"1"}]`),
		made("v1", "Service", "shop", "orders"), made("v1", "Service", "shop", "orders-v2"),
		made("split.smi-spec.io/v1alpha4", "TrafficSplit", "shop", "orders", "",
			`,"spec":{"service":"orders.shop","backends":[{"service":"orders-v1","weight":90},{"service":"orders-v2","weight":10}]}`),
	}
}

// call is a row of web to a pod of orders through a backend.
func call(pod, backend string, success, failure uint64, latencies ...telemetry.Bucket) telemetry.Row {
	return telemetry.Row{
		Call: telemetry.Call{
			Source:      telemetry.Workload{Namespace: "front", Kind: "Deployment", Name: "web", Pod: "web-1", Node: "a"},
			Destination: telemetry.Workload{Namespace: "shop", Kind: "Deployment", Name: "orders", Pod: pod, Node: "b"},
			Service:     "orders", Namespace: "shop", Backend: backend, Protocol: "http",
		},
		Success: success, Failure: failure, Latencies: latencies,
	}
}

// get asks as the API server would.
func (w *world) get(path string) (int, string) {
	w.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{w.client.Leaf}}
	answer := httptest.NewRecorder()
	w.api.ServeHTTP(answer, r)
	return answer.Code, answer.Body.String()
}

// figures are the values of an answer: one line for each object.
func (w *world) figures(path string) string {
	w.Helper()
	code, body := w.get("/apis/metrics.smi-spec.io/v1alpha2/" + path)
	if code != http.StatusOK {
		return fmt.Sprint(code)
	}
	var list TrafficMetricsList
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		w.Fatal(err)
	}
	if list.Kind == "TrafficMetrics" {
		list.Items = make([]TrafficMetrics, 1)
		if err := json.Unmarshal([]byte(body), &list.Items[0]); err != nil {
			w.Fatal(err)
		}
	}
	var lines []string
	for _, item := range list.Items {
		line := item.Resource.Namespace + "/" + item.Resource.Name
		if item.Edge.Resource != nil {
			line += " " + item.Edge.Direction + " " + item.Edge.Resource.Kind + " " + item.Edge.Resource.Namespace + "/" + item.Edge.Resource.Name
		}
		if item.Backend != nil {
			line += fmt.Sprint(" by ", item.Backend.Apex, ">", item.Backend.Name, "=", item.Backend.Weight)
		}
		for _, m := range item.Metrics {
			line += " " + m.Value.String()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestEveryKind(t *testing.T) {
	connections := call("orders-1", "orders-v1", 1000, 10)
	connections.Protocol = "tcp"
	w := newWorld(t, connections,
		call("orders-1", "orders-v1", 90, 0, telemetry.Bucket{Bucket: 5, Count: 90}),
		call("orders-2", "orders-v2", 8, 2, telemetry.Bucket{Bucket: 5, Count: 5}, telemetry.Bucket{Bucket: 100, Count: 5}),
	)
	// p99, p90 and p50 in thousandths of a millisecond, success, failure. Bucket
	// 5 is around 5.5 µs, 100 around 656 µs.
	const none = " 0 0 0 0 0"
	for path, want := range map[string]string{
		"deployments":                            "front/web" + none + "\nshop/idle" + none + "\nshop/orders 656m 5m 5m 98 2",
		"namespaces/shop/deployments":            "shop/idle" + none + "\nshop/orders 656m 5m 5m 98 2",
		"namespaces/shop/deployments/orders":     "shop/orders 656m 5m 5m 98 2",
		"namespaces/shop/deployments/nothing":    "404",
		"namespaces/shop/nothing":                "404",
		"nothing":                                "404",
		"deployments/orders":                     "404",
		"namespaces":                             "/front" + none + "\n/shop 656m 5m 5m 98 2",
		"namespaces/shop":                        "/shop 656m 5m 5m 98 2",
		"nodes/b":                                "/b 656m 5m 5m 98 2",
		"namespaces/shop/pods":                   "shop/orders-1 5m 5m 5m 90 0",
		"namespaces/shop/replicasets/orders-abc": "shop/orders-abc 5m 5m 5m 90 0",
		"namespaces/shop/services":               "shop/orders 656m 5m 5m 98 2\nshop/orders-v2 656m 656m 5m 8 2",
		"namespaces/shop/trafficsplits/orders":   "shop/orders by orders>orders-v1=90 5m 5m 5m 90 0\nshop/orders by orders>orders-v2=10 656m 656m 5m 8 2",
		"namespaces/shop/jobs":                   "",

		"namespaces/shop/deployments/orders/edges":   "shop/orders from Deployment front/web 656m 5m 5m 98 2",
		"namespaces/front/deployments/web/edges":     "front/web to Deployment shop/orders 656m 5m 5m 98 2",
		"namespaces/front/edges":                     "/front to Namespace /shop 656m 5m 5m 98 2",
		"namespaces/shop/pods/orders-1/edges":        "shop/orders-1 from Pod front/web-1 5m 5m 5m 90 0",
		"namespaces/shop/services/orders/edges":      "shop/orders from Deployment front/web 656m 5m 5m 98 2",
		"namespaces/shop/trafficsplits/orders/edges": "shop/orders from Deployment front/web 656m 5m 5m 98 2",
	} {
		if got := w.figures(path); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
		}
	}
}

func TestTheWindow(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		query string
		want  time.Duration
		shown string
	}{{"", 30 * time.Second, `"window":"31s"`}, {"?t=10s", 10 * time.Second, `"window":"31s"`}, {"?t=1h", time.Hour, `"window":"1m0s"`}} {
		if _, body := w.get("/apis/metrics.smi-spec.io/v1alpha1/nodes/a" + test.query); w.window != test.want || !strings.Contains(body, test.shown) {
			t.Errorf("%q: %v was asked for, %s", test.query, w.window, body)
		}
	}
	if code, body := w.get("/apis/metrics.smi-spec.io/v1alpha1/nodes/a?t=soon"); code != http.StatusBadRequest || !strings.Contains(body, "t=soon") {
		t.Errorf("%d %s", code, body)
	}
	w.failed = errors.New("weft-node-1: no answer")
	if code, _ := w.get("/apis/metrics.smi-spec.io/v1alpha1/nodes/a"); code != http.StatusOK {
		t.Errorf("one proxy is silent: %d", code)
	}
}

func TestDiscoveryNamesEveryKindAndItsEdges(t *testing.T) {
	w := newWorld(t)
	for _, version := range Versions() {
		code, body := w.get("/apis/metrics.smi-spec.io/" + version)
		var list metav1.APIResourceList
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != http.StatusOK {
			t.Fatal(code, err)
		}
		if list.GroupVersion != "metrics.smi-spec.io/"+version || len(list.APIResources) != 22 || !strings.Contains(body, `"pods/edges"`) {
			t.Error(body)
		}
	}
	for _, path := range []string{"/openapi/v2", "/openapi/v3", "/", "/apis/metrics.smi-spec.io/v1", "/apis/metrics.smi-spec.io"} {
		if code, body := w.get(path); code != http.StatusNotFound || !strings.Contains(body, `"kind":"Status"`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestOnlyTheFrontProxyIsAnswered(t *testing.T) {
	w := newWorld(t)
	if code, _ := w.get("/apis/metrics.smi-spec.io/v1alpha1"); code != http.StatusOK {
		t.Errorf("the front proxy: %d", code)
	}
	stranger, err := pki.New("stranger")
	if err != nil {
		t.Fatal(err)
	}
	for name, by := range map[string]*pki.Authority{"front-proxy-client": stranger, "somebody": nil} {
		issue := stranger.Issue
		if by == nil {
			authority, err := pki.New("front")
			if err != nil {
				t.Fatal(err)
			}
			w.api.front.Read = func(context.Context) (front, error) {
				return front{pool: authority.Pool(), names: []string{"front-proxy-client"}}, nil
			}
			w.api.front = pki.Cache[front]{Read: w.api.front.Read}
			issue = authority.Issue
		}
		if w.client, err = issue(name); err != nil {
			t.Fatal(err)
		}
		if code, body := w.get("/apis/metrics.smi-spec.io/v1alpha1"); code != http.StatusUnauthorized || !strings.Contains(body, `"kind":"Status"`) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	answer := httptest.NewRecorder()
	w.api.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/apis/metrics.smi-spec.io/v1alpha1", nil))
	if answer.Code != http.StatusUnauthorized {
		t.Errorf("nobody: %d", answer.Code)
	}
}
