package local

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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

// Colour is for a person at a terminal: not in a pipe, not where NO_COLOR says no.
func TestColourIsForTerminals(t *testing.T) {
	p, _ := documented(t)
	screen := func(typed string) string {
		t.Helper()
		socket := filepath.Join(t.TempDir(), "tmux")
		// The shell stays until it is told, so that the screen can be read.
		tmux(t, socket, "new-session", "-d", "-s", "weft", "-x", "200", "-y", "50",
			fmt.Sprintf("export WEFT_ADMIN=%s PATH=%s:$PATH; %s; echo the-end; read line", p.admin, filepath.Dir(weft), typed))
		defer tmux(t, socket, "kill-server")
		var shown string
		await(t, typed+" in a terminal", func() bool {
			shown = tmux(t, socket, "capture-pane", "-p", "-e", "-t", "weft")
			return strings.Contains(shown, "the-end")
		})
		return shown
	}
	const green, red = "\x1b[32m", "\x1b[31m"
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
