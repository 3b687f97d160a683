package local

import (
	"io"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/admin"
)

// versions is a mesh of Service orders and its two versions, split as told.
func versions(t *testing.T, backends ...string) *process {
	t.Helper()
	first, second := echoHTTP(t, "v1"), echoHTTP(t, "v2")
	web := func(at ...netip.AddrPort) port { return port{name: "http", number: 80, at: at} }
	return start(t, map[string]string{
		"services.yaml": service(t, "orders", web(first, second)) +
			service(t, "orders-v1", web(first)) + service(t, "orders-v2", web(second)),
		"split.yaml": split("orders", "orders", backends...),
	})
}

// share calls n times and returns how many answers came from v2.
func share(t *testing.T, transport http.RoundTripper, n int) (canary int) {
	t.Helper()
	for range n {
		version, err := call(transport)
		if err != nil {
			t.Fatal(err)
		}
		if version == "v2" {
			canary++
		}
	}
	return canary
}

func call(transport http.RoundTripper) (version string, err error) {
	request, err := http.NewRequest(http.MethodGet, "http://orders.shop.mesh:8080/", nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return response.Status, nil
	}
	return response.Header.Get("Version"), nil
}

// edit rewrites a file and returns how long it took until a new table was live.
func (p *process) edit(name, text string) time.Duration {
	p.t.Helper()
	before, begun := p.generation(), time.Now()
	p.write(name, text)
	await(p.t, "a new table after the edit of "+name, func() bool { return p.generation() > before })
	return time.Since(begun)
}

func TestACanaryMovesUnderLoadAndNoRequestFails(t *testing.T) {
	p := versions(t, "orders-v1=90", "orders-v2=10")
	transport := p.transport()
	load := newLoad(p.transport())
	for _, step := range []struct {
		first, second string
		percent       float64
	}{{"90", "10", 10}, {"50", "50", 50}, {"0", "100", 100}, {"1", "0", 0}, {"1", "2", 66.667}} {
		text := split("orders", "orders", "orders-v1="+step.first, "orders-v2="+step.second)
		if step.percent != 10 {
			p.edit("split.yaml", text)
		}
		got := 100 * float64(share(t, transport, 1000)) / 1000
		if math.Abs(got-step.percent) > 1 {
			t.Errorf("%s/%s: the canary got %.1f %%", step.first, step.second, got)
		}
	}
	for answer, n := range load.stop() {
		if answer != "v1" && answer != "v2" {
			t.Errorf("%d requests under way: %s", n, answer)
		}
	}
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
}

// load is a client that calls without a pause.
type load struct {
	done    chan struct{}
	running sync.WaitGroup
	answers map[string]int // version or error
}

func newLoad(transport http.RoundTripper) *load {
	l := &load{done: make(chan struct{}), answers: map[string]int{}}
	l.running.Go(func() {
		for {
			select {
			case <-l.done:
				return
			default:
			}
			answer, err := call(transport)
			if err != nil {
				answer = err.Error()
			}
			l.answers[answer]++
		}
	})
	return l
}

func (l *load) stop() map[string]int {
	close(l.done)
	l.running.Wait()
	return l.answers
}

func TestAnEditIsLiveAtOnce(t *testing.T) {
	p := versions(t, "orders-v1=1", "orders-v2=0")
	fastest := time.Hour
	for i := range 5 {
		weights := [][]string{{"orders-v1=0", "orders-v2=1"}, {"orders-v1=1", "orders-v2=0"}}[i%2]
		fastest = min(fastest, p.edit("split.yaml", split("orders", "orders", weights...)))
	}
	// Two looks at the file, 100 ms apart, then at most 100 ms. The fastest of
	// several, for the machine may be busy with something else.
	if fastest > 300*time.Millisecond {
		t.Errorf("the fastest of five edits was live after %s", fastest)
	}
}

func TestWhatGoesAndComesIsTold(t *testing.T) {
	p := versions(t, "orders-v1=1", "orders-v2=1")
	web := port{name: "http", number: 80, at: []netip.AddrPort{echoHTTP(t, "v3")}}
	before := map[string]string{}
	for _, name := range []string{"orders", "orders-v1", "orders-v2"} {
		before[name] = p.address(name + ".shop.mesh:8080")
	}
	p.edit("more.yaml", service(t, "aardvark", web))
	p.edit("more.yaml", service(t, "baboon", web))
	var told []string
	for range 3 {
		told = append(told, <-p.lines)
	}
	host := p.prefix()
	want := []string{"+ aardvark.shop.mesh " + host + "4:8080 http", "- aardvark.shop.mesh " + host + "4:8080 http", "+ baboon.shop.mesh " + host + "5:8080 http"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	for _, s := range api[admin.Table](p, "/api/table").Services {
		if was := before[s.Name.Name]; was != "" && was != s.Ports[0].Listen.String() {
			t.Errorf("%s moved from %s to %s", s.Name, was, s.Ports[0].Listen)
		}
	}
}
