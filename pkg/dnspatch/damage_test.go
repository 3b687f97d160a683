package dnspatch

import (
	"errors"
	"strings"
	"testing"
)

func TestNoPlaceForTheRule(t *testing.T) {
	for name, tc := range map[string]struct {
		corefile string
		want     error
	}{
		"empty":                      {"", ErrNoRootBlock},
		"keys only":                  {".:53", ErrNoRootBlock},
		"no kubernetes":              {". {\n forward . 1.1.1.1\n}\n", ErrNoRootBlock},
		"kubernetes beside the root": {". {\n errors\n}\ncluster.local {\n kubernetes cluster.local\n}\n", ErrNoRootBlock},
		"unknown zone":               {"{$ZONE}:53 {\n kubernetes cluster.local\n}\n", ErrNoRootBlock},
		"word, not plugin":           {". {\n log kubernetes\n errors {\n  kubernetes\n }\n}\n", ErrNoRootBlock},
		"only reverse zones":         {". {\n kubernetes in-addr.arpa\n}\n", ErrNoClusterDomain},
		"root is no cluster domain":  {". {\n kubernetes\n}\n", ErrNoClusterDomain},
		"kubernetes in a comment":    {". {\n # kubernetes cluster.local\n}\n", ErrNoRootBlock},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Apply(tc.corefile, Config{}); !errors.Is(err, tc.want) {
				t.Errorf("got %q, %v, want error %v", got, err, tc.want)
			}
		})
	}
}

func TestSyntaxErrorsSayTheLine(t *testing.T) {
	for name, tc := range map[string]struct {
		corefile string
		line     int
	}{
		"open block":          {"\n. {\n kubernetes cluster.local\n", 2},
		"open plugin":         {". {\n kubernetes cluster.local {\n", 2},
		"open quote":          {". {\n kubernetes cluster.local\n log \"\n}\n", 3},
		"brace behind words":  {". {\n kubernetes cluster.local }\n", 2},
		"brace behind braces": {". {\n kubernetes a {\n } }\n", 3},
		"brace too many":      {".\nkubernetes cluster.local\n}\n", 3},
		"brace alone":         {". {\n {\n }\n}\n", 2},
		"comma":               {"a, {\n}\n", 1},
		"comma at the end":    {"a,", 1},
		"import of nothing":   {". {\n import\n}\n", 2},
		"import of two":       {"import a b\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Apply(tc.corefile, Config{})
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Line != tc.line {
				t.Errorf("got %v, want a syntax error in line %d", err, tc.line)
			}
		})
	}
}

func TestWrongConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"empty domain":         {Domains: []string{""}},
		"leading dot":          {Domains: []string{".mesh"}},
		"space":                {Domains: []string{"mesh ."}},
		"long label":           {Domains: []string{strings.Repeat("a", 64)}},
		"cluster domain":       {Domains: []string{"cluster.local"}},
		"above it":             {Domains: []string{"mesh", "local"}},
		"below it":             {Domains: []string{"svc.cluster.local"}},
		"namespace of two":     {Namespace: "a.b"},
		"namespace with space": {Namespace: "a b"},
		"wrong cluster domain": {ClusterDomain: "a..b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Apply(read(t, "kubeadm"), cfg); err == nil {
				t.Errorf("no error, but %q", got)
			}
		})
	}
}

func TestDamagedBlockIsRepaired(t *testing.T) {
	clean := read(t, "kubeadm")
	whole, err := Apply(clean, Config{})
	if err != nil {
		t.Fatal(err)
	}
	block := "    " + marked1
	for name, damaged := range map[string]string{
		"rule edited":     strings.Replace(whole, ".weft.", ".left.", 1),
		"rule deleted":    strings.Replace(whole, "    "+rule+"\n", "", 1),
		"lines added":     strings.Replace(whole, "    "+end, "    log {\n      class error\n    }\n    "+end, 1),
		"block doubled":   strings.Replace(whole, block, block+block, 1),
		"block elsewhere": strings.Replace(clean, "    reload\n", "    reload\n"+block, 1),
		"another indent":  strings.Replace(whole, "    "+begin, "\t"+begin, 1),
		"mark reworded":   strings.Replace(whole, begin, "# weft begin", 1),
		"doubled at end":  whole + block + strings.TrimSuffix(block, "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if damaged == whole {
				t.Fatal("nothing is damaged")
			}
			if got, err := Apply(damaged, Config{}); err != nil || strings.TrimSuffix(got, "\n") != strings.TrimSuffix(whole, "\n") {
				t.Errorf("Apply gives %q, %v", got, err)
			}
			if got, err := Remove(damaged); err != nil || strings.TrimSuffix(got, "\n") != strings.TrimSuffix(clean, "\n") {
				t.Errorf("Remove gives %q, %v", got, err)
			}
		})
	}
}

func TestLostMarkIsAnErrorWithItsLine(t *testing.T) {
	whole, err := Apply(read(t, "kubeadm"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ corefile, says string }{
		"no end":         {strings.Replace(whole, "    "+end+"\n", "", 1), "line 2"},
		"no begin":       {strings.Replace(whole, "    "+begin+"\n", "", 1), "line 4"},
		"two begins":     {strings.Replace(whole, begin, begin+"\n    "+begin, 1), "line 2"},
		"end elsewhere":  {strings.Replace(whole, "    "+end+"\n", "", 1) + end + "\n", "line 26"},
		"open brace":     {strings.Replace(whole, rule, rule+" {", 1), "line 4"},
		"quote, no mark": {strings.Replace(whole, "    "+end+"\n", "\"\n"+end+"\n\"\n", 1), "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			for call, err := range map[string]error{
				"Apply":   second(Apply(tc.corefile, Config{})),
				"Remove":  second(Remove(tc.corefile)),
				"Inspect": second(Inspect(tc.corefile)),
			} {
				if !errors.Is(err, ErrMarks) || !strings.Contains(err.Error(), tc.says+",") && !strings.Contains(err.Error(), tc.says+" ") {
					t.Errorf("%s: %v, want it to say %s", call, err, tc.says)
				}
			}
		})
	}
}

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

func TestWhatIsNoMark(t *testing.T) {
	for name, line := range map[string]string{
		"longer word":    "# weft beginning",
		"another word":   "# wefts begin",
		"behind a word":  "errors # weft begin",
		"inside a quote": "log \"\n# weft begin\n\"",
	} {
		t.Run(name, func(t *testing.T) {
			in := ". {\n " + line + "\n kubernetes cluster.local\n}\n"
			checkLaws(t, in, Config{}, Apply)
			if got, err := Remove(in); err != nil || got != in {
				t.Errorf("Remove gives %q, %v", got, err)
			}
		})
	}
}

func TestRemoveWorksOnWhatCoreDNSRefuses(t *testing.T) {
	in := "}} {\n" + marked1 + " \""
	if got, err := Remove(in); err != nil || got != "}} {\n \"" {
		t.Errorf("got %q, %v", got, err)
	}
}
