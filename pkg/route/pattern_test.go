package route

import (
	"regexp"
	"testing"
)

// Reduced or not, a pattern means what the expression means.
func TestPatternsMeanWhatTheirExpressionsMean(t *testing.T) {
	texts := []string{"", "/", "/api", "/api/", "/api/v1", "/apis", "/API", "/x/api", "a", "ab", "abc", "v1", "v1.2", "v1x2", "a.b", "b", "/a$", "(", "/v1/items/12"}
	for _, expression := range []string{
		"", ".*", "/", "/api", "/api.*", "/api/.*", "/api$", "^/api", "^/api$", "/api.*$", "/api.*?", "(?i)/api", "/api(/.*)?", "/api(?:/|$)",
		"a|b", "a|b$", "[ab]", "a+", "a.b", `a\.b`, `v1\.2`, "v1.2", "(/api)", "/(api|apis)$", `/a\$`, `\(`, "/v[0-9]+/items/[0-9]+", "^$", "$", "a*", "(?s)/api.*", "a?b",
	} {
		for _, whole := range []bool{false, true} {
			text := "^(?:" + expression + ")"
			if whole {
				text += "$"
			}
			want, got := regexp.MustCompile(text), compile(expression, whole)
			for _, text := range texts {
				if got.match([]byte(text)) != want.MatchString(text) {
					t.Errorf("%q, whole %v, on %q: %v", expression, whole, text, !want.MatchString(text))
				}
			}
		}
	}
}

func TestSimplePatternsAreComparisons(t *testing.T) {
	for _, test := range []struct {
		expression string
		whole      bool
		kind       patternKind
		literal    string
	}{
		{"/api", false, prefix, "/api"}, {"/api/.*", false, prefix, "/api/"}, {"/api$", false, exact, "/api"}, {".*", false, prefix, ""},
		{"canary", true, exact, "canary"}, {"v1.*", true, prefix, "v1"}, {`example\.com`, true, exact, "example.com"},
		{"/v1/[0-9]+", false, expression, "/v1/"},
	} {
		if p := compile(test.expression, test.whole); p.kind != test.kind || p.literal != test.literal {
			t.Errorf("%q: kind %d, literal %q", test.expression, p.kind, p.literal)
		}
	}
	if compile("(", false) != nil {
		t.Error("a malformed expression was compiled")
	}
}

func TestExpressionsAreCompiledOnceOverRebuilds(t *testing.T) {
	var e expressions
	e.turn()
	kept, dropped := e.compile("/v[0-9]", false), e.compile("/w[0-9]", false)
	e.turn()
	if e.compile("/v[0-9]", false) != kept {
		t.Error("what the Table before used was compiled again")
	}
	e.turn()
	if e.compile("/v[0-9]", false) != kept || e.compile("/w[0-9]", false) == dropped {
		t.Error("what is kept is not what the last Table used")
	}
}
