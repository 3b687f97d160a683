package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/integration/testenv"
)

// weft install leaves what kubectl would, says what it waits for, and may be
// repeated.
func TestInstallAppliesWhatKubectlWould(t *testing.T) {
	api := testenv.StartAPIServer(t)
	kubeconfig := api.Kubeconfig("admin", "system:masters")
	k, err := connect(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), []string{"install", "--kubeconfig", kubeconfig}, &out) }()
	// No controller of Kubernetes runs here: the test says that pods are ready.
	eventually(t, "the Deployment", func() bool {
		d, err := k.typed.AppsV1().Deployments("weft").Get(t.Context(), "weft-controller", metav1.GetOptions{})
		if err != nil {
			return false
		}
		d.Status.ObservedGeneration, d.Status.Replicas = d.Generation, 2
		d.Status.UpdatedReplicas, d.Status.ReadyReplicas = 2, 2
		_, err = k.typed.AppsV1().Deployments("weft").UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
		return err == nil
	})
	eventually(t, "the DaemonSet", func() bool {
		d, err := k.typed.AppsV1().DaemonSets("weft").Get(t.Context(), "weft-node", metav1.GetOptions{})
		if err != nil {
			return false
		}
		d.Status.ObservedGeneration, d.Status.DesiredNumberScheduled = d.Generation, 3
		d.Status.UpdatedNumberScheduled, d.Status.NumberReady = 3, 3
		_, err = k.typed.AppsV1().DaemonSets("weft").UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
		return err == nil
	})
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"✓ applied ", "✓ ready: controller\n", "✓ ready: node proxies\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	command := exec.Command(testenv.Tool(t, "kubectl"), "--kubeconfig", kubeconfig, "diff", "-f", "../../manifests/install.yaml")
	if said, err := command.CombinedOutput(); err != nil {
		t.Errorf("kubectl diff: %v\n%s", err, said)
	}
	if err := run(t.Context(), []string{"install", "--wait=0s", "--kubeconfig", kubeconfig}, &out); err != nil {
		t.Errorf("again: %v", err)
	}
}
