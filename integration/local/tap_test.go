package local

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTapShowsRequestsAsTheyHappen types what docs/cli.md says of weft tap while
// calls are made.
func TestTapShowsRequestsAsTheyHappen(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- test: tap -->\n```text\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/cli.md has no block marked tap")
	}
	p, own := documented(t)
	p.serveShop(own)
	typed, want := "", ""
	for line := range strings.Lines(string(block[1])) {
		if after, ok := strings.CutPrefix(line, "$ "); ok {
			p.tapped(typed, want, own)
			typed, want = strings.TrimSpace(after), ""
		} else {
			want += line
		}
	}
	p.tapped(typed, want, own)
}

// tapped runs a weft tap that ends by itself, with calls until it has.
func (p *process) tapped(typed, want string, own *strings.Replacer) {
	p.t.Helper()
	if typed == "" {
		return
	}
	said := make(chan string, 1)
	go func() { said <- p.run(typed) }()
	for {
		p.callOnce(own)
		select {
		case got := <-said:
			// Which version's turn it is does not matter here.
			version := regexp.MustCompile(`orders-v\d at [0-9.:]+`)
			one := func(s string) string { return even(version.ReplaceAllString(s, "VERSION")) }
			if diff := cmp.Diff(one(own.Replace(want)), one(got)); diff != "" {
				p.t.Errorf("$ %s (- docs/cli.md, + weft)\n%s", typed, diff)
			}
			return
		default:
		}
	}
}
