package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/internal/pki"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A file that is not there is told by the flag that names it.
func TestDiffNamesTheFileThatIsNotThere(t *testing.T) {
	err := run(t.Context(), []string{"diff", "--manifests=../../docs/shop.yaml", "-f", "nowhere.yaml"}, io.Discard)
	if want := "--file=nowhere.yaml: takes YAML files and folders: stat nowhere.yaml: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v; want %q", err, want)
	}
}

// A file that cannot be read as what it should hold is a mistake, not a change,
// nor none.
func TestDiffRefusesAFileThatCannotBeRead(t *testing.T) {
	for text, why := range map[string]string{
		"# a comment\n---\na: [\n":                ":2: yaml: line 3: ",
		"metadata: {name: orders}":                ":1: kind or apiVersion is missing",
		"kind: Service\nmetadata: {name: orders}": ":1: kind or apiVersion is missing",
		"apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplt\nmetadata: {name: orders}": ":1: there is no kind TrafficSplt in split.smi-spec.io",
	} {
		path := filepath.Join(t.TempDir(), "broken.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for flag, args := range map[string][]string{
			"--file": {"--manifests=../../docs/shop.yaml", "-f", path}, "--manifests": {"--manifests", path, "-f", "../../docs/shop.yaml"},
		} {
			var out strings.Builder
			err := run(t.Context(), append([]string{"diff"}, args...), &out)
			if want := flag + ": " + path + why; !errors.Is(err, errUsage) || !strings.HasPrefix(fmt.Sprint(err), want) || out.Len() > 0 {
				t.Errorf("%q: error %v; want %s\n%s", text, err, want, &out)
			}
		}
	}
}

// Who is in an IdentityBinding, and what is allowed to it and to its workloads,
// is told by its name.
func TestDiffKnowsIdentityBindings(t *testing.T) {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: orders-1, namespace: shop, labels: {app: orders, tier: %s}}
spec: {serviceAccountName: default}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
---
`
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	now := write("now.yaml", fmt.Sprintf(pod, "back")+`
apiVersion: access.smi-spec.io/v1alpha4
kind: IdentityBinding
metadata: {name: tier, namespace: shop}
spec: {schemes: {podLabelSelector: {matchLabels: {tier: front}}}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: in, namespace: shop}
spec:
  destination: {kind: IdentityBinding, name: tier}
  rules: [{kind: TCPRoute, name: all}]
  sources: [{kind: IdentityBinding, name: tier, namespace: shop}, {kind: ServiceAccount, name: web, namespace: front}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: all, namespace: shop}
`)
	var out strings.Builder
	err := run(t.Context(), []string{"diff", "--access=enforce", "--manifests", now, "-f", write("new.yaml", fmt.Sprintf(pod, "front"))}, &out)
	if !errors.Is(err, errNo) {
		t.Errorf("error %v; want the answer no", err)
	}
	want := `Calls to identity binding shop/tier
  + front/web may: everything, by TrafficTarget shop/in
  + identity binding shop/tier may: everything, by TrafficTarget shop/in

Workloads of identity binding shop/tier
  + Pod shop/orders-1
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// A CA that stands in the cluster alone is read there, though no Service of the
// cluster named it before.
func TestDiffReadsTheCAsOfTheCluster(t *testing.T) {
	api := testenv.StartAPIServer(t)
	admin := api.Kubeconfig("admin", "system:masters")
	k, err := connect(admin)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"good": string(ca.Certificate), "bad": "MIIB"} {
		if _, err := k.typed.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"ca.crt": content},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "new.yaml")
	for secret, want := range map[string]string{"good": "", "bad": "holds no certificate in PEM", "none": "there is no such Secret"} {
		text := "{apiVersion: v1, kind: Service, metadata: {name: orders, annotations: {weft.mesh/scheme: https, weft.mesh/tls-ca-secret: " + secret + "}}, spec: {ports: [{name: http, port: 80}]}}"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := run(t.Context(), []string{"diff", "-f", path, "--kubeconfig", admin}, &out)
		if said := strings.Contains(out.String(), "CAUnreadable"); !errors.Is(err, errNo) || said != (want != "") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v; want the answer no, with %q\n%s", secret, err, want, &out)
		}
	}
	err = run(t.Context(), []string{"diff", "-f", path, "--kubeconfig", api.Kubeconfig("nobody")}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "reading what the cluster has of kind ") || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("of one who may read nothing: %v", err)
	}
}

// A cluster that does not answer is an error, not a wait.
func TestDiffDoesNotWaitForACluster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(`{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"diff", "-f", "../../docs/canary.yaml", "--kubeconfig", path}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v; want it refused", err)
	}
}

// A file is compared with what the cluster has; nothing of it is written there.
func TestDiffComparesAFileWithTheCluster(t *testing.T) {
	api := testenv.StartAPIServer(t)
	kubeconfig := api.Kubeconfig("admin", "system:masters")
	k, err := connect(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"orders", "orders-v2"} {
		if _, err := k.typed.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	diff := func(text string) (string, error) {
		path := filepath.Join(t.TempDir(), "new.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := run(t.Context(), []string{"diff", "-f", path, "--kubeconfig", kubeconfig}, &out)
		return out.String(), err
	}
	said, err := diff(`
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: default, annotations: {weft.mesh/timeout: 2s}}
spec: {ports: [{name: tcp, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: users}
spec: {ports: [{name: http, port: 80}]}
`)
	if !errors.Is(err, errNo) {
		t.Errorf("error %v; want the answer no", err)
	}
	want := `Service default/orders
  - port 80: speaks http
  + port 80: speaks tcp
  + port 80: timeout: 2s

Service default/users
  + port 80: speaks http
  + port 80: every call goes to its own endpoints
`
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
	if said, err := diff("{apiVersion: v1, kind: Service, metadata: {name: orders-v2}, spec: {ports: [{name: http, port: 80}]}}"); err != nil || said != "nothing would change\n" {
		t.Errorf("the same again: %v\n%s", err, said)
	}
	if _, err := k.typed.CoreV1().Services("default").Get(t.Context(), "users", metav1.GetOptions{}); err == nil {
		t.Error("the Service was written")
	}
}
