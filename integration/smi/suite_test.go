package smi

import (
	"os/exec"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/pkg/smi"
)

// patience is how long anything may take to become as it should be.
const patience = 30 * time.Second

// suite is one API server with Weft's definitions, for all tests: each takes
// seconds to start.
type suite struct {
	api     *testenv.APIServer
	typed   kubernetes.Interface
	dynamic dynamic.Interface
}

func TestOnARealAPIServer(t *testing.T) {
	s := &suite{api: testenv.StartAPIServer(t)}
	var err error
	if s.typed, err = kubernetes.NewForConfig(s.api.Config()); err != nil {
		t.Fatal(err)
	}
	if s.dynamic, err = dynamic.NewForConfig(s.api.Config()); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "apply", "--validate=strict", "--warnings-as-errors", "-f", "../../manifests/crds")
	s.served(t)
	t.Run("ObjectsReadBackAsWritten", s.objectsReadBackAsWritten)
	t.Run("ForeignShapesCanBeChanged", s.foreignShapesCanBeChanged)
	t.Run("WrongObjectsAreRefused", s.wrongObjectsAreRefused)
	t.Run("CanaryTools", s.canaryTools)
	t.Run("Guard", s.guard)
}

func (s *suite) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	arguments = append([]string{"--kubeconfig", s.api.Kubeconfig("admin", "system:masters")}, arguments...)
	output, err := exec.Command(testenv.Tool(t, "kubectl"), arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v: %s", arguments[2:], err, output)
	}
	return string(output)
}

// served waits until every version of every kind is served.
func (s *suite) served(t *testing.T) {
	t.Helper()
	for _, kind := range smi.Kinds() {
		for _, version := range kind.Versions {
			await(t, kind.Kind+" "+version+" is served", func() bool {
				_, err := s.dynamic.Resource(kind.Resource(version)).List(t.Context(), metav1.ListOptions{})
				return err == nil
			})
		}
	}
}

// await waits for a condition.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
