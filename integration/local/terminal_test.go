package local

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tmux runs a command of a tmux server that only this test has.
func tmux(t *testing.T, socket string, args ...string) string {
	t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

const green, red = "\x1b[32m", "\x1b[31m"

// screen types a command line in a terminal of its own and returns what stands
// there when it has ended, without the colours and with them.
func (p *process) screen(typed string) (plain, coloured string) {
	p.t.Helper()
	socket := filepath.Join(p.t.TempDir(), "tmux")
	// The shell stays until it is told, so that the screen can be read. It is wide,
	// for a terminal would break lines.
	tmux(p.t, socket, "new-session", "-d", "-s", "weft", "-x", "400", "-y", "50", "-c", p.examples,
		fmt.Sprintf("export WEFT_ADMIN=%s KUBECONFIG=/dev/null PATH=%s:$PATH; %s; echo the-end; read line", p.admin, filepath.Dir(weft), typed))
	defer tmux(p.t, socket, "kill-server")
	await(p.t, typed+" in a terminal", func() bool {
		plain = tmux(p.t, socket, "capture-pane", "-p", "-t", "weft")
		return strings.Contains(plain, "the-end\n")
	})
	plain, _, _ = strings.Cut(plain, "the-end\n")
	coloured, _, _ = strings.Cut(tmux(p.t, socket, "capture-pane", "-p", "-e", "-t", "weft"), "the-end")
	return plain, coloured
}

// TestEveryExampleInATerminal types what docs/cli.md says in a terminal: the same
// stands there, and the words that tell good from bad have their colour.
func TestEveryExampleInATerminal(t *testing.T) {
	p, own := documented(t)
	p.callAround(own)
	want := map[string][]string{ // of each command: what is coloured, and how
		"check":    {green + "✓", red + "✗"},
		"describe": {green + "ok", green + "yes", red + "✗", red + "nothing is ready"},
		"explain":  {green + "← this one", green + "served", red + "refused: 503 no-endpoints"},
		"stat":     {green + "100.00 %", red + "0.00 %"},
		"edges":    {green + "100.00 %", red + "0.00 %"},
		"routes":   {green + "100.00 %"},
		"diff":     {red + "- everybody", green + "+ nobody"},
	}
	seen := map[string]string{}
	for _, e := range examples(t, "../../docs/cli.md") {
		command := strings.TrimSuffix(strings.Fields(e.typed)[1], ";")
		if _, listed := want[command]; !listed {
			continue // a bug report is written, not shown
		}
		plain, coloured := p.screen(own.Replace(e.typed))
		if diff := cmp.Diff(even(own.Replace(e.read)), even(plain)); diff != "" {
			t.Errorf("$ %s in a terminal (- docs/cli.md, + weft)\n%s", e.typed, diff)
		}
		seen[command] += coloured
	}
	for command, fragments := range want {
		for _, fragment := range fragments {
			if !strings.Contains(seen[command], fragment) {
				t.Errorf("weft %s in a terminal: no %q in\n%q", command, fragment, seen[command])
			}
		}
	}
}

// Colour is for a person at a terminal: not in a pipe, not where NO_COLOR says no.
func TestColourIsForTerminals(t *testing.T) {
	p, _ := documented(t)
	screen := func(typed string) string {
		t.Helper()
		_, coloured := p.screen(typed)
		return coloured
	}
	if shown := screen("weft describe orders.shop; weft check"); !strings.Contains(shown, green+"ok") || !strings.Contains(shown, red+"✗") {
		t.Errorf("a terminal shows no colour:\n%q", shown)
	}
	for _, typed := range []string{"NO_COLOR=1 weft describe orders.shop", "TERM=dumb weft describe orders.shop", "weft describe orders.shop | cat", "weft describe orders.shop -o yaml"} {
		if shown := screen(typed); strings.Contains(shown, "\x1b[3") || !strings.Contains(shown, "orders-v1") {
			t.Errorf("%s:\n%q", typed, shown)
		}
	}
	// What is watched is drawn in place, again and again.
	socket := filepath.Join(t.TempDir(), "tmux")
	tmux(t, socket, "new-session", "-d", "-s", "weft", "-x", "200", "-y", "50",
		fmt.Sprintf("export WEFT_ADMIN=%s PATH=%s:$PATH; weft describe orders.shop --watch", p.admin, filepath.Dir(weft)))
	defer tmux(t, socket, "kill-server")
	await(t, "the first picture", func() bool {
		return strings.HasPrefix(tmux(t, socket, "capture-pane", "-p", "-t", "weft"), "orders.shop.mesh is Service")
	})
	p.write("more.yaml", "{apiVersion: v1, kind: Service, metadata: {name: more, namespace: shop}, spec: {ports: [{port: 80}]}}")
	await(t, "the picture of a changed mesh", func() bool {
		shown := tmux(t, socket, "capture-pane", "-p", "-t", "weft")
		return strings.HasPrefix(shown, "orders.shop.mesh is Service") && strings.Contains(shown, "8080") &&
			strings.Count(shown, "orders.shop.mesh is") == 1 && strings.Contains(shown, "  2  ")
	})
}

// shows awaits what stands in a small terminal where a command line was typed.
func (p *process) shows(typed, columns, rows string) func(what string, holds func(shown string) bool) {
	p.t.Helper()
	socket := filepath.Join(p.t.TempDir(), "tmux")
	tmux(p.t, socket, "new-session", "-d", "-s", "weft", "-x", columns, "-y", rows,
		fmt.Sprintf("export WEFT_ADMIN=%s PATH=%s:$PATH; %s", p.admin, filepath.Dir(weft), typed))
	p.t.Cleanup(func() { tmux(p.t, socket, "kill-server") })
	return func(what string, holds func(string) bool) {
		p.t.Helper()
		shown := ""
		defer func() {
			if p.t.Failed() {
				p.t.Logf("%s in a terminal shows\n%s", typed, shown)
			}
		}()
		await(p.t, what, func() bool {
			shown = tmux(p.t, socket, "capture-pane", "-p", "-t", "weft")
			return holds(shown)
		})
	}
}

// A watch fits its terminal, outlives the mesh, and shows it when it is there again.
func TestAWatchFitsItsTerminalAndGoesOn(t *testing.T) {
	p, _ := documented(t)
	shows := p.shows("weft stat svc --watch", "40", "5")
	const picture = "NAMESPACE  SVC        MESHED  SUCCESS  R\nshop       orders     yes           -  0\nshop       orders-v1  yes           -  0\n… 3 more lines\n\n"
	shows("what fits of the picture", func(shown string) bool { return shown == picture })
	p.stop()
	shows("why there is no picture", func(shown string) bool {
		return strings.HasPrefix(shown, "weft: the mesh at ") && !strings.Contains(shown, "SVC")
	})
	p.again()
	shows("the picture again", func(shown string) bool { return shown == picture })
}

// What is waited for is told in one line, however narrow the terminal is.
func TestAWaitLeavesNothingInANarrowTerminal(t *testing.T) {
	p, _ := documented(t)
	p.shows("weft check --wait=1m", "60", "20")("the third look", func(shown string) bool {
		if strings.Count(shown, "TrafficSplit") > 1 {
			t.Fatalf("a line was left:\n%s", shown)
		}
		return strings.Contains(shown, " (2s)\n") && strings.HasPrefix(shown, "… TrafficSplit shop/users: BackendNotFound")
	})
}
