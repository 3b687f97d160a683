package manifests_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The tests of the module in verify hold install.yaml to the base and the pods
// to the Pod Security Standards, with libraries that are none of Weft's
// business.
func TestVerify(t *testing.T) {
	// go test remembers a result as long as the files that the test itself
	// has opened stay the same; what the command below opens does not count.
	err := filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "test", "-count=1", "./...")
	command.Dir = "verify"
	command.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
