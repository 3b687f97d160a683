package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/integration/testenv"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Before an installation the check tells whether it will work, to each person
// by their rights.
func TestCheckBeforeTheInstallation(t *testing.T) {
	api := testenv.StartAPIServer(t)
	check := func(kubeconfig string) (string, error) {
		var out strings.Builder
		err := run(t.Context(), []string{"check", "--pre", "--kubeconfig", kubeconfig}, &out)
		return out.String(), err
	}
	admin := api.Kubeconfig("admin", "system:masters")
	said, err := check(admin)
	for _, want := range []string{"Kubernetes\n  ✓ Kubernetes is v1.", "✓ you may create all that is installed", "✗ the cluster's DNS: ", "✓ there is no namespace weft yet"} {
		if !strings.Contains(said, want) {
			t.Errorf("an administrator, before: no %q in\n%s", want, said)
		}
	}
	if err == nil || errors.Is(err, errUsage) { // there is no CoreDNS here
		t.Errorf("an administrator: %v", err)
	}
	if said, err := check(api.Kubeconfig("person")); err == nil || !strings.Contains(said, "✗ you may not create namespaces, ") {
		t.Errorf("a person without rights: %v\n%s", err, said)
	}
	k, err := connect(admin)
	if err != nil {
		t.Fatal(err)
	}
	somebodys := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "weft"}}
	if _, err := k.typed.CoreV1().Namespaces().Create(t.Context(), somebodys, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if said, _ := check(admin); !strings.Contains(said, "✗ namespace weft is somebody else's") {
		t.Errorf("a namespace of somebody else's:\n%s", said)
	}
}
