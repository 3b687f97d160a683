package node

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

const patience = 30 * time.Second

func TestTheNodeOutlivesTheAPIServer(t *testing.T) {
	api := testenv.StartAPIServer(t)
	client, err := kubernetes.NewForConfig(api.Config())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop", "weft"} {
		create(t, client.CoreV1().Namespaces().Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	orders := meshed(t, client, "orders")
	n := start(t, api.Kubeconfig("admin", "system:masters"))
	n.await("ready", func() bool { return n.status("/readyz") == http.StatusOK })
	n.expect("orders")
	if got := reason(t, orders); got != "503 no-endpoints" {
		t.Errorf("a Service without endpoints: %s", got)
	}

	api.Stop()
	n.await("the metric that says the picture is old", func() bool { return n.stale("Service") > 0 })
	n.expect("orders")
	if got := reason(t, orders); got != "503 no-endpoints" {
		t.Errorf("without an API server: %s", got)
	}
	if status := n.status("/readyz"); status != http.StatusOK {
		t.Errorf("without an API server /readyz is %d", status)
	}

	api.Start()
	users := meshed(t, client, "users")
	n.await("the Service that came after the return", func() bool { return len(n.table().Services) == 2 })
	n.expect("orders", "users")
	if got := reason(t, users); got != "503 no-endpoints" {
		t.Errorf("after the return: %s", got)
	}
	n.await("the end of staleness", func() bool { return n.stale("Service") == 0 })
}

// create makes one object by a typed client's Create.
func create[T any](t *testing.T, by func(ctx context.Context, object T, options metav1.CreateOptions) (T, error), object T) {
	t.Helper()
	if _, err := by(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// meshed makes a Service and its shadow, and returns the mesh port.
func meshed(t *testing.T, client kubernetes.Interface, name string) (port int) {
	t.Helper()
	free, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	port = int(free.Port())
	spec := func(target int) corev1.ServiceSpec {
		return corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt(target)}}}
	}
	create(t, client.CoreV1().Services("shop").Create, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec(8080),
	})
	create(t, client.CoreV1().Services("weft").Create, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-shadow", Labels: map[string]string{
			mesh.LabelManagedBy: mesh.ManagedBy, mesh.LabelService: name, mesh.LabelNamespace: "shop",
		}},
		Spec: spec(port),
	})
	return port
}

// reason calls a mesh port and returns status and weft-reason.
func reason(t *testing.T, port int) string {
	t.Helper()
	response, err := http.Get("http://127.0.0.1:" + strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return strconv.Itoa(response.StatusCode) + " " + response.Header.Get("Weft-Reason")
}

// process is a running weft node.
type process struct {
	t     *testing.T
	admin string
}

// start builds weft and runs it until the test ends, when it must exit with 0.
func start(t *testing.T, kubeconfig string) *process {
	t.Helper()
	weft := filepath.Join(t.TempDir(), "weft")
	if out, err := exec.Command("go", "build", "-o", weft, "../../cmd/weft").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p := &process{t: t, admin: freeAddress(t)}
	var stderr bytes.Buffer
	cmd := exec.Command(weft, "node", "--kubeconfig", kubeconfig, "--admin.address", p.admin,
		"--metrics.address", freeAddress(t), "--traffic.address", freeAddress(t), "--drain.delay=10ms", "--drain.timeout=1s")
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		late.Stop()
		if err != nil || t.Failed() {
			t.Errorf("weft node: %v\n%s", err, stderr.String())
		}
	})
	p.await("an answer", func() bool {
		conn, err := net.Dial("tcp", p.admin)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return p
}

// freeAddress is one that nobody else gets before the program listens there.
func freeAddress(t *testing.T) string {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return at.String()
}

func (p *process) await(what string, holds func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			p.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func (p *process) get(path string) (int, string) {
	p.t.Helper()
	response, err := http.Get("http://" + p.admin + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (p *process) status(path string) int {
	p.t.Helper()
	status, _ := p.get(path)
	return status
}

func (p *process) table() (out admin.Table) {
	p.t.Helper()
	_, body := p.get("/api/table")
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		p.t.Fatalf("%v in %s", err, body)
	}
	return out
}

// expect checks which Services are meshed.
func (p *process) expect(want ...string) {
	p.t.Helper()
	var got []string
	for _, s := range p.table().Services {
		got = append(got, s.Name.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Error(diff)
	}
}

// stale is how long the watch of a kind has been broken, in seconds.
func (p *process) stale(kind string) float64 {
	p.t.Helper()
	_, metrics := p.get("/metrics")
	for line := range strings.Lines(metrics) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), `weft_watch_stale_seconds{kind="`+kind+`"} `)
		if !ok {
			continue
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		return seconds
	}
	p.t.Fatalf("weft_watch_stale_seconds lacks %s", kind)
	return 0
}
