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
	load := newLoad(t, p)
	load.expect(t, "90/10", 10)
	for _, step := range []struct {
		first, second string
		percent       float64
	}{{"50", "50", 50}, {"0", "100", 100}, {"1", "0", 0}, {"1", "2", 66.667}} {
		p.edit("split.yaml", split("orders", "orders", "orders-v1="+step.first, "orders-v2="+step.second))
		load.expect(t, step.first+"/"+step.second, step.percent)
	}
	load.stop(t)
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
}

// load is a few clients that call without a pause.
type load struct {
	done    chan struct{}
	running sync.WaitGroup
	mu      sync.Mutex     // guards answers
	answers map[string]int // by version, or error
}

// clients of a load. Each may be one call ahead of a new table.
const clients = 4

func newLoad(t *testing.T, p *process) *load {
	t.Helper()
	l := &load{done: make(chan struct{}), answers: map[string]int{}}
	for range clients {
		transport := p.transport()
		l.running.Go(func() {
			for {
				select {
				case <-l.done:
					return
				default:
					l.count(call(transport))
				}
			}
		})
	}
	return l
}

func (l *load) count(answer string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		answer = err.Error()
	}
	l.answers[answer]++
}

func (l *load) counts() (first, second int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers["v1"], l.answers["v2"]
}

// expect checks the canary's share of the next 1000 calls.
func (l *load) expect(t *testing.T, step string, percent float64) {
	t.Helper()
	first, second := l.counts()
	v1, v2 := 0, 0
	await(t, "1000 more answers", func() bool {
		v1, v2 = l.counts()
		v1, v2 = v1-first, v2-second
		return v1+v2 >= 1000
	})
	if got := 100 * float64(v2) / float64(v1+v2); math.Abs(got-percent) > 1 {
		t.Errorf("%s: the canary got %.1f %%", step, got)
	}
}

// stop ends the load. No call may have failed.
func (l *load) stop(t *testing.T) {
	t.Helper()
	close(l.done)
	l.running.Wait()
	for answer, n := range l.answers {
		if answer != "v1" && answer != "v2" {
			t.Errorf("%d calls failed: %s", n, answer)
		}
	}
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
