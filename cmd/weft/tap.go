package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/reach"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// tapCommand is `weft tap`: requests and connections as they happen.
type tapCommand struct {
	Service string `argument:"SERVICE" description:"The Service that is called, such as orders.shop, or one of its ports, such as orders.shop:80."`
	From    string `description:"Only calls of this workload, pod or service account (namespace/name) or of this namespace."`
	Method  string `description:"Only requests of this method, and no connections."`
	Path    string `description:"Only requests whose path begins so, and no connections."`
	Status  string `description:"Only requests with this status, such as 503, or of a class, such as 5xx, and no connections."`
	Count   int    `description:"End after so many requests, or connections that are over; 0 goes on until it is stopped."`
	Asking
}

func newTap() runner { return &tapCommand{Asking: defaultAsking()} }

// Run shows what all proxies tell, as it comes.
func (c *tapCommand) Run(ctx context.Context, out io.Writer) error {
	name, port, err := parseService(c.Service)
	if err != nil {
		return err
	}
	query := url.Values{"service": {name.String()}, "from": {c.From}, "method": {c.Method}, "path": {c.Path}, "status": {c.Status}}
	if port != 0 {
		query.Set("port", strconv.Itoa(int(port)))
	}
	if err := c.check(query); err != nil {
		return err
	}
	fleet, p, err := c.open(ctx, out)
	if err != nil {
		return err
	}
	defer fleet.Close()
	if err := find(ctx, fleet, name, port); err != nil {
		return err
	}
	w := watching{command: c, what: c.Service, out: p, errors: os.Stderr, person: console.IsTerminal(os.Stderr)}
	return w.run(ctx, fleet.Proxies, "/api/tap?"+query.Encode())
}

// check finds what would be waited for in vain.
func (c *tapCommand) check(query url.Values) error {
	if err := admin.CheckTap(query); err != nil {
		return usageError("--%w", err)
	}
	if c.Count < 0 {
		return usageError("--count=%d: takes a number of requests, or 0 for no end", c.Count)
	}
	return checkNamed("from", c.From)
}

// watching is a tap that goes on.
type watching struct {
	command *tapCommand
	what    string // the Service, as it was asked for
	out     *console.Printer
	errors  io.Writer
	person  bool // reads errors, and hears that the tap has begun

	mu       sync.Mutex // guards what follows, and that lines do not mix
	shown    int
	going    int   // proxies that have not broken off
	asked    int   // of which an answer is waited for
	attached int   // that have begun to tell
	failed   error // why the last one broke off
}

// run follows proxies until enough was shown, the context ends or none is left.
// One that breaks off is told at once where others go on.
func (w *watching) run(ctx context.Context, proxies []*reach.Proxy, path string) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	w.going, w.asked = len(proxies), len(proxies)
	var group sync.WaitGroup
	for _, proxy := range proxies {
		group.Go(func() { w.ended(w.follow(ctx, enough, proxy, path)) })
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return w.failed
}

// follow reads one proxy's lines until the context ends, which is no error.
func (w *watching) follow(ctx context.Context, enough func(), proxy *reach.Proxy, path string) error {
	body, err := proxy.Stream(ctx, path)
	w.answered(err)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return unasked(proxy, err)
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		var t admin.Tapped
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return fmt.Errorf("%s: %w", where(proxy), err)
		}
		w.show(&t, enough)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s told no more: %w", where(proxy), cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
}

// answered counts a proxy that is watched or cannot be; once no other is waited
// for, a person hears that the tap has begun.
func (w *watching) answered(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked--
	if err == nil {
		w.attached++
	}
	if !w.person || w.asked > 0 || w.attached == 0 {
		return
	}
	proxies := "1 proxy"
	if w.attached > 1 {
		proxies = fmt.Sprintf("%d proxies", w.attached)
	}
	fmt.Fprintf(w.errors, "watching %s on %s\n", w.what, proxies)
}

// ended takes why a proxy tells no more; nil where the tap is over.
func (w *watching) ended(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.going--; err != nil && w.going > 0 {
		fmt.Fprintln(w.errors, "weft:", err)
		return
	}
	w.failed = err
}

