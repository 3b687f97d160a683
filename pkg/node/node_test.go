package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/internal/freeport"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/node"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source emits what the test says, and fails when it says so.
type source struct {
	changes chan mesh.Change
	fail    chan error
}

func newSource() *source {
	return &source{changes: make(chan mesh.Change), fail: make(chan error)}
}

func (s *source) Run(ctx context.Context, emit func(mesh.Change)) error {
	for {
		select {
		case c := <-s.changes:
			emit(c)
		case err := <-s.fail:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// running is a Node under test.
type running struct {
	*node.Node
	t     *testing.T
	end   context.CancelFunc
	ended chan error
}

func run(t *testing.T, config node.Config) *running {
	t.Helper()
	n, err := node.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, t: t, end: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- n.Run(ctx) }()
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return r
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := http.Get("http://" + r.AdminAddr().String() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// await polls until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// echo is a Service of one TCP port that is listened for at listen.
func echo(listen netip.AddrPort, at net.Addr, synced bool) mesh.Change {
	name := mesh.Name{Namespace: "shop", Name: "echo"}
	return mesh.Change{Synced: synced, Apply: func(in *mesh.Inputs) {
		in.Services[name] = mesh.ServiceInput{
			Ref: mesh.Ref{Kind: "Service", Namespace: "shop", Name: "echo"}, Ports: []mesh.ServicePort{{Name: "tcp", Number: 7}},
		}
		if at != nil {
			to := at.(*net.TCPAddr).AddrPort()
			in.Slices[name] = mesh.SliceInput{
				Service: name, Ports: []mesh.SlicePort{{Name: "tcp", Number: to.Port()}},
				Endpoints: []mesh.SliceEndpoint{{Address: to.Addr(), Ready: true}},
			}
		}
		in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 7, Listen: listen}}}
	}}
}

// free is a port of the loopback that was free a moment ago.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestReadyFromTheFirstFullPictureUntilToldToStop(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	from := newSource()
	r := run(t, node.Config{Source: from, DrainDelay: 50 * time.Millisecond})
	if status, body := r.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "table: ") {
		t.Errorf("before the first table: %d %q", status, body)
	}
	listen := free(t)
	from.changes <- echo(listen, backend.Addr(), false)
	from.changes <- mesh.Change{Synced: true}
	await(t, "ready", func() bool { status, _ := r.get("/readyz"); return status == http.StatusOK })
	client, err := net.Dial("tcp", listen.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := backend.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r.end()
	await(t, "unready", func() bool {
		status, body := r.get("/readyz")
		return status != http.StatusOK && strings.Contains(body, "drain: ")
	})
	if status, _ := r.get("/livez"); status != http.StatusOK {
		t.Errorf("not alive while it drains: %d", status)
	}
	// What is in flight goes on, and the sources are still heard.
	before := r.Latest().Generation
	from.changes <- mesh.Change{}
	await(t, "a table while draining", func() bool { return r.Latest().Generation > before })
	if _, err := io.WriteString(server, "late"); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "late" {
		t.Errorf("in flight: %q, %v", got, err)
	}
	client.Close()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestWhatDoesNotEndInTimeIsCut(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	from := newSource()
	r := run(t, node.Config{Source: from, DrainTimeout: 50 * time.Millisecond})
	listen := free(t)
	from.changes <- echo(listen, backend.Addr(), true)
	await(t, "the table", func() bool { return r.Latest() != nil })
	client, err := net.Dial("tcp", listen.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := backend.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	r.end()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client was not cut")
	}
}

func TestAFailingSourceOrServerEndsTheNode(t *testing.T) {
	broken := errors.New("broken")
	from := newSource()
	r := run(t, node.Config{Source: from})
	from.fail <- broken
	if err := <-r.ended; !errors.Is(err, broken) {
		t.Errorf("a failing source: %v", err)
	}
	r.end()
	r = run(t, node.Config{Source: newSource(), Servers: []func(context.Context) error{
		func(context.Context) error { return broken },
	}})
	if err := <-r.ended; !errors.Is(err, broken) {
		t.Errorf("a failing server: %v", err)
	}
	r.end()
}

// text is a log that can be read while it is written.
type text struct {
	mu  sync.Mutex // guards all
	all bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *text) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), word)
}

func TestProblemsOfAllPartsAreToldOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	from, log := newSource(), &text{}
	published := make(chan *control.Snapshot, 10)
	r := run(t, node.Config{
		Source: from, Log: zerolog.New(log), Published: func(s *control.Snapshot) { published <- s },
		Problems: func() []mesh.Problem { return []mesh.Problem{{Reason: "Own"}} },
		Reword:   func(p mesh.Problem) mesh.Problem { p.Message = "reworded"; return p },
		Stale:    func() map[string]time.Duration { return map[string]time.Duration{"Pod": time.Second} },
	})
	from.changes <- echo(taken.Addr().(*net.TCPAddr).AddrPort(), nil, true)
	<-published
	from.changes <- mesh.Change{Apply: func(in *mesh.Inputs) {
		ref := mesh.Ref{Kind: "File", Name: "a.yaml:1"}
		in.Problems[ref] = mesh.Problem{Object: ref, Reason: mesh.Malformed}
	}}
	<-published
	var got []string
	for _, p := range r.Problems() {
		got = append(got, p.Reason+" "+p.Message)
	}
	if diff := cmp.Diff([]string{"Malformed ", "Own ", "ListenFailed reworded"}, got); diff != "" {
		t.Error(diff)
	}
	for _, reason := range []string{"Malformed", "Own", "ListenFailed"} {
		if n := log.count(`"reason":"` + reason + `"`); n != 1 {
			t.Errorf("%s was logged %d times", reason, n)
		}
	}
	_, metrics := r.get("/metrics")
	for _, want := range []string{`weft_problems{reason="ListenFailed"} 1`, `weft_watch_stale_seconds{kind="Pod"} 1`, "weft_table_generation 2"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	r.end()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestOutsideThereAreProbesAndMetricsOnly(t *testing.T) {
	outside := free(t)
	r := run(t, node.Config{Source: newSource(), MetricsAddress: outside.String()})
	for path, want := range map[string]int{
		"/livez": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusOK,
		"/api/table": http.StatusNotFound, "/api/problems": http.StatusNotFound,
	} {
		response, err := http.Get("http://" + outside.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
	if _, err := node.New(node.Config{Source: newSource(), MetricsAddress: outside.String()}); err == nil {
		t.Error("a taken address is no error")
	}
	r.end()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}
