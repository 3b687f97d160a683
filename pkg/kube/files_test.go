package kube

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// write writes a file as an editor does: it appears whole.
func write(t *testing.T, path, content string) {
	t.Helper()
	hidden := filepath.Join(filepath.Dir(path), ".new")
	if err := os.WriteFile(hidden, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, path); err != nil {
		t.Fatal(err)
	}
}

func service(name string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: shop}\n"
}

func files(paths ...string) *Files {
	return NewFiles(FilesConfig{Paths: paths, Poll: 5 * time.Millisecond, Log: zerolog.Nop()})
}

func noProblem(in *mesh.Inputs) bool { return len(in.Problems) == 0 }

func TestFilesFollowTheFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "below", ".hidden"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.yaml"), service("a"))
	write(t, filepath.Join(dir, "below", "b.yml"), service("b"))
	write(t, filepath.Join(dir, "below", ".hidden", "c.yaml"), service("c"))
	write(t, filepath.Join(dir, "notes.txt"), service("d"))
	w := follow(t, files(dir))
	w.until("the files that were there", has("a", "b"))
	write(t, filepath.Join(dir, "e.json"), `{"apiVersion":"v1","kind":"Service","metadata":{"name":"e","namespace":"shop"}}`)
	w.until("a new file", has("a", "b", "e"))
	write(t, filepath.Join(dir, "a.yaml"), service("a")+"---\n"+service("a2"))
	w.until("a changed file", has("a", "a2", "b", "e"))
	if err := os.Remove(filepath.Join(dir, "below", "b.yml")); err != nil {
		t.Fatal(err)
	}
	w.until("a removed file", has("a", "a2", "e"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.until("a removed folder", all(has(), noProblem))
}

// A ConfigMap is mounted as links through a folder that is replaced.
func TestFilesFollowLinks(t *testing.T) {
	dir := t.TempDir()
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, ".next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, ".next"), filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"..1", "..2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "..1", "x.yaml"), service("a"))
	write(t, filepath.Join(dir, "..2", "x.yaml"), service("b"))
	link("..1", "..data")
	link(filepath.Join("..data", "x.yaml"), "x.yaml")
	link(".", "itself") // a loop is not followed
	w := follow(t, files(dir, filepath.Join(dir, "x.yaml")))
	w.until("the linked file, once", all(has("a"), noProblem))
	link("..2", "..data")
	w.until("the new version", has("b"))
}

func TestBrokenFilesKeepWhatStood(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	write(t, a, service("a"))
	write(t, b, service("b")+"---\nkind: [\n")
	w := follow(t, files(dir))
	w.until("the good file beside the broken one", all(has("a"), hasProblem("File "+b+":4", mesh.Malformed)))
	write(t, b, service("b"))
	w.until("the file once it is readable", all(has("a", "b"), noProblem))
	write(t, b, service("c")+"---\nkind: [\n")
	w.until("the problem", all(has("a", "b"), hasProblem("File "+b+":4", mesh.Malformed)))
	write(t, a, service("d"))
	w.until("that good files go on", has("d", "b"))
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	w.until("that nothing is left of it", all(has("d"), noProblem))
}

func TestBrokenObjectsKeepWhatStood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	split := func(weight string) string {
		return "---\napiVersion: split.smi-spec.io/v1alpha2\nkind: TrafficSplit\nmetadata: {name: s, namespace: shop}\n" +
			"spec: {service: a, backends: [{service: a, weight: " + weight + "}]}\n"
	}
	weight := func(want int64) func(*mesh.Inputs) bool {
		return func(in *mesh.Inputs) bool {
			s := in.Splits[name("s")]
			return len(s.Backends) == 1 && s.Backends[0].Weight == want
		}
	}
	write(t, path, split("1"))
	w := follow(t, files(path))
	w.until("the split", all(weight(1000), noProblem))
	write(t, path, split("none")+"---\n"+service("a"))
	w.until("the problem beside what stood", all(has("a"), weight(1000), hasProblem("TrafficSplit shop/s", mesh.Malformed)))
	write(t, path, split("2"))
	w.until("the split once it is readable", all(has(), weight(2000), noProblem))
}

func TestTheFirstOfTwoCounts(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	write(t, a, strings.Replace(service("a"), "{", "{uid: first, ", 1))
	write(t, b, service("b")+"---\n"+strings.Replace(service("a"), "{", "{uid: second, ", 1))
	w := follow(t, files(b, a))
	w.until("the first and a problem", all(has("a", "b"), hasProblem("Service shop/a", Duplicate), func(in *mesh.Inputs) bool {
		return in.Services[name("a")].Ref.UID == "first"
	}))
	for _, p := range w.in.Problems {
		if want := "Service shop/a stands at " + a + ":1 and again at " + b + ":4; the first counts"; p.Message != want {
			t.Errorf("got  %s\nwant %s", p.Message, want)
		}
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	w.until("the second", all(noProblem, func(in *mesh.Inputs) bool { return in.Services[name("a")].Ref.UID == "second" }))
}

// What cannot be seen is not gone. Root is denied nothing, so something that is
// neither file nor folder stands for what the system denies.
func TestHiddenFilesAreNotGone(t *testing.T) {
	named := filepath.Join(t.TempDir(), "named")
	write(t, named, service("a"))
	f := files(named)
	f.look(true)
	f.config.Paths = []string{os.DevNull}
	if !f.look(false) {
		t.Error("that nothing can be seen is nothing new")
	}
	if f.look(false) {
		t.Error("that still nothing can be seen is new again")
	}
	merged := f.merge()
	if len(merged) != 2 || merged[0].problem == nil || merged[0].ref.Name != os.DevNull || merged[1].piece == nil {
		t.Errorf("got %+v, want the problem and the Service", merged)
	}
}

// A file that cannot be read is tried at every look, and told once.
func TestDeniedFilesAreTriedAgain(t *testing.T) {
	dir := t.TempDir()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, known := files(dir), &file{readings: []located{{place: "x:1"}}}
	if !f.take(dir, info, known) || f.take(dir, info, known) {
		t.Error("want it to be new at the first look only")
	}
	if len(known.broken) != 1 || known.broken[0].Object.Name != dir || len(known.readings) != 1 {
		t.Errorf("got %+v, want the problem and what was read before", known)
	}
	path := filepath.Join(dir, "a.yaml")
	write(t, path, service("a"))
	if !f.take(path, info, known) || known.broken != nil || known.readings[0].reading.ref.Name != "a" {
		t.Errorf("got %+v, want the file once it can be read", known)
	}
}

func TestAnUnchangedObjectTellsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, service("a"))
	f := files(path)
	f.look(true)
	if got := f.ledger.replace(f.merge()); len(got) != 1 {
		t.Fatalf("got %+v, want the Service", got)
	}
	write(t, path, "# the same\n"+service("a"))
	if f.look(false) {
		t.Error("a change was taken before it had settled")
	}
	if !f.look(false) {
		t.Error("a change that has settled was not taken")
	}
	if got := f.ledger.replace(f.merge()); len(got) != 0 {
		t.Errorf("got %+v, want nothing", got)
	}
}

func TestAMissingPathIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere.yaml")
	err := files(path).Run(context.Background(), func(mesh.Change) { t.Error("something was told") })
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the path", err)
	}
}
