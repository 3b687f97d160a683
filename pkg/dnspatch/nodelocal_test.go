package dnspatch

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const nodeLocalBlock = begin + `
mesh:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    bind 169.254.20.10 10.96.0.10
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
}
` + end

func TestApplyNodeLocal(t *testing.T) {
	for name, in := range map[string]string{
		"final newline":    read(t, "nodelocal"),
		"no final newline": strings.TrimSuffix(read(t, "nodelocal"), "\n"),
		"comment at end":   read(t, "nodelocal") + "# the end",
	} {
		for ending, eol := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
			t.Run(name+"/"+ending, func(t *testing.T) {
				want := in + "\n" + nodeLocalBlock
				if strings.HasSuffix(in, "\n") {
					want = in + nodeLocalBlock + "\n"
				}
				in, want := strings.ReplaceAll(in, "\n", eol), strings.ReplaceAll(want, "\n", eol)
				got, err := ApplyNodeLocal(in, Config{})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("(-want +got)\n%s", d)
				}
				checkLaws(t, in, Config{}, ApplyNodeLocal)
				checkLaws(t, in, Config{ClusterDomain: "cluster.local"}, ApplyNodeLocal)
			})
		}
	}
}

func TestNodeLocalFollowsTheClusterDomainsBlock(t *testing.T) {
	in := "(f) {\n forward cluster.local 10.0.0.10\n}\n" +
		"example.org {\n forward . 1.1.1.1\n}\n" +
		"a.org dns://Cluster.Local.:5353 {\n\timport f\n\thealth\n\tbind 1.2.3.4\n}\n" +
		"traefik.mesh:5353 {\n forward . 2.2.2.2\n}"
	got, err := ApplyNodeLocal(in, Config{Domains: []string{"mesh", "x.mesh", "traefik.mesh"}, ClusterDomain: "cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	want := in + "\n" + begin + "\ndns://x.mesh:5353 dns://mesh:5353 {\n\tforward . 10.0.0.10\n\tbind 1.2.3.4\n}\n" + end
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got, err := ApplyNodeLocal(in, Config{Domains: []string{"traefik.mesh"}, ClusterDomain: "cluster.local"}); err != nil || got != in {
		t.Errorf("all domains taken: %q, %v", got, err)
	}
}

func TestNodeLocalWithoutAForwarder(t *testing.T) {
	in := ".:53 {\n forward . 1.1.1.1\n}\nin-addr.arpa {\n forward . 1.1.1.1\n}\ncluster.local {\n errors\n}\n"
	for _, zone := range []string{"", "cluster.local", "{$ZONE}"} {
		if got, err := ApplyNodeLocal(in, Config{ClusterDomain: zone}); !errors.Is(err, ErrNoForwardBlock) {
			t.Errorf("%q: got %q, %v", zone, got, err)
		}
	}
}

func TestInspect(t *testing.T) {
	patched, err := Apply(read(t, "kubeadm"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	nodeLocal, err := ApplyNodeLocal(read(t, "nodelocal"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		in   string
		want Info
	}{
		"kubeadm":         {read(t, "kubeadm"), Info{Root: true, ClusterDomain: "cluster.local", Reload: true}},
		"patched":         {patched, Info{Patched: true, Root: true, ClusterDomain: "cluster.local", Reload: true}},
		"k3s":             {read(t, "k3s"), Info{Root: true, ClusterDomain: "cluster.local", Reload: true, OverrideDir: "/etc/coredns/custom"}},
		"node-local":      {nodeLocal, Info{Patched: true, Reload: true, Zones: []string{"cluster.local"}}},
		"relative import": {". {\n import custom/*.override\n kubernetes a.b\n}", Info{Root: true, ClusterDomain: "a.b", OverrideDir: "custom"}},
		"import in one of two": {".:1 {\n import x/*\n kubernetes a.b\n}\n.:2 {\n kubernetes a.b\n}",
			Info{Root: true, ClusterDomain: "a.b"}},
		"other imports": {". {\n import x/*.conf\n import y/a.override\n kubernetes a.b\n}", Info{Root: true, ClusterDomain: "a.b"}},
		"reload off":    {"a b:1 {\n reload 0s\n}\n10.0.0.0/8 {\n hosts {\n  reload 5s\n }\n}", Info{Zones: []string{"a", "b"}}},
		"reload slow":   {"a {\n reload 10m\n}", Info{Reload: true, Zones: []string{"a"}}},
		"reload in a snippet": {"(r) {\n reload\n}\na {\n import r\n}",
			Info{Reload: true, Zones: []string{"a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Inspect(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestShadowed(t *testing.T) {
	info, err := Inspect(". {\n kubernetes a.b\n}\nmesh:53 {\n}\nshop.maesh other {\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	got := info.Shadowed(Config{Domains: []string{"mesh", "maesh", "traefik.mesh"}})
	if d := cmp.Diff([]string{"traefik.mesh", "mesh"}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got := info.Shadowed(Config{Domains: []string{"."}}); got != nil {
		t.Errorf("a wrong config: %q", got)
	}
}
