package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/reach"
)

// bugreportCommand is `weft bugreport`: one archive for whoever looks into it.
type bugreportCommand struct {
	File       string        `short:"f" description:"The archive that is written; by default weft-bugreport-<time>.tar.gz here."`
	Kubeconfig string        `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Namespace  string        `description:"Weft's own namespace."`
	Admin      string        `description:"The admin address of a weft local, such as 127.0.0.1:15000, to ask it and no cluster." excludes:"Kubeconfig"`
	Timeout    time.Duration `description:"How long each proxy, or the API server, may take for each answer."`
}

func newBugreport() runner { return &bugreportCommand{Namespace: "weft", Timeout: 10 * time.Second} }

// Run collects what can be read. What cannot be is told in the archive and does
// not keep the rest out; where nothing can, that is an error beside the archive.
func (c *bugreportCommand) Run(ctx context.Context, out io.Writer) (err error) {
	asking := Asking{Kubeconfig: c.Kubeconfig, Namespace: c.Namespace, Admin: c.Admin, Timeout: c.Timeout, Output: "table"}
	now := time.Now().UTC()
	if c.File == "" {
		c.File = "weft-bugreport-" + now.Format("20060102-150405") + ".tar.gz"
	}
	if err := checkDuration("timeout", c.Timeout, time.Millisecond); err != nil {
		return err
	}
	file, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // whoever reads it, not everybody
	if errors.Is(err, os.ErrExist) {
		return usageError("--file=%s: it is there already; remove it, or name another", c.File)
	}
	if err != nil {
		return usageError("--file: %w", err)
	}
	a := newArchive(file, now)
	defer func() { err = errors.Join(err, a.close(), file.Close()) }()
	a.add("about.txt", fmt.Appendf(nil, "weft %s, %s/%s, %s\n", version, runtime.GOOS, runtime.GOARCH, now.Format(time.RFC3339)), nil)
	fleet, _, err := asking.open(ctx, out)
	if err != nil {
		a.add("proxies", nil, err)
	} else {
		defer fleet.Close()
		c.proxies(ctx, a, fleet)
	}
	if c.Admin == "" {
		c.cluster(ctx, a)
	}
	a.progress.clear()
	if a.files == 1 { // about.txt
		return fmt.Errorf("nothing could be asked, and %s holds nothing but why: %s", c.File, a.failed[0])
	}
	failed := ""
	if len(a.failed) > 0 {
		failed = fmt.Sprintf("; %d could not be read, which errors.txt tells", len(a.failed))
	}
	fmt.Fprintf(out, "✓ wrote %s: %d files%s\n", c.File, a.files, failed)
	fmt.Fprintln(out, "It holds names, addresses and logs of your cluster. Secrets, values of environment variables and what looks like a credential were left out; look through it before you give it away.")
	return nil
}

// atOnce is how many answers are asked for at a time: they are kept until they are
// written.
const atOnce = 64

// proxies adds what every proxy says of itself, as the answers come.
func (c *bugreportCommand) proxies(ctx context.Context, a *archive, fleet *reach.Fleet) {
	type answer struct {
		name    string
		content []byte
		err     error
	}
	paths, answers := []string{"/api/status", "/api/table", "/api/problems", "/metrics", "/readyz"}, make(chan answer)
	ask := func(p *reach.Proxy, path string) error {
		content, err := p.Read(ctx, path)
		name := "proxies/" + p.Name
		if c.Admin != "" {
			name = "proxies/local"
		}
		answers <- answer{name + strings.TrimPrefix(path, "/api"), content, err}
		return nil
	}
	go func() {
		defer close(answers)
		var group errgroup.Group
		group.SetLimit(atOnce)
		for _, p := range fleet.Proxies {
			for _, path := range paths {
				group.Go(func() error { return ask(p, path) })
			}
		}
		_ = group.Wait() // the errors are in the answers
	}()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for left := len(fleet.Proxies) * len(paths); ; {
		select {
		case got, more := <-answers:
			if !more {
				return
			}
			a.add(got.name, got.content, got.err)
			left--
		case <-ticker.C:
			a.tell(fmt.Sprintf("waiting for %d answers of the proxies", left))
		}
	}
}

// archive is a tar.gz that is written file by file.
type archive struct {
	zip      *gzip.Writer
	tar      *tar.Writer
	now      time.Time
	files    int
	failed   []string
	broken   error // of the archive itself
	progress progress
}

func newArchive(to io.Writer, now time.Time) *archive {
	zip := gzip.NewWriter(to)
	return &archive{zip: zip, tar: tar.NewWriter(zip), now: now, progress: progress{out: os.Stderr}}
}

// tell shows a person what is waited for; nobody reads that later.
func (a *archive) tell(what string) {
	if console.IsTerminal(os.Stderr) {
		a.progress.tell(what, time.Since(a.now))
	}
}

// add writes a file without its secrets, or remembers why there is none.
func (a *archive) add(name string, content []byte, err error) {
	if err != nil {
		a.failed = append(a.failed, name+": "+err.Error())
		return
	}
	content = withoutSecrets(content)
	err = a.tar.WriteHeader(&tar.Header{Name: "weft-bugreport/" + name, Mode: 0o600, Size: int64(len(content)), ModTime: a.now})
	if err == nil {
		_, err = a.tar.Write(content)
	}
	a.files++
	a.broken = errors.Join(a.broken, err)
}

func (a *archive) close() error {
	if len(a.failed) > 0 {
		a.add("errors.txt", []byte(strings.Join(a.failed, "\n")+"\n"), nil)
	}
	return errors.Join(a.broken, a.tar.Close(), a.zip.Close())
}

// withoutSecrets blots out what looks like a credential: values after words that
// name one, bearer and basic credentials, JSON Web Tokens, private keys.
func withoutSecrets(content []byte) []byte {
	for _, rule := range []struct{ what, to string }{
		{`(?i)((?:password|passwd|secret|token|api[_-]?key|authorization|cookie|credential)s?["']?\s*[:=]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s,;}]+(?: [^\s,;}]+)?)`, "${1}[left out]"},
		{`(?i)\b(bearer|basic) [A-Za-z0-9+/=._~-]{8,}`, "$1 [left out]"},
		{`\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`, "[left out]"},
		{`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----`, "[left out]"},
	} {
		content = regexp.MustCompile(rule.what).ReplaceAll(content, []byte(rule.to))
	}
	return content
}
