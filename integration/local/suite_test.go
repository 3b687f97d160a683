package local

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// weft is the path of the binary under test.
var weft string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

// buildAndRun builds the binary once for all tests.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weft-local-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	weft = filepath.Join(dir, "weft")
	if out, err := exec.Command("go", "build", "-o", weft, "../../cmd/weft").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience bounds every wait for something that happens at once on an idle
// machine.
const patience = 20 * time.Second

// await polls a condition until it holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// ranges counts the address ranges taken by this process.
var ranges atomic.Int64

// ownRange returns 256 loopback addresses that no other mesh of this process
// has; other processes have theirs from their own id.
func ownRange() (prefix string, last netip.Addr) {
	const first, count = 128, 120 << 8 // 127.128.0.0 to 127.247.255.0
	at := (int64(os.Getpid())*32 + ranges.Add(1)) % count
	b := [4]byte{127, byte(first + at>>8), byte(at), 254}
	return fmt.Sprintf("127.%d.%d.0/24", b[1], b[2]), netip.AddrFrom4(b)
}

// offset is the --portOffset of all tests: they need no root.
const offset = 8000

// process is one run of weft.
type process struct {
	t      *testing.T
	dir    string // of the manifests
	dns    string
	admin  string
	cmd    *exec.Cmd
	stderr *log
	lines  chan string // of standard output; closed at its end
	table  []string    // the lines before "ready"
	exited chan struct{}
	// examples is the folder where what a document says is typed; empty for none.
	examples string
}

// log collects what a process writes.
type log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs `weft local` on the files and waits until it is ready. It is
// stopped, and must exit with 0, when the test ends.
func start(t *testing.T, files map[string]string, flags ...string) *process {
	t.Helper()
	p := launch(t, files, flags...)
	deadline := time.After(patience)
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				<-p.exited
				t.Fatalf("weft ended before it was ready: %s\n%s", p.cmd.ProcessState, p.stderr)
			}
			if line == "ready" {
				return p
			}
			p.table = append(p.table, line)
		case <-deadline:
			t.Fatalf("not ready within %s:\n%s", patience, p.stderr)
		}
	}
}

// launch runs `weft local` on the files.
func launch(t *testing.T, files map[string]string, flags ...string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), stderr: &log{}, lines: make(chan string, 1024), exited: make(chan struct{})}
	for name, text := range files {
		p.write(name, text)
	}
	prefix, last := ownRange()
	p.dns, p.admin = netip.AddrPortFrom(last, 1053).String(), netip.AddrPortFrom(last, 15000).String()
	p.cmd = exec.Command(weft, append([]string{
		"local", "--manifests", p.dir, "--addresses", prefix, fmt.Sprintf("--portOffset=%d", offset),
		"--dns.address=" + p.dns, "--admin.address", p.admin, "--log.level=debug", "--log.format=json",
	}, flags...)...)
	p.begin()
	t.Cleanup(p.stop)
	return p
}

// begin starts the command.
func (p *process) begin() {
	p.t.Helper()
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go p.read(out)
}

// again starts what was stopped, with the same flags.
func (p *process) again() {
	p.t.Helper()
	p.cmd = exec.Command(p.cmd.Path, p.cmd.Args[1:]...)
	p.lines, p.exited = make(chan string, 1024), make(chan struct{})
	p.begin()
}

// read passes on the lines of standard output and waits for the end.
func (p *process) read(out io.Reader) {
	defer close(p.exited)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		p.lines <- scanner.Text()
	}
	close(p.lines)
	_ = p.cmd.Wait() // its status is read from ProcessState
}

// stop asks the process to end and checks that it ended well.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.t.Errorf("did not end within %s of SIGTERM", patience)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("exit status %d:\n%s", code, p.stderr)
	}
	if p.t.Failed() {
		p.t.Logf("standard error:\n%s", p.stderr)
	}
}

// write puts a file among the manifests at once.
func (p *process) write(name, text string) {
	p.t.Helper()
	next := filepath.Join(p.dir, "."+name)
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(p.dir, name)); err != nil {
		p.t.Fatal(err)
	}
}

// address is where the table says that a mesh name's listening port is;
// "orders.shop.mesh:8080" is at "127.200.1.1:8080".
func (p *process) address(name string) string {
	p.t.Helper()
	host, port, _ := strings.Cut(name, ":")
	for _, line := range p.table {
		fields := strings.Fields(line)
		if fields[0] == host && strings.HasSuffix(fields[1], ":"+port) {
			return fields[1]
		}
	}
	p.t.Fatalf("%s is not in the table:\n%s", name, strings.Join(p.table, "\n"))
	return ""
}

// prefix is what the mesh addresses begin with, as "127.200.1.".
func (p *process) prefix() string { return strings.TrimSuffix(p.admin, "254:15000") }

// transport is an HTTP client's that finds mesh names in the table.
func (p *process) transport() *http.Transport {
	transport := &http.Transport{}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, p.address(address))
	}
	p.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// get reads a path of the admin API.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	response, err := http.Get("http://" + p.admin + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// api reads JSON from the admin API.
func api[T any](p *process, path string) (out T) {
	p.t.Helper()
	status, body := p.get(path)
	if status != http.StatusOK {
		p.t.Fatalf("%s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		p.t.Fatalf("%s: %v in %s", path, err, body)
	}
	return out
}

func (p *process) generation() uint64 { return api[admin.Table](p, "/api/table").Generation }

// problems are "Kind namespace/name Reason", in order.
func (p *process) problems() []string {
	out := []string{}
	for _, one := range api[[]mesh.Problem](p, "/api/problems") {
		out = append(out, one.Object.String()+" "+one.Reason)
	}
	return out
}
