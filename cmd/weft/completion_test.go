package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// script is a completion script in a file.
func script(t *testing.T, shell string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), []string{"completion", shell}, &out); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "weft."+shell)
	if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// words runs a program and returns the words that it prints.
func words(t *testing.T, name string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.Fields(string(out))
}

// The real shells, with the script loaded, offer commands, flags and values.
func TestShellsComplete(t *testing.T) {
	bash, zsh, fish := script(t, "bash"), script(t, "zsh"), script(t, "fish")
	inBash := func(line ...string) []string {
		return words(t, "bash", "-c", `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weft; echo "${COMPREPLY[@]}"`, "-", bash, "weft", line[0], line[len(line)-1])
	}
	if got := words(t, "bash", "-c", `source "$1"; COMP_WORDS=(weft des); COMP_CWORD=1; _weft; echo "${COMPREPLY[@]}"`, "-", bash); !slices.Equal(got, []string{"describe"}) {
		t.Errorf("bash, weft des: %q", got)
	}
	if got := inBash("describe", "--dom"); !slices.Equal(got, []string{"--domain"}) {
		t.Errorf("bash, weft describe --dom: %q", got)
	}
	if got := inBash("describe", "--conf"); !slices.Equal(got, []string{"--configFile"}) {
		t.Errorf("bash, weft describe --conf: %q", got)
	}
	if got := inBash("help", "des"); !slices.Equal(got, []string{"describe"}) {
		t.Errorf("bash, weft help des: %q", got)
	}
	if got := inBash("completion", ""); !slices.Equal(got, []string{"bash", "zsh", "fish", "--configFile"}) {
		t.Errorf("bash, weft completion: %q", got)
	}
	if got := words(t, "bash", "-c", `source "$1"; COMP_WORDS=(weft describe -o j); COMP_CWORD=3; _weft; echo "${COMPREPLY[@]}"`, "-", bash); !slices.Equal(got, []string{"json"}) {
		t.Errorf("bash, weft describe -o j: %q", got)
	}
	inZsh := func(line string, current string) string {
		return strings.Join(words(t, "zsh", "-f", "-c", `autoload -U compinit; compinit -D -u; source "$1"; words=(${=2}); CURRENT=$3
			_describe() { print -l $names }; _arguments() { print -l -- $@ }; $_comps[weft]`, "-", zsh, line, current), " ")
	}
	if got := inZsh("weft d", "2"); !strings.Contains(got, "describe:show") || !strings.Contains(got, "uninstall:remove") {
		t.Errorf("zsh, weft d: %q", got)
	}
	if got := inZsh("weft describe -", "3"); !strings.Contains(got, "--domain=[The domain of the mesh names.]") || !strings.Contains(got, "value:(table wide json yaml)") {
		t.Errorf("zsh, weft describe -: %q", got)
	}
	if got := inZsh("weft help d", "3"); !strings.Contains(got, "1:COMMAND:(demo local ") {
		t.Errorf("zsh, weft help d: %q", got)
	}
	inFish := func(line string) string {
		return strings.Join(words(t, "fish", "--no-config", "-c", `source $argv[1]; complete -C "$argv[2]"`, fish, line), " ")
	}
	for line, want := range map[string]string{
		"weft des": "describe show what", "weft describe --dom": "--domain", "weft describe -o j": "json", "weft completion z": "zsh",
		"weft help des": "describe", "weft describe --conf": "--configFile",
	} {
		if got := inFish(line); !strings.HasPrefix(got, want) {
			t.Errorf("fish, %s: %q; want %q", line, got, want)
		}
	}
}
