package apiserver_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/metricsapi"
	"github.com/weft-mesh/weft/pkg/node"
)

// shopObjects are in the API server, and the node proxies read them from a file.
const shopObjects = `
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1
  namespace: shop
  labels: {app: web, pod-template-hash: abc}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, uid: "1", controller: true}]
spec: {serviceAccountName: web, nodeName: a, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: orders-1
  namespace: shop
  labels: {app: orders, pod-template-hash: abc}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: orders-abc, uid: "2", controller: true}]
spec: {serviceAccountName: orders, nodeName: b, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 127.0.0.9, podIPs: [{ip: 127.0.0.9}]}
`

// moreObjects are in the API server only.
const moreObjects = `
apiVersion: v1
kind: Node
metadata: {name: a}
---
apiVersion: v1
kind: Node
metadata: {name: b}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: orders, namespace: shop}
spec: {service: orders, backends: [{service: orders, weight: 1}, {service: orders-v2, weight: 0}]}
`

const deploymentObject = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template: {metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: c, image: i}]}}
`

// metricsWorld is an API server that asks a controller, which asks two node proxies.
type metricsWorld struct {
	*testing.T
	api     *testenv.APIServer
	client  kubernetes.Interface
	proxies [2]string // where they listen for the Service orders
}

func startMetricsWorld(t *testing.T, backend string) *metricsWorld {
	t.Helper()
	w := &metricsWorld{T: t, api: testenv.StartAPIServer(t)}
	var err error
	if w.client, err = kubernetes.NewForConfig(w.api.Config()); err != nil {
		t.Fatal(err)
	}
	kubectl(t, w.api, "apply", "-f", "../../manifests/install.yaml")
	kubectl(t, w.api, "label", "namespace", "weft", "pod-security.kubernetes.io/enforce-") // the pods stand for addresses only
	kubectl(t, w.api, "create", "namespace", "shop")
	awaitSplits(t, w.api)
	objects := shopObjects + "---" + moreObjects
	for _, name := range []string{"orders", "web", "idle"} {
		objects += fmt.Sprintf(deploymentObject, name)
	}
	kubectl(t, w.api, "apply", "-f", w.file(objects))
	traffic := freePort(t)
	w.startController(traffic)
	for i := range w.proxies {
		w.startProxy(i, traffic, backend)
	}
	return w
}

func (w *metricsWorld) file(content string) string {
	path := filepath.Join(w.TempDir(), "objects.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

// startController runs the program with the rights of its own service account,
// and leads the API server to it.
func (w *metricsWorld) startController(traffic uint16) {
	w.Helper()
	weft := filepath.Join(w.TempDir(), "weft")
	if out, err := exec.Command("go", "build", "-o", weft, "../../cmd/weft").CombinedOutput(); err != nil {
		w.Fatalf("go build: %v\n%s", err, out)
	}
	port := freePort(w.T)
	var stderr bytes.Buffer
	cmd := exec.Command(weft, "controller", "--kubeconfig", w.api.Kubeconfig("system:serviceaccount:weft:weft-controller", "system:serviceaccounts", "system:serviceaccounts:weft"),
		"--metrics.address", fmt.Sprintf("127.0.0.1:%d", freePort(w.T)), "--metricsAPI.address", fmt.Sprintf("127.0.0.1:%d", port), "--metricsAPI.port", fmt.Sprint(traffic))
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil || w.Failed() {
			w.Errorf("weft controller: %v\n%s", err, stderr.String())
		}
	})
	// The API server finds a Service of this type by its name alone.
	kubectl(w.T, w.api, "-n", "weft", "delete", "service", "weft-controller")
	kubectl(w.T, w.api, "-n", "weft", "create", "service", "externalname", "weft-controller", "--external-name=localhost")
	for _, version := range metricsapi.Versions() {
		kubectl(w.T, w.api, "patch", "apiservice", version+"."+metricsapi.Group, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"service":{"port":%d}}}`, port))
	}
}

