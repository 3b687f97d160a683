package dnspatch

import (
	"embed"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:embed testdata/*.Corefile
var corefiles embed.FS

// read is a Corefile of the testdata folder.
func read(t testing.TB, name string) string {
	t.Helper()
	b, err := corefiles.ReadFile("testdata/" + name + ".Corefile")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const marked1 = beginLine + "\n    rewrite continue ttl suffix .mesh 5\n    rewrite name suffix .mesh .weft.svc.cluster.local answer auto\n    " + endMark + "\n"

func TestApplyPutsTheRuleFirst(t *testing.T) {
	in := read(t, "kubeadm")
	got, err := Apply(in, Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(in, ".:53 {\n", ".:53 {\n    "+marked1, 1)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// begin, ttl, rule and end are the lines of a block, to build expectations.
const (
	begin = beginLine
	ttl   = "rewrite continue ttl suffix .mesh 5"
	rule  = "rewrite name suffix .mesh .weft.svc.cluster.local answer auto"
	end   = endMark
)

// places are Corefiles in which "@" shows where the block must go, with its
// indentation before the "@".
var places = map[string]string{
	"tabs":                "\t. {\n\t\t@\t\tkubernetes cluster.local\n}\n",
	"no final newline":    ".:53 {\n  @  kubernetes cluster.local\n}",
	"brace on its line":   ".:53\n{\n  @  kubernetes cluster.local\n}",
	"comment after brace": ". { # one\n@kubernetes cluster.local # two\n}\n",
	"comment first":       ". {\n  @# one\n  errors\n  kubernetes cluster.local\n}\n",
	"rest of brace's line": ". { kubernetes cluster.local {\n pods insecure\n }\n" +
		"    @}\n",
	"brace of the plugin on its line": ". { kubernetes cluster.local\n{\n}\n  @  errors\n}\n",
	"no braces":                       ".:53\n@\nkubernetes cluster.local\nerrors\n",
	"byte order mark":                 byteOrderMark + ". {\n @ kubernetes cluster.local\n}\n",
	"transport":                       "dns://.:5353 {\n @ kubernetes cluster.local\n}\n",
	"only a port":                     ":53 {\n @ kubernetes cluster.local\n}\n",
	"port from the environment":       ".:{$PORT} {\n @ kubernetes cluster.local\n}\n",
	"several keys":                    "example.org, .:53 {\n @ kubernetes cluster.local\n}\n",
	"keys on two lines":               "example.org,\n.:53 {\n @ kubernetes cluster.local\n}\n",
	"quoted words":                    "\".\" {\n @ \"kubernetes\" \"cluster.local\"\n errors {\n  stop \"} # \\\" {\"\n }\n}\n",
	"word over two lines":             ". {\n @ log . \"a\n}\"\n kubernetes cluster.local\n}\n",
	"second block":                    "a.org {\n errors\n}\n. {\n @ kubernetes cluster.local\n}\n",
	"reverse zone first":              ". {\n @ kubernetes in-addr.arpa 10.96.0.0/12 Cluster.Local.\n}\n",
	"zones of the keys":               ". cluster.local {\n @ kubernetes\n}\n",
	"zones of the keys, own block":    ". cluster.local {\n @ kubernetes {\n  pods insecure\n }\n}\n",
	"snippet":                         "(k) {\n kubernetes cluster.local\n}\n. {\n @ import k\n}\n",
	"snippet in a snippet":            "(a) {\n import b\n}\n(b) {\n import a\n kubernetes cluster.local\n}\n. {\n @ import a\n}\n",
	"imports around":                  "import *.server\n. {\n @ import x/*.override\n kubernetes cluster.local\n}\nimport b\n",
	"user's catch-all":                ". {\n @ rewrite name suffix . .example.org\n kubernetes cluster.local\n}\n",
	"two blocks":                      ".:53 {\n @ kubernetes cluster.local\n}\n.:54 {\n\t@\tkubernetes cluster.local\n}\n",
	"hash inside a word":              ". {\n @ errors#x y\n kubernetes cluster.local\n}\n",
}

// expand turns a Corefile of places into the one before and the one after.
func expand(place, eol string) (before, after string) {
	lines := strings.Split(place, "\n")
	for i, line := range lines {
		if indent, rest, ok := strings.Cut(line, "@"); ok {
			lines[i] = indent + begin + "\n" + indent + ttl + "\n" + indent + rule + "\n" + indent + end + "\n" + rest
			place = strings.Replace(place, indent+"@", "", 1)
		}
	}
	return strings.ReplaceAll(place, "\n", eol), strings.ReplaceAll(strings.Join(lines, "\n"), "\n", eol)
}

func TestApplyAndRemoveEverywhere(t *testing.T) {
	for name, place := range places {
		for ending, eol := range map[string]string{"LF": "\n", "CRLF": "\r\n"} {
			t.Run(name+"/"+ending, func(t *testing.T) {
				before, after := expand(place, eol)
				got, err := Apply(before, Config{})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(after, got); d != "" {
					t.Errorf("Apply (-want +got)\n%s", d)
				}
				checkLaws(t, before, Config{}, Apply)
			})
		}
	}
}

// edit is Apply or ApplyNodeLocal.
type edit func(string, Config) (string, error)

// checkLaws checks what the package promises of a Corefile that the edit takes.
func checkLaws(t *testing.T, before string, cfg Config, apply edit) {
	t.Helper()
	once, err := apply(before, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := apply(once, cfg); err != nil || twice != once {
		t.Errorf("a second time gives %q, %v, want %q", twice, err, once)
	}
	if back, err := Remove(once); err != nil || back != before {
		t.Errorf("Remove gives %q, %v, want %q", back, err, before)
	}
	other := Config{Domains: []string{"other", "traefik.other"}, Namespace: "else", ClusterDomain: cfg.ClusterDomain}
	direct, err := apply(before, other)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := apply(once, other); err != nil || changed != direct {
		t.Errorf("another config gives %q, %v, want %q", changed, err, direct)
	}
}

func TestRulesOfSeveralDomains(t *testing.T) {
	cfg := Config{Domains: []string{"mesh", "maesh", "traefik.mesh", "MESH."}, Namespace: "ns", ClusterDomain: "k8s.example"}
	got, err := Apply(". {\nkubernetes {$ZONE}\n}", cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := ". {\n" + begin + `
rewrite continue ttl suffix .traefik.mesh 5
rewrite name suffix .traefik.mesh .ns.svc.k8s.example answer auto
rewrite continue ttl suffix .maesh 5
rewrite name suffix .maesh .ns.svc.k8s.example answer auto
rewrite continue ttl suffix .mesh 5
rewrite name suffix .mesh .ns.svc.k8s.example answer auto
` + end + "\nkubernetes {$ZONE}\n}"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestPlaceholderIsCarriedIntoTheRule(t *testing.T) {
	got, err := Apply(". {\n kubernetes {$Zone} {%OTHER%}\n}", Config{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, " .weft.svc.{$Zone} answer auto\n") {
		t.Errorf("got %q", got)
	}
}

func TestOverride(t *testing.T) {
	got, err := Override(Config{ClusterDomain: "cluster.local"})
	if want := begin + "\n" + ttl + "\n" + rule + "\n" + end + "\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := Override(Config{}); !errors.Is(err, ErrNoClusterDomain) {
		t.Errorf("without a cluster domain: %v", err)
	}
}
