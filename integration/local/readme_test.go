package local

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// readme returns the block of README.md that follows <!-- test: name -->.
func readme(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)<!-- test: " + regexp.QuoteMeta(name) + " -->\n```[a-z]*\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatalf("README.md has no block marked %q", name)
	}
	return string(block[1])
}

// TestREADMEsCanaryWorks runs what README.md tells a newcomer, on addresses and
// backend ports of the test's own.
func TestREADMEsCanaryWorks(t *testing.T) {
	if got, want := readme(t, "run"), fmt.Sprintf("bin/weft local --manifests=shop.yaml --portOffset=%d\n", offset); got != want {
		t.Fatalf("README.md runs %q; this test %q", got, want)
	}
	manifests := readme(t, "shop.yaml")
	for port, version := range map[string]string{"9001": "v1", "9002": "v2"} {
		manifests = strings.Replace(manifests, "port: "+port, fmt.Sprint("port: ", echoHTTP(t, version).Port()), 1)
	}
	p := start(t, map[string]string{"shop.yaml": manifests})
	own := strings.NewReplacer("127.77.0.", p.prefix())
	if got, want := strings.Join(append(p.table, "ready"), "\n")+"\n", own.Replace(readme(t, "output")); got != want {
		t.Errorf("weft local prints\n%sREADME.md says\n%s", got, want)
	}
	answered := map[string]int{}
	for line := range strings.Lines(own.Replace(readme(t, "call"))) {
		fields := strings.Fields(line)
		for range 10 {
			answered[version(t, p, fields[len(fields)-1])]++
		}
	}
	if answered["v1"] != 18 || answered["v2"] != 2 {
		t.Errorf("20 calls were answered by %v; want 18 of v1 and 2 of v2", answered)
	}
}

// version calls a URL, which may name a host of the mesh, and tells who answered.
func version(t *testing.T, p *process, url string) string {
	t.Helper()
	transport := p.transport()
	if strings.Contains(url, "//127.") {
		transport = &http.Transport{}
		defer transport.CloseIdleConnections()
	}
	response, err := transport.RoundTrip(newRequest(t, url))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.Header.Get("Version")
}

func newRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