// startProxy runs a node proxy at an address of its own, and makes its pod.
func (w *metricsWorld) startProxy(i int, traffic uint16, backend string) {
	w.Helper()
	ip, listen := fmt.Sprintf("127.0.0.%d", 2+i), freePort(w.T)
	w.proxies[i] = fmt.Sprintf("127.0.0.1:%d", listen)
	_, port, err := net.SplitHostPort(backend)
	if err != nil {
		w.Fatal(err)
	}
	own, err := kubernetes.NewForConfig(w.api.ConfigFor("system:serviceaccount:weft:weft-node"))
	if err != nil {
		w.Fatal(err)
	}
	n, err := node.New(node.Config{
		Source: kube.NewFiles(kube.FilesConfig{Paths: []string{w.file(shopObjects + `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{name: http, port: ` + port + `}]
endpoints: [{addresses: [127.0.0.9], conditions: {ready: true}, targetRef: {kind: Pod, name: orders-1, namespace: shop}}]
`)}}),
		Frontends: func(*mesh.Inputs) map[mesh.Name]mesh.Frontend {
			at := netip.MustParseAddrPort(w.proxies[i])
			return map[mesh.Name]mesh.Frontend{{Namespace: "shop", Name: "orders"}: {Ports: []mesh.FrontendPort{{Number: 80, Listen: at}}}}
		},
		TrafficAddress: net.JoinHostPort(ip, fmt.Sprint(traffic)),
		TrafficClients: func(ctx context.Context) (*x509.CertPool, error) { return metricsapi.Clients(ctx, own, "weft") },
	})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("node: %v", err)
		}
	})
	name := fmt.Sprintf("weft-node-%d", i)
	kubectl(w.T, w.api, "-n", "weft", "run", name, "--image=i", "--labels=app.kubernetes.io/name=weft-node")
	patch := `{"status":{"phase":"Running","podIP":"` + ip + `","podIPs":[{"ip":"` + ip + `"}],"conditions":[{"type":"Ready","status":"True"}]}}`
	if _, err := w.client.CoreV1().Pods("weft").Patch(w.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
		w.Fatal(err)
	}
}

// raw is `kubectl get --raw` of a path of v1alpha2.
func (w *metricsWorld) raw(path string) string {
	w.Helper()
	return kubectl(w.T, w.api, "get", "--raw", "/apis/metrics.smi-spec.io/v1alpha2/"+path)
}

// figures are those of a TrafficMetrics.
func (w *metricsWorld) figures(path string) map[string]time.Duration {
	w.Helper()
	var m metricsapi.TrafficMetrics
	if err := json.Unmarshal([]byte(w.raw(path)), &m); err != nil {
		w.Fatal(err)
	}
	out := map[string]time.Duration{}
	for _, metric := range m.Metrics {
		value := time.Duration(metric.Value.Value())
		if metric.Unit == "ms" {
			value = time.Duration(metric.Value.MilliValue()) * time.Microsecond
		}
		out[metric.Name] = value
	}
	return out
}

