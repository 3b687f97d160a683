package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// process is a program that runs beside the test. Its output goes to a file.
type process struct {
	name    string
	command *exec.Cmd
	exited  chan struct{} // closed once the program is gone
}

// startProcess runs the program at path and returns once it has started. Its
// output is appended to a file in folder.
func startProcess(folder, path string, arguments ...string) (*process, error) {
	name := filepath.Base(path)
	output, err := os.OpenFile(logFile(folder, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p := &process{name: name, command: exec.Command(path, arguments...), exited: make(chan struct{})}
	p.command.Dir = folder
	p.command.Stdout, p.command.Stderr = output, output
	endWithParent(p.command)
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run holds its thread for as long as the program lives: Linux sends the
// signal of a parent's death when the thread that started the child ends.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)
	err := p.command.Start()
	started <- err
	if err == nil {
		// How it ended is known: it was killed, or its log says why.
		_ = p.command.Wait()
	}
}

// kill ends the program at once, as a crash would, and waits until it is
// gone. A nil process is none.
func (p *process) kill() {
	if p == nil {
		return
	}
	// An error means that it has ended already.
	_ = p.command.Process.Kill()
	<-p.exited
}

// logFile is where the program called name writes its output.
func logFile(folder, name string) string { return filepath.Join(folder, name+".log") }

// lastWords is the end of what the program called name has written.
func lastWords(folder, name string) string {
	content, err := os.ReadFile(logFile(folder, name))
	if err != nil {
		return fmt.Sprintf("%s wrote nothing: %v", name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return name + " wrote last:\n" + strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// logOnFailure tells a failed test what the programs said.
func logOnFailure(t testing.TB, folder string, names ...string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for _, name := range names {
		t.Log(lastWords(folder, name))
	}
}
