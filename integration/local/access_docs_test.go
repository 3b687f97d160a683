package local

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// snippet is a block of a document, with what the comment before it says.
type snippet struct{ title, text string }

// snippets returns the blocks of a document that follow <!-- test: … -->.
func snippets(t *testing.T, document string) (out []snippet) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("(?s)<!-- test: ([^\n]*) -->\n```[a-z]*\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		out = append(out, snippet{found[1], found[2]})
	}
	return out
}

// expect makes calls that are written as "call = answer".
func (g *guarded) expect(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		call, want, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if got := g.call(t, call); got != want {
			t.Errorf("%s = %s; want %s", call, got, want)
		}
	}
}

// TestTheExamplesOfSMI runs what docs/smi.md shows.
func TestTheExamplesOfSMI(t *testing.T) {
	all := snippets(t, "smi.md")
	if len(all) < 10 || all[0].title != "rules" {
		t.Fatalf("docs/smi.md has %d examples", len(all))
	}
	g := newGuarded(t, "enforce")
	for _, example := range all[1:] {
		t.Run(example.title, func(t *testing.T) {
			g.apply(t, all[0].text+"---\n"+example.text)
			g.expect(t, strings.Split(example.title, ";"))
		})
	}
}

// TestLockingANamespaceDown takes the steps of docs/access.md.
func TestLockingANamespaceDown(t *testing.T) {
	parts := map[string]string{}
	for _, s := range snippets(t, "access.md") {
		parts[s.title] = s.text
	}
	g := newGuarded(t, "off")
	calls := strings.Split(strings.TrimSpace(parts["calls"]), "\n")
	pass := func() {
		t.Helper()
		for _, line := range calls {
			call, _, _ := strings.Cut(line, " = ")
			if got := g.call(t, call); !strings.Contains(got, "orders") && got != "OK" {
				t.Errorf("audit: %s = %s", call, got)
			}
		}
	}
	series, labels, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(parts["metric"]), "}"), "{")
	counted := func() bool {
		_, body := g.get("/metrics")
		for line := range strings.Lines(body) {
			ok := strings.HasPrefix(line, series+"{")
			for _, label := range strings.Split(labels, ",") {
				ok = ok && strings.Contains(line, label)
			}
			if ok {
				return true
			}
		}
		return false
	}
	g.apply(t, parts["audit.yaml"])
	pass()
	if !counted() {
		t.Error("what would be refused is not counted")
	}
	g.apply(t, parts["audit.yaml"]+"---\n"+parts["target.yaml"])
	pass()
	g.apply(t, parts["enforce.yaml"]+"---\n"+parts["target.yaml"])
	g.expect(t, calls)
	if problems := g.found(); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
}