// show shows a line, unless enough are shown.
func (w *watching) show(t *admin.Tapped, enough func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := w.command.Count
	if most > 0 && w.shown >= most {
		return
	}
	if t.Missed == 0 && t.Connection != telemetry.Opened {
		w.shown++
	}
	w.command.show(w.out, t)
	if most > 0 && w.shown >= most {
		enough()
	}
}

// show writes a request and its answer as a pair of lines, of a connection one as
// it opens and one as it ends, or all as JSON or YAML.
func (c *tapCommand) show(p *console.Printer, t *admin.Tapped) {
	if t.Missed > 0 && (p.Format == console.FormatTable || p.Format == console.FormatWide) {
		p.Printf("%s\n", p.Doubtful(fmt.Sprintf("… %d more came too fast to be shown", t.Missed)))
		return
	}
	if p.Format == console.FormatYAML {
		p.Printf("---\n")
	}
	if done, _ := p.Structured(t); done { // a reader that is gone ends the program
		return
	}
	if t.Connection != "" {
		showConnection(p, t)
		return
	}
	p.Printf("→ %s %s  %s to %s.%s:%d  %s\n", t.Method, t.Path, callerOf(t), t.Service, t.Namespace, t.Port, p.Faint(t.Protocol))
	status, gone := fmt.Sprint(t.Status), t.Reason == string(upstream.ClientGone)
	switch {
	case gone:
		status = p.Doubtful(status)
	case t.Status >= 500 || t.Reason != "":
		status = p.Bad(status)
	case t.Status >= 400:
		status = p.Doubtful(status)
	default:
		status = p.Good(status)
	}
	line := fmt.Sprintf("← %s  %.1f ms  %d bytes", status, t.TookMs, t.Sent)
	switch {
	case gone: // nobody refused it
		line += "  " + t.Reason + ": the client left, or fell behind"
	case t.Reason != "":
		line += "  refused: " + t.Reason
	}
	line += servedBy(t)
	if t.Tries > 1 {
		line += fmt.Sprintf(", try %d", t.Tries)
	}
	p.Printf("%s\n", line)
}

// showConnection writes the line of a TCP connection or UDP session that has
// opened or is over, or both of one that was refused. The client's port tells
// which belong together.
func showConnection(p *console.Printer, t *admin.Tapped) {
	client := net.JoinHostPort(t.Client, strconv.Itoa(int(t.ClientPort)))
	if t.Source.Name != "" {
		client = fmt.Sprintf("%s (%s)", who(&t.Source), client)
	}
	if t.Connection == telemetry.Opened || t.Connection == telemetry.Refused {
		p.Printf("→ %s  %s to %s.%s:%d%s\n", t.Protocol, client, t.Service, t.Namespace, t.Port, servedBy(t))
	}
	unit := "bytes"
	if t.Protocol == "udp" {
		unit = "datagrams"
	}
	moved := fmt.Sprintf("%s  %.1f ms  %d %s received, %d sent%s", client, t.TookMs, t.Received, unit, t.Sent, servedBy(t))
	reason := ""
	if t.Reason != "" {
		reason = ": " + t.Reason
	}
	switch t.Connection {
	case telemetry.Refused:
		p.Printf("← %s%s  %s\n", p.Bad("refused"), reason, client)
	case telemetry.Broken:
		p.Printf("← %s%s  %s\n", p.Bad("broken off"), reason, moved)
	case telemetry.Closed:
		p.Printf("← %s  %s\n", p.Good("closed"), moved)
	}
}

// servedBy says who serves, or was tried last.
func servedBy(t *admin.Tapped) string {
	if t.Endpoint == "" {
		return ""
	}
	return fmt.Sprintf("  by %s at %s", t.Backend, t.Endpoint)
}

// callerOf names who called: the workload, else the address.
func callerOf(t *admin.Tapped) string {
	if t.Source.Name == "" {
		return t.Client
	}
	return who(&t.Source)
}
