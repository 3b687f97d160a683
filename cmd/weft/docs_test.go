package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/internal/config"
)

// TestEveryOptionIsDocumentedWithItsDefault holds docs/options.md to the code.
func TestEveryOptionIsDocumentedWithItsDefault(t *testing.T) {
	text, err := os.ReadFile("../../docs/options.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(text), "\n## weft ")
	for _, c := range commands() {
		fields := config.Fields(c.make())
		if len(fields) == 0 {
			continue
		}
		section := ""
		for _, s := range sections[1:] {
			if strings.HasPrefix(s, c.name+"\n") {
				section = s
			}
		}
		for _, f := range fields {
			value := "none"
			if f.Default != "" {
				value = "`" + f.Default + "`"
			}
			short := ""
			if f.Short != "" {
				short = "`-" + f.Short + "`, "
			}
			if row := fmt.Sprintf("| %s`--%s` | %s | %s |", short, f.Name, value, f.Description); !strings.Contains(section, row) {
				t.Errorf("docs/options.md, weft %s, lacks the row\n%s", c.name, row)
			}
		}
		if rows := len(regexp.MustCompile("(?m)^\\| (`-.`, )?`--").FindAllString(section, -1)); rows != len(fields) {
			t.Errorf("docs/options.md, weft %s, has %d options; the command has %d", c.name, rows, len(fields))
		}
	}
}

// TestLinksLeadSomewhere: each relative link of the documents is a file, and its
// fragment a heading there.
func TestLinksLeadSomewhere(t *testing.T) {
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(documents) < 4 {
		t.Fatalf("documents %v, %v", documents, err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	for _, document := range append(documents, "../../README.md", "../../CONTRIBUTING.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			target := document
			if l[1] != "" {
				target = filepath.Join(filepath.Dir(document), l[1])
			}
			content, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s links to %s: %v", document, l[1], err)
			}
			if l[2] != "" && !hasHeading(string(content), l[2]) {
				t.Errorf("%s links to %s#%s, which is no heading", document, l[1], l[2])
			}
		}
	}
}

// hasHeading tells whether a heading has the fragment that GitHub gives it: in
// lower case, without punctuation, with dashes for blanks.
func hasHeading(text, fragment string) bool {
	punctuation := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(text) {
		title := strings.TrimSpace(strings.TrimLeft(line, "#"))
		if strings.HasPrefix(line, "#") && strings.ReplaceAll(punctuation.ReplaceAllString(strings.ToLower(title), ""), " ", "-") == fragment {
			return true
		}
	}
	return false
}

// TestEveryMetricIsDocumented compares docs/metrics.md with the names in the code.
func TestEveryMetricIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := filepath.Glob("../../pkg/telemetry/*.go")
	if err != nil {
		t.Fatal(err)
	}
	inCode, inDocument := inFiles(t, `"(weft_[a-z_]+)"`, append(code, "../../pkg/tracing/tracer.go", "controller_metrics.go")...), map[string]bool{}
	for _, name := range regexp.MustCompile("(?m)^\\| `(weft_[a-z_]+)`").FindAllSubmatch(text, -1) {
		inDocument[string(name[1])] = true
	}
	if diff := cmp.Diff(inCode, inDocument); diff != "" || len(inCode) < 15 {
		t.Errorf("metrics in the code (-) and in docs/metrics.md (+):\n%s", diff)
	}
}

// inFiles are the names that a pattern finds in files but tests.
func inFiles(t *testing.T, pattern string, files ...string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			out[string(name[1])] = true
		}
	}
	return out
}

// TestEveryProblemIsDocumented compares docs/problems.md with the reasons in the
// code: constants whose value is a word in CamelCase.
func TestEveryProblemIsDocumented(t *testing.T) {
	inCode := inFiles(t, `(?m)^(?:const |\t)\w+ += "([A-Z][A-Za-z]+)"`,
		"../../pkg/mesh/problem.go", "../../pkg/guard/plan.go", "../../pkg/kube/files.go", "../../pkg/local/addresses.go",
		"../../pkg/nodeproxy/publish.go", "../../pkg/reconcile/writer.go", "../../pkg/shadow/plan.go", "controller.go")
	inDocument := inFiles(t, "(?m)^\\| `([A-Za-z]+)` \\|", "../../docs/problems.md")
	if diff := cmp.Diff(inCode, inDocument); diff != "" || len(inCode) < 30 {
		t.Errorf("reasons in the code (-) and in docs/problems.md (+):\n%s", diff)
	}
}
