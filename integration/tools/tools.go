// Package tools builds the programs that the tests run against: the
// Kubernetes components with etcd, CoreDNS, kube-router and Prometheus. Each lives
// in a Go module of its own below this folder, so that the product's go.mod stays
// clean, and is built once into the user's cache folder.
//
//	path, err := tools.Path("kube-apiserver")
//
// gives the absolute path of a program that can be run.
package tools

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// AssetsVariable names the environment variable of a folder that holds
// kube-apiserver, etcd and kubectl, as controller-runtime's setup-envtest
// lays it out. Where it is set, those three come from there and are not
// built.
const AssetsVariable = "KUBEBUILDER_ASSETS"

// ErrUnknown says that no set has a program or a set of the name asked for.
var ErrUnknown = errors.New("unknown tool")

// set is one module below this folder and the programs that it becomes.
type set struct {
	name     string
	pkg      string   // the package to build, from the module's folder
	binary   string   // the name of the file that is built
	programs []string // names of the programs; those unlike binary are links to it
	ldflags  string
	flags    []string // of the build, beside those of all
	usual    string   // how long a first build takes on two cores
}

// sets are the modules that can be built.
func sets() []set {
	const version = "k8s.io/component-base/version."
	return []set{
		{
			name:     "kubernetes",
			pkg:      ".",
			binary:   "hyperkube",
			programs: []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"},
			ldflags:  "-s -w -X " + version + "gitVersion=v1.35.4 -X " + version + "gitMajor=1 -X " + version + "gitMinor=35",
			usual:    "5 minutes",
		},
		{
			name:     "coredns",
			pkg:      "github.com/coredns/coredns",
			binary:   "coredns",
			programs: []string{"coredns"},
			ldflags:  "-s -w",
			usual:    "3 minutes",
		},
		{
			name:     "kube-router",
			pkg:      "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
			binary:   "kube-router",
			programs: []string{"kube-router"},
			ldflags:  "-s -w",
			usual:    "3 minutes",
		},
		{
			name:     "prometheus",
			pkg:      "github.com/prometheus/prometheus/cmd/prometheus",
			binary:   "prometheus",
			programs: []string{"prometheus"},
			ldflags:  "-s -w",
			// Of all that it can discover only Kubernetes; and no debug information,
			// which ldflags would drop: that takes a quarter of the time off.
			flags: []string{"-tags=remove_all_sd,enable_kubernetes_sd", "-gcflags=all=-dwarf=false"},
			usual: "5 minutes",
		},
	}
}

// Names lists the sets that Build knows.
func Names() []string {
	var names []string
	for _, s := range sets() {
		names = append(names, s.name)
	}
	return names
}

// Needed lists the sets that tests without root have programs of: all but
// kube-router and Prometheus, and Kubernetes where AssetsVariable is set.
func Needed() []string {
	assets := os.Getenv(AssetsVariable) != ""
	return slices.DeleteFunc(Names(), func(name string) bool {
		return name == "kube-router" || name == "prometheus" || assets && name == "kubernetes"
	})
}

// Path is the absolute path of the program called name, such as "etcd" or
// "coredns". It comes from the folder that AssetsVariable names where that is
// set and has the program in its layout, else it is built. The error is
// ErrUnknown when no set has such a program.
func Path(name string) (string, error) {
	if folder := os.Getenv(AssetsVariable); folder != "" && fromAssets(name) {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s: %w", AssetsVariable, err)
		}
		return path, nil
	}
	for _, s := range sets() {
		if !slices.Contains(s.programs, name) {
			continue
		}
		folder, err := Build(s.name)
		if err != nil {
			return "", err
		}
		return filepath.Join(folder, name), nil
	}
	return "", fmt.Errorf("%w %q", ErrUnknown, name)
}

// fromAssets tells whether setup-envtest's folder holds the program.
func fromAssets(name string) bool {
	return name == "kube-apiserver" || name == "etcd" || name == "kubectl"
}

// Build is the absolute path of the folder that holds the programs of the
// set called name. They are built when the cache has none for the set's
// present sources; several processes that ask at once build once. While it
// builds it says so on stderr. The error is ErrUnknown for an unknown name.
func Build(name string) (string, error) {
	at := slices.IndexFunc(sets(), func(s set) bool { return s.name == name })
	if at < 0 {
		return "", fmt.Errorf("%w set %q, there are: %s", ErrUnknown, name, strings.Join(Names(), ", "))
	}
	s := sets()[at]
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "integration", "tools", s.name)
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	hash, err := s.hash(source)
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, "weft", "tools", s.name+"-"+hash)
	return target, s.buildOnce(source, target)
}

// buildOnce builds into target unless it is there. The lock beside it makes
// other processes wait; the rename makes target appear whole or not at all.
func (s set) buildOnce(source, target string) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	unlock, err := lock(target + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	unfinished := target + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "tools: building %s from Go modules into %s, once; about %s on 2 cores\n", s.name, target, s.usual)
	started := time.Now()
	if err := s.compile(source, unfinished); err != nil {
		return fmt.Errorf("building %s: %w", s.name, err)
	}
	fmt.Fprintf(os.Stderr, "tools: built %s in %s\n", s.name, time.Since(started).Round(time.Second))
	return os.Rename(unfinished, target)
}

// arguments are those of the go command, without the output file.
func (s set) arguments() []string {
	return append([]string{"build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", s.ldflags}, s.flags...)
}

// compile builds the binary and links the programs' names to it. It uses no
// C compiler: a machine may have none, and an image has no libc.
func (s set) compile(source, folder string) error {
	arguments := append(s.arguments(), "-o", filepath.Join(folder, s.binary), s.pkg)
	command := exec.Command("go", arguments...)
	command.Dir = source
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH=")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	for _, program := range s.programs {
		if program == s.binary {
			continue
		}
		if err := os.Symlink(s.binary, filepath.Join(folder, program)); err != nil {
			return err
		}
	}
	return nil
}

// hash names what the build depends on: the module's files and the command.
func (s set) hash(source string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, s.arguments(), s.pkg, s.binary, s.programs)
	err := filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintln(sum, entry.Name(), len(content))
		sum.Write(content)
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil)[:6]), err
}

// moduleRoot is the folder of Weft's own go.mod, at or above the working
// folder.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if content, err := os.ReadFile(filepath.Join(folder, "go.mod")); err == nil && strings.HasPrefix(string(content), "module github.com/weft-mesh/weft\n") {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("tools: not inside Weft's source tree")
		}
		folder = parent
	}
}
