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
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
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
	fleet, p, err := c.open(ctx, out)
	if err != nil {
		return err
	}
	defer fleet.Close()
	if err := find(ctx, fleet, name, port); err != nil {
		return err
	}
	query := url.Values{"service": {name.String()}, "from": {c.From}, "method": {c.Method}, "path": {c.Path}, "status": {c.Status}}
	if port != 0 {
		query.Set("port", strconv.Itoa(int(port)))
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var mu sync.Mutex // guards shown, and that lines do not mix
	shown := 0
	show := func(t *admin.Tapped) {
		mu.Lock()
		defer mu.Unlock()
		if c.Count > 0 && shown >= c.Count {
			return
		}
		if t.Missed == 0 && t.Connection != telemetry.Opened {
			shown++
		}
		c.show(p, t)
		if c.Count > 0 && shown >= c.Count {
			enough()
		}
	}
	var group errgroup.Group
	for _, proxy := range fleet.Proxies {
		group.Go(func() error { return follow(ctx, proxy, "/api/tap?"+query.Encode(), show) })
	}
	return group.Wait()
}

// follow reads one proxy's lines until the context ends.
func follow(ctx context.Context, proxy *reach.Proxy, path string, show func(*admin.Tapped)) error {
	body, err := proxy.Stream(ctx, path)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%s could not be asked: %w", where(proxy), err)
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		var t admin.Tapped
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return fmt.Errorf("%s: %w", where(proxy), err)
		}
		show(&t)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s told no more: %w", where(proxy), cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
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
	status := fmt.Sprint(t.Status)
	switch {
	case t.Status >= 500 || t.Reason != "":
		status = p.Bad(status)
	case t.Status >= 400:
		status = p.Doubtful(status)
	default:
		status = p.Good(status)
	}
	line := fmt.Sprintf("← %s  %.1f ms  %d bytes", status, t.TookMs, t.Sent)
	if t.Reason != "" {
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
