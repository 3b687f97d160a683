//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/integration/tools"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	ownKubeconfig = "/var/tmp/weft-cluster/kubeconfig"
	weftImage     = "ghcr.io/weft-mesh/weft:v0.1.0"
	appImage      = "docker.io/weft-e2e/app:1"
)

// cluster is a Kubernetes with the images of Weft and of the suite's app.
type cluster struct {
	*testing.T
	own        bool // made by the suite: its processes can be stopped
	kubeconfig string
	config     *rest.Config
	client     kubernetes.Interface
	kubectlBin string
	weft, app  string // the programs, for this machine
}

// newCluster builds the programs and finds or makes the cluster.
func newCluster(t *testing.T) *cluster {
	c := &cluster{T: t, kubeconfig: os.Getenv("KUBECONFIG")}
	var err error
	if c.kubectlBin, err = tools.Path("kubectl"); err != nil {
		t.Fatal(err)
	}
	c.weft, c.app = filepath.Join(t.TempDir(), "weft"), filepath.Join(t.TempDir(), "app")
	c.run("go", "build", "-trimpath", "-o", c.weft, "../../cmd/weft")
	c.run("go", "build", "-trimpath", "-o", c.app, "./app")
	if c.kubeconfig == "" {
		c.up()
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		t.Fatal(err)
	}
	c.config.QPS, c.config.WarningHandler = -1, rest.NoWarnings{}
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		t.Fatal(err)
	}
	return c
}

// up makes the suite's own two nodes and gives them the images.
func (c *cluster) up() {
	c.own, c.kubeconfig = true, ownKubeconfig
	c.run("../cluster/cluster", "down")
	c.Cleanup(func() { c.run("../cluster/cluster", "down") })
	c.run("../cluster/cluster", "up")
	c.run("make", "-C", "../..", "image")
	c.run("../cluster/cluster", "image", weftImage, "../../dist/weft-image.tar")
	c.run("../cluster/cluster", "image", appImage, c.app)
}

// in is the cluster as seen by a part of the suite.
func (c *cluster) in(t *testing.T) *cluster {
	part := *c
	part.T = t
	return &part
}

// run runs a program and returns what it printed; a failure ends the test.
func (c *cluster) run(name string, args ...string) string {
	c.Helper()
	out, err := c.try(name, args...)
	if err != nil {
		c.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// try runs a program and returns what it printed on both outputs.
func (c *cluster) try(name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "CGO_ENABLED=0")
	out, err := command.CombinedOutput()
	return string(out), err
}

func (c *cluster) kubectl(args ...string) string {
	c.Helper()
	return c.run(c.kubectlBin, args...)
}

func (c *cluster) apply(file string) {
	c.Helper()
	c.kubectl("apply", "-f", file)
}

// applyText applies YAML given as text.
func (c *cluster) applyText(yaml string) {
	c.Helper()
	file := filepath.Join(c.TempDir(), "object.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		c.Fatal(err)
	}
	c.apply(file)
}

// ready waits until a workload's pods are all ready and of its newest template.
func (c *cluster) ready(workload, namespace string) {
	c.Helper()
	c.kubectl("-n", namespace, "rollout", "status", workload, "--timeout=180s")
}

// eventually repeats a check until it holds, or fails with its last error.
func (c *cluster) eventually(within time.Duration, check func() error) {
	c.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			c.Fatalf("not within %v: %v", within, err)
		case <-tick.C:
		}
	}
}

// pods lists the running pods behind a label.
func (c *cluster) pods(namespace, selector string) []corev1.Pod {
	c.Helper()
	list, err := c.client.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		c.Fatal(err)
	}
	var running []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning {
			running = append(running, p)
		}
	}
	return running
}

// caller is the calling pod of one node.
type caller struct {
	c   *cluster
	pod corev1.Pod
}

// callers returns one calling pod per node, at least two on the suite's own cluster.
func (c *cluster) callers() (out []caller) {
	c.Helper()
	for _, p := range c.pods("e2e", "app=caller") {
		out = append(out, caller{c, p})
	}
	if len(out) == 0 || c.own && len(out) != 2 {
		c.Fatalf("%d callers", len(out))
	}
	return out
}

// ask gives a command to the caller through the API server; see the app.
func (a caller) ask(path string, query url.Values, out any) error {
	request := a.c.client.CoreV1().RESTClient().Get().Namespace("e2e").
		Resource("pods").Name(a.pod.Name + ":8081").SubResource("proxy").Suffix(path)
	for name := range query {
		request = request.Param(name, query.Get(name))
	}
	content, err := request.DoRaw(context.Background())
	if err != nil {
		return fmt.Errorf("%s %v from %s: %w: %s", path, query, a.pod.Spec.NodeName, err, bytes.TrimSpace(content))
	}
	return json.Unmarshal(content, out)
}

// must is ask, ending the test on an error.
func (a caller) must(path string, query url.Values, out any) {
	a.c.Helper()
	if err := a.ask(path, query, out); err != nil {
		a.c.Fatal(err)
	}
}

// result is one HTTP call of the app.
type result struct {
	Status int
	Error  string
	Reason string
	Echo   struct{ Pod, Version, Host, Peer, Forwarded string }
	Took   time.Duration
}

// get makes n calls of a URL and fails on the first that went wrong.
func (a caller) get(target string, n int) ([]result, error) {
	var results []result
	if err := a.ask("/http", url.Values{"url": {target}, "n": {fmt.Sprint(n)}}, &results); err != nil {
		return nil, err
	}
	for i, r := range results {
		if r.Error != "" {
			return results, fmt.Errorf("call %d of %s: %s", i, target, r.Error)
		}
	}
	return results, nil
}

// describe prints what a person would look at after a failure.
func (c *cluster) describe() {
	for _, args := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events", "-A", "--field-selector", "type=Warning"},
		{"-n", "weft", "logs", "-l", "app.kubernetes.io/name=weft-controller", "--tail=40", "--prefix"},
		{"-n", "weft", "logs", "-l", "app.kubernetes.io/name=weft-node", "--tail=40", "--prefix"},
	} {
		out, _ := c.try(c.kubectlBin, args...)
		c.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
}
