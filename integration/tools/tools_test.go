package tools_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/weft-mesh/weft/integration/tools"
)

// TestPathFromAssets finds in KUBEBUILDER_ASSETS what its layout has.
func TestPathFromAssets(t *testing.T) {
	folder := t.TempDir()
	t.Setenv(tools.AssetsVariable, folder)
	if path, err := tools.Path("etcd"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %q, %v", path, err)
	}
	want := filepath.Join(folder, "etcd")
	if err := os.WriteFile(want, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := tools.Path("etcd"); err != nil || path != want {
		t.Errorf("got %q, %v, want %q", path, err, want)
	}
	if needed := tools.Needed(); !slices.Equal(needed, []string{"coredns"}) {
		t.Errorf("needed: %v", needed)
	}
}

// TestUnknown names what there is not.
func TestUnknown(t *testing.T) {
	if _, err := tools.Path("kube-nothing"); !errors.Is(err, tools.ErrUnknown) {
		t.Errorf("a program: %v", err)
	}
	if _, err := tools.Build("nothing"); !errors.Is(err, tools.ErrUnknown) {
		t.Errorf("a set: %v", err)
	}
}
