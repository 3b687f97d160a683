// Command weft is the whole of Weft in one binary: the node proxy, the
// controller, a mesh on one machine, and a person's way in. `weft help` lists
// the commands.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"

	"github.com/weft-mesh/weft/internal/config"
	"github.com/weft-mesh/weft/internal/console"
)

// version is set by the build (-ldflags -X main.version=…).
var version = "dev"

// runner is a command's configuration, filled before Run is called. Run writes
// its results to out; logs go to standard error. It returns when the context
// ends or its work is done.
type runner interface {
	Run(ctx context.Context, out io.Writer) error
}

// command is one row of `weft help`.
type command struct {
	name, does string
	// make returns a pointer to the command's configuration with its defaults.
	make func() runner
}

// commands are the rows of `weft help`. It is a function for `weft completion`
// is one of them and lists them.
func commands() []command {
	return []command{
		{"demo", "watch a canary move through a mesh on this machine", newDemoCommand},
		{"local", "run a whole mesh on this machine, from YAML files", newLocalCommand},
		{"node", "run the proxy of one node of a cluster", newNodeCommand},
		{"controller", "write the mesh's Services, names and DNS patch", func() runner { return newControllerCommand() }},
		{"install", "install Weft in a cluster, from this binary alone", newInstall},
		{"check", "say whether the mesh of a cluster is whole, and what to do if not", newCheck},
		{"describe", "show what the mesh knows of a Service, from its name to its endpoints", newDescribe},
		{"explain", "say what would become of a call, rule by rule", newExplain},
		{"stat", "show success, rate and latency of calls, by what they went to", newStat},
		{"top", "show the busiest calls, live", newTop},
		{"routes", "show which way calls go, as it is said and as it is", newRoutes},
		{"edges", "show who calls whom", newEdges},
		{"tap", "watch requests as they happen", newTap},
		{"diff", "say what would change for whom if a file were applied", newDiff},
		{"bugreport", "write one archive of all that helps to find a fault, without secrets", newBugreport},
		{"uninstall", "remove everything of Weft from a cluster", newUninstall},
		{"completion", "print what bash, zsh or fish need to complete commands and flags", func() runner { return &completionCommand{} }},
		{"version", "print the version", func() runner { return &versionCommand{Output: console.FormatTable} }},
	}
}

// The exit statuses of weft.
const (
	exitFailed = 1 // the command ran and failed, or a check did not hold
	exitUsage  = 2 // the command line, environment or file was wrong
	exitNo     = 3 // the command ran, and the answer is no
)

// errNo is a no that was already said.
var errNo = errors.New("no")

// errUsage wraps errors in what was asked rather than in doing it.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	out := &output{file: os.Stdout}
	err := run(ctx, os.Args[1:], out)
	stop()
	if err = cmp.Or(out.failed(), err); err == nil {
		return
	}
	if errors.Is(err, errNo) {
		os.Exit(exitNo)
	}
	fmt.Fprintln(os.Stderr, "weft:", err)
	if errors.Is(err, errUsage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

// output writes to a file and remembers that it could not: what was not read was
// not answered, whatever the command makes of it. Several may write at once.
type output struct {
	file *os.File

	mu  sync.Mutex // guards err
	err error      // the first
}

// Write writes to the file.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = cmp.Or(o.err, err)
	return n, err
}

// Fd is the file's, by which a terminal is known.
func (o *output) Fd() uintptr { return o.file.Fd() }

func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// run finds the command, fills its configuration and runs it.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || isHelp(args[0]) && len(args) == 1 {
		usage(out)
		return nil
	}
	if isHelp(args[0]) {
		args[0], args[1] = args[1], args[0] // weft help check is weft check --help
	}
	if args[0] == "--version" {
		args = []string{"version"}
	}
	all := commands()
	at := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if at < 0 {
		return usageError("%q is not a command; `weft help` lists them", args[0])
	}
	c, args := all[at], args[1:]
	configured := c.make()
	if slices.ContainsFunc(args, isHelp) {
		fmt.Fprintf(out, "weft %s: %s\n\nUsage: weft %s\n\n", c.name, c.does, usageOf(c.name, configured))
		config.Help(out, configured)
		return nil
	}
	if err := config.Load(configured, args, os.Environ()); err != nil {
		return usageError("%w; see `weft %s --help`", err, c.name)
	}
	return configured.Run(ctx, out)
}

func usageError(format string, args ...any) error {
	return &usageFailure{fmt.Errorf(format, args...)}
}

// usageFailure is an error that is also errUsage, without saying so in its text.
type usageFailure struct{ error }

func (u *usageFailure) Is(target error) bool { return target == errUsage }
func (u *usageFailure) Unwrap() error        { return u.error }

func isHelp(arg string) bool {
	return slices.Contains([]string{"help", "-h", "--help", "-help"}, arg)
}

// usageOf is the command with its arguments, such as "describe SERVICE [--flag=value …]".
func usageOf(name string, configured any) string {
	for _, a := range config.Arguments(configured) {
		name += " " + a.String()
	}
	return name + " [--flag=value …]"
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Weft is a service mesh for Kubernetes: one small proxy per node, nothing in the pods.\n\nUsage: weft COMMAND [ARGUMENT …] [--flag=value …]\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(table, "  %s\t%s\n", c.name, c.does)
	}
	_ = table.Flush() // that it could not be written is out's to remember
	fmt.Fprint(w, "\n`weft COMMAND --help` lists a command's options.\n")
}

// versionCommand prints the version.
type versionCommand struct {
	Output string `short:"o" description:"How the answer is shown: table, wide, json or yaml." oneOf:"table wide json yaml"`
}

// Run prints the version.
func (c *versionCommand) Run(_ context.Context, out io.Writer) error {
	if done, err := console.New(out, c.Output).Structured(map[string]string{"version": version}); done {
		return err
	}
	_, err := fmt.Fprintln(out, strings.TrimSpace("weft "+version))
	return err
}
