package kube

import (
	"context"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/mesh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

func authority(t *testing.T) string {
	t.Helper()
	ca, err := pki.New("a CA")
	if err != nil {
		t.Fatal(err)
	}
	return string(ca.Certificate)
}

// Only what is a certificate is kept of a Secret.
func TestTheCAOfASecret(t *testing.T) {
	cert := authority(t)
	for _, test := range []struct {
		name    string
		secret  corev1.Secret
		pem     string
		problem string
	}{
		{"one", corev1.Secret{Data: map[string][]byte{"ca.crt": []byte(cert)}}, cert, ""},
		{"two, and remarks", corev1.Secret{Data: map[string][]byte{"ca.crt": []byte("# old\n" + cert + "# new\n" + cert)}}, cert + cert, ""},
		{"of a file", corev1.Secret{StringData: map[string]string{"ca.crt": cert}}, cert, ""},
		{"a key beside it", corev1.Secret{Data: map[string][]byte{"ca.crt": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + cert), "tls.key": []byte("secret")}}, cert, ""},
		{"none", corev1.Secret{Data: map[string][]byte{"tls.crt": []byte(cert)}}, "", "it has no key ca.crt"},
		{"empty", corev1.Secret{Data: map[string][]byte{"ca.crt": nil}}, "", "no certificate"},
		{"no PEM", corev1.Secret{Data: map[string][]byte{"ca.crt": []byte("MIIB")}}, "", "no certificate"},
		{"no certificate", corev1.Secret{Data: map[string][]byte{"ca.crt": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}}, "", "cannot be read"},
	} {
		got := ca(&test.secret)
		if got.PEM != test.pem || (got.Problem == "") != (test.problem == "") || !strings.Contains(got.Problem, test.problem) {
			t.Errorf("%s: got %q, %q", test.name, got.PEM, got.Problem)
		}
	}
}

// A Secret is watched while somebody names it, and no other is ever asked for.
func TestClusterWatchesTheSecretsThatAreNamed(t *testing.T) {
	cert := authority(t)
	named := kubeService("orders")
	named.Annotations = map[string]string{"weft.mesh/tls-ca-secret": "one", "weft.mesh/tls-ca-secret.80": "two"}
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{"ca.crt": []byte(cert)}}
	}
	c, client, _ := pair(named)
	client.PrependReactor("list", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		only, ok := a.(clienttesting.ListAction).GetListRestrictions().Fields.RequiresExactMatch("metadata.name")
		if !ok || a.GetNamespace() != "shop" {
			t.Errorf("Secrets of namespace %q were asked for, whatever their name", a.GetNamespace())
		}
		return true, &corev1.SecretList{Items: []corev1.Secret{*secret(only)}}, nil
	})
	w := follow(t, c)
	knows := func(names ...string) func(*mesh.Inputs) bool {
		return func(in *mesh.Inputs) bool {
			for _, n := range names {
				if in.CAs[name(n)].PEM != cert {
					return false
				}
			}
			return len(in.CAs) == len(names)
		}
	}
	w.until("both, with the first picture", knows("one", "two"))
	watched(t, client, "services")
	update := func(annotations map[string]string) {
		next := kubeService("orders")
		next.Annotations = annotations
		if _, err := client.CoreV1().Services("shop").Update(context.Background(), next, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	update(map[string]string{"weft.mesh/tls-ca-secret": "two"})
	w.until("the other is forgotten", knows("two"))
	update(nil)
	w.until("both are forgotten", knows())
	update(map[string]string{"weft.mesh/tls-ca-secret": "one"})
	w.until("one is read again", knows("one"))
}