// load sends requests over both proxies and returns how long each took.
func (w *metricsWorld) load(each int) []time.Duration {
	w.Helper()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex // guards took
		took []time.Duration
	)
	for i := range 8 {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for range each {
				began := time.Now()
				request, err := http.NewRequest(http.MethodGet, "http://"+w.proxies[i%2]+"/", nil)
				if err != nil {
					w.Error(err)
					return
				}
				response, err := transport.RoundTrip(request)
				if err != nil {
					w.Error(err)
					return
				}
				_ = response.Body.Close()
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}

// TestTheMetricsAPI shows the SMI metrics API through a real API server: what
// kubectl gets is what two node proxies carried.
func TestTheMetricsAPI(t *testing.T) {
	const each, slow, delay = 50, 20, 100 * time.Millisecond // of 400 requests each twentieth is slow, each tenth fails
	var served atomic.Int64
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := served.Add(1)
		if n%slow == 1 {
			<-time.After(delay)
		}
		if n%10 == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	listener, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = backend.Serve(listener) }()
	t.Cleanup(func() { _ = backend.Close() })
	w := startMetricsWorld(t, listener.Addr().String())
	s := &shadows{t: t}
	s.eventually("the API server reaches the metrics API", func() bool {
		_, err := w.client.Discovery().ServerResourcesForGroupVersion("metrics.smi-spec.io/v1alpha2")
		return err == nil
	})
	s.eventually("both proxies listen", func() bool {
		for _, at := range w.proxies {
			c, err := net.Dial("tcp", at)
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	})
	if got := w.figures("namespaces/shop/deployments/orders"); got["success_count"]+got["failure_count"]+got["p99_response_latency"] != 0 || len(got) != 5 {
		t.Errorf("without traffic: %v", got)
	}
	took := w.load(each)
	w.measured(s, took, delay)
	w.refusals()
	w.documented()
}

// measured compares the figures with what the clients saw.
func (w *metricsWorld) measured(s *shadows, took []time.Duration, slow time.Duration) {
	w.Helper()
	const all, failed = 400, 40
	const off = 32 // a latency is at most one part of this wrong
	for _, path := range []string{
		"namespaces/shop/deployments/orders", "namespaces/shop/pods/orders-1", "namespaces/shop/services/orders", "namespaces/shop", "nodes/b",
		"namespaces/shop/replicasets/orders-abc",
	} {
		if path == "namespaces/shop/replicasets/orders-abc" {
			kubectl(w.T, w.api, "-n", "shop", "apply", "-f", w.file(strings.Replace(fmt.Sprintf(deploymentObject, "orders-abc"), "Deployment", "ReplicaSet", 1)))
		}
		var got map[string]time.Duration
		s.eventually(path+" shows all requests", func() bool { // a request is counted when its answer is out
			got = w.figures(path)
			return got["success_count"]+got["failure_count"] == all
		})
		if got["failure_count"] != failed {
			w.Errorf("%s: %d failures; want %d", path, got["failure_count"], failed)
		}
		p99, p50 := got["p99_response_latency"], got["p50_response_latency"]
		if most := took[len(took)*99/100]; p99 < slow-slow/off || p99 > most+most/off {
			w.Errorf("%s: p99 %v; want %v to %v", path, p99, slow, most)
		}
		if most := took[len(took)/2]; p50 <= 0 || p50 > most+most/off {
			w.Errorf("%s: p50 %v; want up to %v", path, p50, most)
		}
	}
	for path, want := range map[string]string{
		"namespaces/shop/deployments/web/edges":         `"direction":"to","side":"client","resource":{"kind":"Deployment","namespace":"shop","name":"orders"`,
		"namespaces/shop/deployments/orders/edges":      `"direction":"from","side":"client","resource":{"kind":"Deployment","namespace":"shop","name":"web"`,
		"namespaces/shop/trafficsplits/orders":          `"backend":{"apex":"orders","name":"orders-v2","weight":0}`,
		"deployments?labelSelector=app%3Didle&t=1m":     `"name":"idle"`,
		"namespaces/shop/deployments?limit=500&t=1000s": `"window":"1m0s"`,
	} {
		if got := w.raw(path); !strings.Contains(got, want) || strings.Contains(path, "idle") && strings.Contains(got, `"orders"`) {
			w.Errorf("%s: %s\nlacks %s", path, got, want)
		}
	}
}

// refusals: rights are the API server's matter, and nobody gets around it.
func (w *metricsWorld) refusals() {
	w.Helper()
	path := "/apis/metrics.smi-spec.io/v1alpha1/namespaces/shop/deployments/"
	get := func(user, name string) (code int) {
		client, err := kubernetes.NewForConfig(w.api.ConfigFor(user))
		if err != nil {
			w.Fatal(err)
		}
		client.RESTClient().Get().AbsPath(path + name).Do(w.Context()).StatusCode(&code)
		return code
	}
	kubectl(w.T, w.api, "-n", "shop", "create", "role", "see", "--verb=get", "--resource=deployments.metrics.smi-spec.io")
	kubectl(w.T, w.api, "-n", "shop", "create", "rolebinding", "see", "--role=see", "--user=may")
	for _, test := range []struct {
		user, name string
		want       int
	}{{"may", "orders", http.StatusOK}, {"may", "nothing", http.StatusNotFound}, {"maynot", "orders", http.StatusForbidden}} {
		if code := get(test.user, test.name); code != test.want {
			w.Errorf("%s gets %s: %d; want %d", test.user, test.name, code, test.want)
		}
	}
}

// documented runs the examples of docs/metrics.md.
func (w *metricsWorld) documented() {
	w.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		w.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "kubectl get --raw "); ok {
			n++
			if got := kubectl(w.T, w.api, "get", "--raw", strings.Trim(path, "'")); !strings.Contains(got, `"kind":"TrafficMetrics`) {
				w.Errorf("%s\n%s", line, got)
			}
		}
	}
	if n < 5 {
		w.Errorf("docs/metrics.md has %d examples", n)
	}
}

// freePort is a port that is free on every address of this machine.
func freePort(t *testing.T) uint16 {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return at.Port()
}
