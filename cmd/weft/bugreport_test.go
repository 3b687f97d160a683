package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/integration/testenv"
)

// unpacked is what an archive holds, by the names of the files.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(zip); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(header.Name, "weft-bugreport/")] = string(content)
	}
}

// The report of a cluster holds its objects, tells what could not be read, and
// holds no secret.
func TestABugreportHoldsNoSecret(t *testing.T) {
	api := testenv.StartAPIServer(t)
	kubeconfig := api.Kubeconfig("admin", "system:masters")
	k, err := connect(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2-hunter2"
	if _, err := k.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "weft"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.typed.CoreV1().Secrets("weft").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tls"}, StringData: map[string]string{"key": secret}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.typed.CoreV1().Pods("weft").Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "weft-node-x", Annotations: map[string]string{"example.com/api-token": secret}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "weft", Image: "weft", Env: []corev1.EnvVar{{Name: "ANYTHING", Value: secret}}}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.tar.gz")
	var out strings.Builder
	if err := run(t.Context(), []string{"bugreport", "-f", path, "--kubeconfig", kubeconfig}, &out); err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, path)
	for name, content := range files {
		if strings.Contains(content, secret) {
			t.Errorf("%s holds the secret:\n%s", name, content)
		}
	}
	if !strings.Contains(files["cluster/weft-pods.yaml"], "weft-node-x") || !strings.HasPrefix(files["cluster/version.txt"], "v1.") {
		t.Errorf("the archive lacks the pods or the version: %v", files)
	}
	for _, want := range []string{"proxies: no node proxy runs", "cluster/all-trafficsplits.yaml: "} {
		if !strings.Contains(files["errors.txt"], want) {
			t.Errorf("errors.txt lacks %q:\n%s", want, files["errors.txt"])
		}
	}
	if err := run(t.Context(), []string{"bugreport", "-f", path, "--kubeconfig", kubeconfig}, &out); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "remove it, or name another") {
		t.Errorf("over a file that is there: %v", err)
	}
}

// A proxy that never answers is asked for everything at once: it takes one
// deadline, not one for each path.
func TestABugreportWaitsOnce(t *testing.T) {
	var asked sync.WaitGroup
	asked.Add(5)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Done()
		asked.Wait() // for all the others
		if r.URL.Path == "/api/status" {
			return
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "report.tar.gz")
	var out strings.Builder
	if err := run(t.Context(), []string{"bugreport", "-f", path, "--timeout=5s", "--admin", server.Listener.Addr().String()}, &out); err != nil {
		t.Fatal(err)
	}
	if want := ": 2 files; 4 could not be read, which errors.txt tells\n"; !strings.Contains(out.String(), want) {
		t.Errorf("%q lacks %q", &out, want)
	}
	if files := unpacked(t, path); strings.Count(files["errors.txt"], "no answer within 5s") != 4 {
		t.Errorf("errors.txt says\n%s", files["errors.txt"])
	}
}

// Where nobody can be asked, the exit status says so, and the archive why.
func TestABugreportOfNothingFails(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(nowhere, []byte(`{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{"--admin=127.0.0.1:1"}, {"--kubeconfig", nowhere}} {
		path := filepath.Join(t.TempDir(), "report.tar.gz")
		err := run(t.Context(), append([]string{"bugreport", "-f", path}, flags...), io.Discard)
		if err == nil || errors.Is(err, errUsage) || !strings.Contains(err.Error(), "nothing could be asked") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%q: error %v", flags, err)
		}
		if files := unpacked(t, path); !strings.Contains(files["errors.txt"], "refused") || files["about.txt"] == "" {
			t.Errorf("%q: the archive says %v", flags, files)
		}
	}
}

func TestWhatLooksLikeACredentialIsLeftOut(t *testing.T) {
	for text, want := range map[string]string{
		"password: hunter2 x":                                               "password: [left out]",
		`{"apiKey": "abc def", "port": 80}`:                                 `{"apiKey": [left out], "port": 80}`,
		"Authorization: Bearer abc.def":                                     "Authorization: [left out]",
		"sent bearer abcdefgh12345 to it":                                   "sent bearer [left out] to it",
		"a eyJhbGciOi.eyJzdWIiOi.c2ln b":                                    "a [left out] b",
		"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----": "[left out]",
		"serviceAccountName: weft-node":                                     "serviceAccountName: weft-node",
		"automountServiceAccountToken: false":                               "automountServiceAccountToken: [left out]",
	} {
		if got := string(withoutSecrets([]byte(text))); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}
