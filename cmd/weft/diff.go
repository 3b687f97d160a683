package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/kube"
	"github.com/weft-mesh/weft/pkg/mesh"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
)

// diffCommand is `weft diff`: what would change for whom, if a file were applied?
type diffCommand struct {
	File       []string `short:"f" description:"The YAML files and folders that would be applied. Required."`
	Manifests  []string `description:"YAML files and folders of what there is now, as weft local has them; without it, the cluster."`
	Access     string   `description:"What holds where no namespace says otherwise, as the node proxies have it: off, audit or enforce." oneOf:"off audit enforce"`
	Kubeconfig string   `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Namespace  string   `description:"Weft's own namespace."`
	Output     string   `short:"o" description:"How the answer is shown: table, wide, json or yaml." oneOf:"table wide json yaml"`
}

func newDiff() runner {
	return &diffCommand{Namespace: "weft", Access: mesh.AccessOff.String(), Output: console.FormatTable}
}

// Run reads what there is, lays the files over it, and compares the Meshes that
// the code of the proxies builds of both. It is errNo where they differ.
func (c *diffCommand) Run(ctx context.Context, out io.Writer) error {
	if len(c.File) == 0 {
		return usageError("-f is missing; it takes the YAML files that would be applied, such as -f new.yaml")
	}
	if err := cmp.Or(checkNamespace(c.Namespace), checkPaths("file", c.File...), checkPaths("manifests", c.Manifests...)); err != nil {
		return err
	}
	in := mesh.NewInputs()
	_ = in.Access.Mode.UnmarshalText([]byte(c.Access)) // its words are checked
	authorities, err := c.now(ctx, in)
	if err != nil {
		return err
	}
	before, err := build(ctx, in, authorities)
	if err != nil {
		return err
	}
	if err := read(ctx, "file", c.File, in); err != nil {
		return err
	}
	after, err := build(ctx, in, authorities)
	if err != nil {
		return err
	}
	changes := compare(before, after)
	p := console.New(out, c.Output)
	if done, err := p.Structured(changes); done && err != nil {
		return err
	} else if !done {
		printChanges(p, changes)
	}
	if len(changes) > 0 {
		return errNo
	}
	return nil
}

// now reads what there is, and tells who reads the CAs that are not in files:
// nil for nobody.
func (c *diffCommand) now(ctx context.Context, in *mesh.Inputs) (kubernetes.Interface, error) {
	if len(c.Manifests) > 0 {
		return nil, read(ctx, "manifests", c.Manifests, in)
	}
	k, err := connect(c.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%w; to compare with files: --manifests", err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	err = firstPicture(ctx, kube.NewCluster(kube.ClusterConfig{Client: k.typed, Dynamic: k.dynamic, Namespace: c.Namespace, Log: zerolog.Nop(), Failed: func(kind string, err error) {
		fail(fmt.Errorf("reading what the cluster has of kind %s: %w", kind, err))
	}}), in)
	clear(in.CAs) // what it says of those that may not be read is of Weft, not of who asks
	return k.typed, err
}

// read takes in what the files of a flag hold. One that cannot be read would
// change nothing, which is no answer: it is an error.
func read(ctx context.Context, flag string, paths []string, in *mesh.Inputs) error {
	err := firstPicture(ctx, kube.NewFiles(kube.FilesConfig{Paths: paths, Log: zerolog.Nop()}), in)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	var broken []mesh.Problem
	for _, p := range in.Problems {
		if p.Object.Kind == kube.FileKind {
			broken = append(broken, p)
		}
	}
	var all []error
	for _, p := range mesh.SortProblems(broken) {
		all = append(all, usageError("--%s: %s: %s", flag, p.Object.Name, p.Message))
	}
	return errors.Join(all...)
}

// firstPicture applies the first full picture of a source.
func firstPicture(ctx context.Context, source control.Source, in *mesh.Inputs) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var mu sync.Mutex // guards in and full: a source may tell from several goroutines
	full := false
	err := source.Run(ctx, func(change mesh.Change) {
		mu.Lock()
		defer mu.Unlock()
		if change.Apply != nil && !full {
			change.Apply(in)
		}
		if change.Synced {
			full = true
			enough()
		}
	})
	if err != nil || full {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errors.New("stopped before everything was read")
}

// build builds the Mesh of what there is, with every Service listening and the
// CAs that stand in the cluster alone.
func build(ctx context.Context, in *mesh.Inputs, authorities kubernetes.Interface) (*mesh.Mesh, error) {
	listen(in)
	m := mesh.Build(in)
	if authorities == nil {
		return m, nil
	}
	names := wanted(m, in)
	if len(names) == 0 {
		return m, nil
	}
	for _, name := range names {
		ca, err := kube.ReadCA(ctx, authorities, name)
		switch {
		case apierrors.IsForbidden(err):
			fmt.Fprintf(os.Stderr, "weft: Secret %s is taken for readable and right, for you may not read it: %v\n", name, err)
		case apierrors.IsNotFound(err):
			continue // the Mesh says so
		case err != nil:
			return nil, err
		}
		in.CAs[name] = ca
	}
	return mesh.Build(in), nil
}

// wanted are the Secrets whose CA a Mesh needs and the Inputs lack.
func wanted(m *mesh.Mesh, in *mesh.Inputs) (names []mesh.Name) {
	for _, s := range m.Services {
		for _, p := range s.Ports {
			if p.TLS == nil || p.TLS.CASecret == "" {
				continue
			}
			name := mesh.Name{Namespace: s.Name.Namespace, Name: p.TLS.CASecret}
			if _, known := in.CAs[name]; !known && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// listen gives each Service that has none a listening address, so that it is
// compared: of those in files nobody has made one.
func listen(in *mesh.Inputs) {
	for name, service := range in.Services {
		if _, has := in.Frontends[name]; has {
			continue
		}
		var f mesh.Frontend
		for _, port := range service.Ports {
			f.Ports = append(f.Ports, mesh.FrontendPort{Number: port.Number, Transport: port.Transport})
		}
		in.Frontends[name] = f
	}
}

// change is what becomes other for one thing.
type change struct {
	Subject string   `json:"subject"`
	Gone    []string `json:"gone,omitempty"`
	New     []string `json:"new,omitempty"`
}

// compare tells what differs, subject by subject: what was so and is no more,
// what was not so and now is.
func compare(before, after *mesh.Mesh) []change {
	was, is := facts(before), facts(after)
	var out []change
	for _, subject := range union(was, is) {
		c := change{Subject: subject, Gone: without(was[subject], is[subject]), New: without(is[subject], was[subject])}
		if len(c.Gone)+len(c.New) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// union is the keys of both, sorted.
func union(a, b map[string][]string) (keys []string) {
	for _, m := range []map[string][]string{a, b} {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func without(these, those []string) (left []string) {
	for _, s := range these {
		if !slices.Contains(those, s) {
			left = append(left, s)
		}
	}
	return left
}

func printChanges(p *console.Printer, changes []change) {
	if len(changes) == 0 {
		p.Printf("nothing would change\n")
	}
	for i, c := range changes {
		if i > 0 {
			p.Printf("\n")
		}
		p.Printf("%s\n", p.Strong(c.Subject))
		for _, s := range c.Gone {
			p.Printf("  %s\n", p.Bad("- "+s))
		}
		for _, s := range c.New {
			p.Printf("  %s\n", p.Good("+ "+s))
		}
	}
}

// facts writes a Mesh as sentences about Services, about who may call whom, and
// about problems.
func facts(m *mesh.Mesh) map[string][]string {
	out := map[string][]string{}
	for _, s := range m.Services {
		out["Service "+s.Name.String()] = serviceFacts(s)
	}
	accessFacts(m, out)
	for _, p := range m.Problems {
		out["Problems"] = append(out["Problems"], fmt.Sprintf("%s: %s: %s", p.Object, p.Reason, p.Message))
	}
	return out
}

func serviceFacts(s *mesh.Service) (out []string) {
	for _, p := range s.Ports {
		add := func(format string, args ...any) {
			out = append(out, fmt.Sprintf("port %d: ", p.Number)+fmt.Sprintf(format, args...))
		}
		add("speaks %s", spoken(p))
		for i, r := range p.Routes {
			add("%d. %s: %s", i+1, routeLine(r), shares(r.Backends))
		}
		if len(p.Routes) == 0 {
			add("every call goes to its own endpoints")
		}
		for _, e := range p.Endpoints {
			add("endpoint %s", e.Address)
		}
		for _, policy := range policyLines(p.Policy) {
			add("%s", policy)
		}
	}
	return out
}

// shares writes what each backend gets.
func shares(backends []mesh.Backend) string {
	var sum int64
	for _, b := range backends {
		sum += b.Weight
	}
	var out []string
	for _, b := range backends {
		out = append(out, percent(b.Weight, sum)+" "+b.Service.Name)
	}
	return strings.Join(out, ", ")
}

// accessFacts tells, for each service account that workloads run as and each
// IdentityBinding that they are in, who may call them; and who is in a binding.
func accessFacts(m *mesh.Mesh, out map[string][]string) {
	modes := map[mesh.Principal]mesh.AccessMode{}
	for _, w := range m.Workloads {
		for _, p := range w.Principals() {
			modes[p] = w.Access
			if members := "Workloads of " + principal(p); p.Binding && !slices.Contains(out[members], owner(w)) {
				out[members] = append(out[members], owner(w))
			}
		}
	}
	for p, mode := range modes {
		var may []string
		if !p.Binding { // whose workloads have accounts, which say the mode
			may = append(may, modeLine(mode))
		}
		if mode != mesh.AccessOff {
			may = append(may, grantedTo(m.Access.Grants, p)...)
		}
		if len(may) > 0 {
			out["Calls to "+principal(p)] = may
		}
	}
}
