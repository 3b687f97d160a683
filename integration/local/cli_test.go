package local

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// documented runs the mesh of docs/cli.md on addresses of the test's own. own turns
// what the document says into what the test sees.
func documented(t *testing.T, flags ...string) (p *process, own *strings.Replacer) {
	t.Helper()
	pods, _ := ownRange()
	pods = strings.TrimSuffix(pods, "0/24")
	files := map[string]string{}
	for _, name := range []string{"shop.yaml", "canary.yaml"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = strings.ReplaceAll(string(text), "127.0.1.", pods)
	}
	p = start(t, map[string]string{"shop.yaml": files["shop.yaml"]}, flags...)
	p.examples = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.examples, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p, strings.NewReplacer("127.0.1.", pods, "127.77.0.", p.prefix(), "127.0.0.1:15000", p.admin)
}

// example is what a document says that somebody types and then reads.
type example struct{ typed, read string }

// examples are the blocks marked "console" of a document: each line after "$ "
// is typed, the lines up to the next are read.
func examples(t *testing.T, document string) (out []example) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if typed, ok := strings.CutPrefix(line, "$ "); ok {
				out = append(out, example{typed: strings.TrimSpace(typed)})
			} else {
				out[len(out)-1].read += line
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no examples", document)
	}
	return out
}

// even takes out of a text what differs from run to run: ages, measured times,
// and how far columns are apart, which follows from the lengths of addresses.
func even(text string) string {
	for _, rule := range []struct{ what, to string }{
		{`\b\d+[smhd]\b`, "AGE"}, {`\b\d+\.\d ms\b`, "TIME"}, {`\b\d+\.\d\b`, "RATE"}, {` +`, " "}, {`(?m) +$`, ""},
	} {
		text = regexp.MustCompile(rule.what).ReplaceAllString(text, rule.to)
	}
	return text
}

// run types a command line in bash, where weft asks the mesh.
func (p *process) run(typed string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", typed)
	cmd.Dir = p.examples
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(weft)+":"+os.Getenv("PATH"), "WEFT_ADMIN="+p.admin, "KUBECONFIG=/dev/null")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		p.t.Errorf("%s: %v\n%s", typed, err, out) // perhaps not on the test's own goroutine
	}
	return string(out)
}

// serveShop answers for the pods of docs/shop.yaml.
func (p *process) serveShop(own *strings.Replacer) {
	p.t.Helper()
	for _, at := range []string{"127.0.1.1:9001", "127.0.1.2:9002"} {
		l, err := net.Listen("tcp", own.Replace(at))
		if err != nil {
			p.t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		p.t.Cleanup(server.Close)
	}
	vault, err := net.Listen("tcp", own.Replace("127.0.1.5:9003"))
	if err != nil {
		p.t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := vault.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	p.t.Cleanup(func() {
		_ = vault.Close()
		<-served
	})
}

// callAround makes the calls that docs/cli.md speaks of.
func (p *process) callAround(own *strings.Replacer) {
	p.t.Helper()
	p.serveShop(own)
	p.calls(own, 20, 2)
}

// callOnce makes one call of each kind.
func (p *process) callOnce(own *strings.Replacer) { p.calls(own, 1, 1) }

func (p *process) calls(own *strings.Replacer, orders, users int) {
	p.t.Helper()
	for _, calls := range []struct {
		from, url string
		n, status int
	}{{"127.0.1.3", "http://127.77.0.1:8080/orders", orders, 200}, {"127.0.1.4", "http://127.77.0.4:17000/", users, 503}} {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(own.Replace(calls.from))}}
		transport := &http.Transport{DialContext: dialer.DialContext}
		for range calls.n {
			response, err := transport.RoundTrip(newRequest(p.t, own.Replace(calls.url)))
			if err != nil {
				p.t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != calls.status {
				p.t.Fatalf("%s: %s", calls.url, response.Status)
			}
		}
		transport.CloseIdleConnections()
	}
}

// TestEveryExampleOfTheCommandLineIsTrue types what docs/cli.md says, in order.
func TestEveryExampleOfTheCommandLineIsTrue(t *testing.T) {
	p, own := documented(t)
	p.callAround(own)
	for _, e := range examples(t, "../../docs/cli.md") {
		got := p.run(own.Replace(e.typed))
		if diff := cmp.Diff(even(own.Replace(e.read)), even(got)); diff != "" {
			t.Errorf("$ %s (- docs/cli.md, + weft)\n%s\nit prints\n%s", e.typed, diff, got)
		}
	}
}

// TestWhatIsNotThereIsSaid: whoever mistypes a name or a port hears so, and does
// not wait for what never comes.
func TestWhatIsNotThereIsSaid(t *testing.T) {
	p, _ := documented(t)
	const has = "namespace shop has orders, orders-v1, orders-v2, users, vault\n"
	for _, e := range []example{
		{"weft tap ordes.shop", "weft: no Service shop/ordes is meshed; " + has},
		{"weft tap vault.shop:80", "weft: shop/vault has no port 80; it has 7000\n"},
		{"weft describe vault.shop:80", "weft: shop/vault has no port 80; it has 7000\n"},
		{"weft explain --to orders.shop --method 'G T'", "weft: --method=G T: takes a token (RFC 9110 §5.6.2) such as GET, but neither CONNECT nor TRACE\n"},
		{"weft tap orders.shop --status 6x; echo $?", "weft: --status=6x: takes a status from 100 to 599, such as 503, or a class, such as 5xx\n2\n"},
		{"weft edges --admin 127.0.0.1:1", "weft: the mesh at 127.0.0.1:1 could not be asked: dial tcp 127.0.0.1:1: connect: connection refused; does weft local run, with this --admin.address?\n"},
		{"weft routes ordes.shop", "weft: no Service shop/ordes is meshed; " + has},
		{"weft routes vault.shop:80", "weft: shop/vault has no port 80; it has 7000\n"},
		{"weft stat svc ordes.shop", "weft: nothing of kind svc is ordes.shop or in a namespace of that name; `weft stat svc` shows what there is\n"},
		{"weft stat ts shop/ordes -o json", "weft: nothing of kind ts is shop/ordes or in a namespace of that name; `weft stat ts` shows what there is, `weft check` the TrafficSplits that take no effect\n"},
		{"weft stat svc vault.shop --to ordes.shop | grep -c vault", "weft: --to=shop/ordes: no meshed Service and no live pod, nor its workload, service account or namespace, has this name\n1\n"},
		{"weft edges --from lobby --to vault.shop", "there was no such call within 1m0s\n"}, // others may have called
		{"weft edges --to bad/x/y; echo $?", "weft: --to=bad/x/y: takes a name with its namespace, such as shop/orders, or a namespace alone\n2\n"},
		{"weft stat svc orders.shop.mesh -o json | grep -c namespace", "1\n"},
		{"weft check --wait=1s -o json 2>/dev/null | head -1", "[\n"},
		{"weft tap orders.shop --nope", "weft: --nope: there is no such flag; see `weft tap --help`\n"},
	} {
		if got := p.run(e.typed); got != e.read {
			t.Errorf("$ %s\n%s\nwant\n%s", e.typed, got, e.read)
		}
	}
}
