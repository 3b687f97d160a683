package apiserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/integration/testenv"
	"github.com/weft-mesh/weft/internal/pki"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// TestACAIsReadWithTheRightsOfItsNamespace goes from a Secret that Weft may not
// read, by the commands that the problem names, to one whose CA is rotated.
func TestACAIsReadWithTheRightsOfItsNamespace(t *testing.T) {
	api := testenv.StartAPIServer(t)
	kubectl(t, api, "create", "namespace", "shop")
	kubectl(t, api, "-n", "shop", "create", "service", "clusterip", "orders", "--tcp=80")
	annotate := func(annotation string) { kubectl(t, api, "-n", "shop", "annotate", "service", "orders", annotation) }
	annotate("weft.mesh/tls-ca-secret=orders-ca")
	secret := mesh.Name{Namespace: "shop", Name: "orders-ca"}
	p := watchCluster(t, api)
	var command string
	p.until("that the Secret is forbidden is known with the first picture", func(in *mesh.Inputs) bool {
		_, command, _ = strings.Cut(in.CAs[secret].Problem, "to allow it: ")
		return command != "" && in.CAs[secret].PEM == ""
	})
	for _, one := range strings.Split(command, " && ") {
		kubectl(t, api, strings.Fields(strings.TrimPrefix(one, "kubectl "))...)
	}
	p.until("it may be read and is not there", func(in *mesh.Inputs) bool { _, known := in.CAs[secret]; return !known })
	for _, name := range []string{"the CA", "the next CA"} {
		ca, err := pki.New(name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(file, ca.Certificate, 0o600); err != nil {
			t.Fatal(err)
		}
		manifest := kubectl(t, api, "-n", "shop", "create", "secret", "generic", "orders-ca", "--from-file=ca.crt="+file, "--dry-run=client", "-o", "yaml")
		if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		kubectl(t, api, "apply", "-f", file)
		p.until(name, func(in *mesh.Inputs) bool { return in.CAs[secret].PEM == string(ca.Certificate) })
	}
	annotate("weft.mesh/tls-ca-secret-")
	p.until("nobody wants it any more", func(in *mesh.Inputs) bool { return len(in.CAs) == 0 })
}
