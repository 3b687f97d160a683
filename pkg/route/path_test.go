package route_test

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/route"
)

func TestPlainPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "/admin": "/admin", "/a/": "/a/", "*": "*", "/a.b/..c/d..": "/a.b/..c/d..", "/...": "/...",
		"/%61dmin": "/admin", "/a%7Eb": "/a~b", "/caf%c3%a9": "/café", "/caf%C3%A9": "/café", "/café": "/café",
		"/me%40example.com": "/me@example.com", "/100%25": "/100%", "/100%25x": "/100%x", "/a%20b": "/a b", "/a%3Fb": "/a?b",
		"/pkg.Service/Method": "/pkg.Service/Method",
	} {
		plain, _, ok := route.Plain([]byte(path), nil)
		if !ok || string(plain) != want {
			t.Errorf("%s: %q, %v; want %q", path, plain, ok, want)
		}
	}
}

// ambiguous are spellings that one application or another reads as /admin, when
// they are asked for below /public.
var ambiguous = []string{
	"//admin", "/public/../admin", "/public/./../admin", "/./admin", "/public/..", "/.", "/admin/.", "/public//../admin",
	"/public/%2e%2e/admin", "/public/%2E%2e/admin", "/public/.%2e/admin", "/public/%2e./admin", "/%2e/admin",
	"/public%2f..%2fadmin", "/public%2F../admin", "/%2fadmin", "/public/..%2fadmin",
	`/public\..\admin`, `/\admin`, "/public/..%5cadmin", "/public%5C..%5Cadmin", "/%5cadmin",
	"/public/..;/admin", "/public/..;x=1/admin", "/admin;x=1", "/;/admin", "/public/%2e%2e;/admin", "/public/..%3b/admin", "/admin%3Bx",
	"/public/%252e%252e/admin", "/public/..%252fadmin", "/%2561dmin", "/public%255c..%255cadmin",
	"/%25%36%31dmin", "/public/%25%32e%252%65/admin", "/public/..%25%32%66admin", "/public/%25%%32%65/admin",
	"/admin%00", "/admin%00.html", "/public/%00/../admin", "/admin%0a", "/admin%0d", "/admin%7f", "/admin%09",
	"/public/%c0%ae%c0%ae/admin", "/%c0%afadmin", "/admin%ff", "/admin\xff",
	"/admin%", "/admin%2", "/admin%zz", "/%u002e/admin", "admin", "", "**", "?",
}

func TestAmbiguousPathsHaveNoPlainForm(t *testing.T) {
	for _, path := range ambiguous {
		if plain, _, ok := route.Plain([]byte(path), nil); ok {
			t.Errorf("%q is plain: %q", path, plain)
		}
	}
	if len(ambiguous) < 40 {
		t.Errorf("only %d spellings", len(ambiguous))
	}
}

func TestPlainAllocatesNothing(t *testing.T) {
	scratch := make([]byte, 0, 64)
	path := []byte("/caf%C3%A9/latte")
	if n := testing.AllocsPerRun(100, func() { _, scratch, _ = route.Plain(path, scratch) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A plain form has one plain form, itself, unless it holds a percent sign, and
// none of what is read in more than one way.
func FuzzPlain(f *testing.F) {
	for _, path := range ambiguous {
		f.Add(path)
	}
	f.Add("/caf%C3%A9")
	f.Fuzz(func(t *testing.T, path string) {
		plain, _, ok := route.Plain([]byte(path), nil)
		if !ok || path == "*" {
			return
		}
		for _, bad := range []string{"//", "/./", "/../", `\`, ";", "\x00"} {
			if strings.Contains(string(plain), bad) {
				t.Errorf("%q gives %q", path, plain)
			}
		}
		if strings.Contains(string(plain), "%") {
			return
		}
		if again, _, ok := route.Plain(plain, nil); !ok || string(again) != string(plain) {
			t.Errorf("%q gives %q, and that %q", path, plain, again)
		}
	})
}
