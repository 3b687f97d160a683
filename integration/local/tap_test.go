package local

import (
	"io"
	"net"
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
		p.askVault(own)
		select {
		case got := <-said:
			if strings.HasPrefix(got, "←") { // it came while a connection was open
				p.tapped(typed, want, own)
				return
			}
			// Which version's turn it is does not matter here, nor a client's port.
			version, port := regexp.MustCompile(`orders-v\d at [0-9.:]+`), regexp.MustCompile(`:\d+\)`)
			one := func(s string) string {
				return even(port.ReplaceAllString(version.ReplaceAllString(s, "VERSION"), ":PORT)"))
			}
			if diff := cmp.Diff(one(own.Replace(want)), one(got)); diff != "" {
				p.t.Errorf("$ %s (- docs/cli.md, + weft)\n%s", typed, diff)
			}
			return
		default:
		}
	}
}

// askVault has one connection to the vault, from its begin to its end.
func (p *process) askVault(own *strings.Replacer) {
	p.t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(own.Replace("127.0.1.3"))}, Timeout: patience}
	c, err := dialer.Dial("tcp", own.Replace("127.77.0.5:15000"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		p.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		p.t.Fatalf("the vault says %q, %v", got, err)
	}
}
