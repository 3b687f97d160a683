package dnspatch

import (
	"strings"
	"testing"
)

// seed gives a fuzzer every Corefile of the tables.
func seed(f *testing.F) {
	for _, place := range places {
		before, after := expand(place, "\n")
		f.Add(before)
		f.Add(strings.ReplaceAll(after, "\n", "\r\n"))
	}
	for _, name := range []string{"kubeadm", "k3s", "nodelocal"} {
		f.Add(read(f, name))
	}
	f.Add(read(f, "nodelocal") + nodeLocalBlock)
	f.Add("cluster.local {\n forward { } \n}")
	f.Add("a\n" + begin + "\n" + end + "\n" + begin + "\n" + end)
}

// fuzzLaws checks the promises on whatever text the edit takes.
func fuzzLaws(t *testing.T, in string, apply edit) {
	cfg := Config{ClusterDomain: "cluster.local"}
	bare, err := Remove(in)
	if err != nil {
		return
	}
	if again, err := Remove(bare); err == nil && again != bare && !strings.Contains(in, beginMark) {
		t.Errorf("Remove changes a text without marks: %q", again)
	}
	patched, err := apply(in, cfg)
	if err != nil {
		return
	}
	checkLaws(t, bare, cfg, apply)
	if direct, err := apply(bare, cfg); err != nil || direct != patched {
		t.Errorf("an old block shows through: %q, %v, want %q", patched, err, direct)
	}
}

func FuzzApply(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, in string) { fuzzLaws(t, in, Apply) })
}

func FuzzApplyNodeLocal(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, in string) { fuzzLaws(t, in, ApplyNodeLocal) })
}

func FuzzInspect(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, in string) {
		info, err := Inspect(in)
		_, applyErr := Apply(in, Config{ClusterDomain: "cluster.local"})
		if err == nil && info.Root != (applyErr == nil) {
			t.Errorf("Inspect says Root %v, Apply says %v", info.Root, applyErr)
		}
	})
}
