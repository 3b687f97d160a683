package local

import (
	"bytes"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
)

func TestWhatIsWrongIsToldAndTheRestGoesOn(t *testing.T) {
	p := versions(t, "orders-v1=1", "orders-v2=1")
	load := newLoad(t, p)
	none := []string{}
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"split that names nothing", split("stray", "absent", "nobody=1"),
			[]string{"TrafficSplit shop/stray RootNotFound"}},
		{"split whose backends name nothing", split("aaa", "orders-v1", "nobody=1"),
			[]string{"TrafficSplit shop/aaa BackendNotFound", "TrafficSplit shop/aaa SplitEmpty"}},
		{"annotation of nonsense", annotated(t, "loud", map[string]string{mesh.AnnotationProtocol: "smoke-signals"}, port{name: "http", number: 80}),
			[]string{"Service shop/loud BadAnnotation"}},
		{"two splits that contradict each other", split("second", "orders", "orders-v1=0", "orders-v2=1"),
			[]string{"TrafficSplit shop/second SplitConflict"}},
		{"object that stands twice", split("orders", "orders", "orders-v1=0", "orders-v2=1"),
			[]string{"TrafficSplit shop/orders Duplicate"}},
		{"broken YAML", "kind: [Service\n\tname: {",
			[]string{"File " + filepath.Join(p.dir, "trouble.yaml") + ":1 Malformed"}},
		{"object that cannot be read", strings.Replace(split("odd", "orders", "orders-v1=1"), "weight: 1", "weight: heavy", 1),
			[]string{"TrafficSplit shop/odd Malformed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.edit("trouble.yaml", test.text)
			if diff := cmp.Diff(test.want, p.problems()); diff != "" {
				t.Error(diff)
			}
			for _, problem := range test.want {
				reason := problem[strings.LastIndexByte(problem, ' ')+1:]
				if _, metrics := p.get("/metrics"); !strings.Contains(metrics, `weft_problems{reason="`+reason+`"} 1`) {
					t.Errorf("weft_problems does not count %s", reason)
				}
				if !strings.Contains(p.stderr.String(), `"reason":"`+reason+`"`) {
					t.Errorf("%s is not logged", reason)
				}
			}
			load.expect(t, test.name, 50)
			p.edit("trouble.yaml", "")
			if diff := cmp.Diff(none, p.problems()); diff != "" {
				t.Errorf("after the repair: %s", diff)
			}
		})
	}
	load.stop(t)
}

func TestABrokenFileDoesNotKeepTheOthersFromStarting(t *testing.T) {
	p := start(t, map[string]string{
		"bad.yaml":  "kind: [",
		"good.yaml": service(t, "orders", port{name: "http", number: 80, at: []netip.AddrPort{echoHTTP(t, "v1")}}),
	})
	if version, err := call(p.transport()); version != "v1" || err != nil {
		t.Errorf("answer %q, %v", version, err)
	}
	if problems := p.problems(); len(problems) != 1 || !strings.Contains(problems[0], "bad.yaml") {
		t.Errorf("problems: %v", problems)
	}
}

func TestAdmin(t *testing.T) {
	p := versions(t, "orders-v1=1", "orders-v2=1")
	for path, want := range map[string]string{"/livez": "ok\n", "/readyz": "ok\n", "/api/problems": "[]\n"} {
		if status, body := p.get(path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if version, err := call(p.transport()); err != nil {
		t.Errorf("%s %v", version, err)
	}
	// A request is counted when its answer is out, which may be after it was read.
	var metrics string
	await(t, "the request is counted", func() bool {
		_, metrics = p.get("/metrics")
		return strings.Contains(metrics, "weft_requests_total{")
	})
	for _, want := range []string{"weft_table_generation 1\n", "weft_table_age_seconds ", "weft_build_seconds ", "go_goroutines "} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

// weftRun runs weft to its end and returns its exit status and what it said.
func weftRun(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(weft, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is read from ProcessState
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestAWrongCommandLineSaysWhatItTakes(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent.yaml")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "--manifests"},
		{[]string{"--manifests=.", "--addresses=nowhere"}, 2, "--addresses=nowhere: takes a range"},
		{[]string{"--manifests=" + absent, "--addresses=127.250.1.0/24"}, 2, absent},
		{[]string{"--manifests=.", "--addresses=127.250.1.0/24", "--domain=a..b"}, 2, "--domain=a..b: takes a DNS name"},
		{[]string{"--manifests=.", "--portOffset=70000"}, 2, "--portOffset takes a whole number from 0 to 65535"},
	} {
		args := append([]string{"local", "--dns.address=127.0.0.1:0", "--admin.address=127.0.0.1:0"}, test.args...)
		code, stdout, stderr := weftRun(t, args...)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: exit status %d, %q, %q", test.args, code, stdout, stderr)
		}
	}
}

// Whoever cannot read the answer has none, whatever was asked.
func TestWhatCannotBeWrittenIsAFailure(t *testing.T) {
	p, _ := documented(t)
	for _, typed := range []string{"weft help", "weft", "weft check --help", "weft completion bash", "weft version", "weft stat svc", "weft describe orders.shop", "weft diff --manifests=shop.yaml -f canary.yaml"} {
		const want = "weft: write /dev/stdout: no space left on device\n1\n"
		if got := p.run(typed + " >/dev/full; echo $?"); got != want {
			t.Errorf("%s: %q; want %q", typed, got, want)
		}
	}
}

func TestAMeshThatCannotListenAnywhereEndsAndSaysWhy(t *testing.T) {
	p := versions(t, "orders-v1=1", "orders-v2=1")
	code, stdout, stderr := weftRun(t, "local", "--manifests", p.dir, "--addresses", p.prefix()+"0/24",
		"--portOffset=8000", "--dns.address=127.0.0.1:0", "--admin.address=127.0.0.1:0")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "no port of the mesh can be opened") || !strings.Contains(stderr, syscall.EADDRINUSE.Error()) {
		t.Errorf("exit status %d, %q, %q", code, stdout, stderr)
	}
}

func TestTheDemoEndsByItselfAndIsRight(t *testing.T) {
	code, stdout, stderr := weftRun(t, "demo")
	if code != 0 || stderr != "" || strings.Contains(stdout, "\x1b") {
		t.Fatalf("exit status %d\n%s\n%s", code, stdout, stderr)
	}
	requests := map[string]string{
		"0 v1": "1000", "0 v2": "0", "10 v1": "900", "10 v2": "100",
		"50 v1": "500", "50 v2": "500", "100 v1": "0", "100 v2": "1000",
	}
	rows := 0
	for line := range strings.Lines(stdout) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "%" || fields[2] != "orders.shop.mesh" {
			continue
		}
		rows++
		if want := requests[fields[0]+" "+fields[3]]; fields[4] != want {
			t.Errorf("%s of 1000 requests, want %s: %s", fields[4], want, line)
		}
	}
	if rows != len(requests) || !strings.Contains(stdout, "none failed") {
		t.Errorf("%d rows:\n%s", rows, stdout)
	}
}
