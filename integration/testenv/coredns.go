package testenv

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// StartCoreDNS starts CoreDNS with the Corefile and returns the address of
// its DNS server, UDP and TCP, once it answers. It ends with the test.
//
// A Corefile as clusters have it runs here without root and beside others:
// port 53 of a server block becomes one that is free, the blocks listen on
// 127.0.0.1 only, and so do the plugins health, ready and prometheus, on
// ports of nobody's concern. The rest stays as it is; the plugin kubernetes
// needs an option "kubeconfig", as there is no pod to take it from.
func StartCoreDNS(t testing.TB, corefile string) (address string) {
	t.Helper()
	path, folder := Tool(t, "coredns"), t.TempDir()
	t.Cleanup(func() { logOnFailure(t, folder, "coredns") })
	for range attempts {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, "Corefile")
		if err := os.WriteFile(file, []byte(onLoopback(corefile, port)), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := startProcess(folder, path, "-conf", file)
		if err != nil {
			t.Fatal(err)
		}
		if await(p, startLimit, func() bool { return answers(loopback(port)) }) {
			t.Cleanup(p.kill)
			return loopback(port)
		}
		p.kill()
	}
	t.Fatalf("CoreDNS does not start; %s", lastWords(folder, "coredns"))
	return ""
}

// answers tells whether a DNS server answers anything, by UDP and by TCP.
func answers(address string) bool {
	question := new(dns.Msg).SetQuestion(".", dns.TypeNS)
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network}
		if _, _, err := client.Exchange(question, address); err != nil {
			return false
		}
	}
	return true
}

// onLoopback is the Corefile with its addresses changed as StartCoreDNS says.
func onLoopback(corefile string, port int) string {
	standard := regexp.MustCompile(`:53\b`)
	listening := regexp.MustCompile(`^(\s+)(health|ready|prometheus)(\s+[^\s{]+)?(\s*\{?)\s*$`)
	var out []string
	for _, line := range strings.Split(corefile, "\n") {
		switch {
		case serverBlock(line):
			out = append(out, standard.ReplaceAllString(line, ":"+strconv.Itoa(port)), "    bind 127.0.0.1")
		default:
			out = append(out, listening.ReplaceAllString(line, "${1}${2} "+loopback(0)+"${4}"))
		}
	}
	return strings.Join(out, "\n")
}

// serverBlock tells whether the line opens a server block: it begins at the
// margin, ends in a brace and is not a snippet's.
func serverBlock(line string) bool {
	return strings.HasSuffix(strings.TrimSpace(line), "{") && !strings.HasPrefix(line, "(") && line == strings.TrimLeft(line, " \t")
}
