package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
)

// Asking is the part of a configuration that says which mesh is asked and how
// its answer is shown.
type Asking struct {
	Kubeconfig string        `description:"The kubeconfig file; by default KUBECONFIG, ~/.kube/config or the pod's own service account."`
	Namespace  string        `description:"Weft's own namespace."`
	Admin      string        `description:"The admin address of a weft local, such as 127.0.0.1:15000, to ask it and no cluster." excludes:"Kubeconfig"`
	Timeout    time.Duration `description:"How long each proxy may take to answer."`
	Output     string        `short:"o" description:"How the answer is shown: table, wide, json or yaml." oneOf:"table wide json yaml"`
}

func defaultAsking() Asking {
	return Asking{Namespace: "weft", Timeout: 5 * time.Second, Output: console.FormatTable}
}

// open checks the configuration and finds the proxies, which the caller closes.
func (a *Asking) open(ctx context.Context, out io.Writer) (*reach.Fleet, *console.Printer, error) {
	p := console.New(out, a.Output)
	if err := cmp.Or(checkNamespace(a.Namespace), checkDuration("timeout", a.Timeout, time.Millisecond)); err != nil {
		return nil, nil, err
	}
	if a.Admin != "" {
		return reach.Local(a.Admin, a.Timeout), p, checkAddress("admin", a.Admin)
	}
	k, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	fleet, err := reach.Cluster(ctx, reach.Config{REST: k.config, Client: k.typed, Namespace: a.Namespace, Timeout: a.Timeout})
	return fleet, p, err
}

// connect finds the cluster, where no weft local is asked.
func (a *Asking) connect() (*clients, error) {
	k, err := connect(a.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("%w; to ask a weft local: --admin=127.0.0.1:15000", err)
	}
	return k, nil
}

// answered returns the answers of the proxies that could be asked, and tells of
// the others on standard error. It is an error where none could.
func answered[T any](answers []reach.Answer[T]) ([]reach.Answer[T], error) {
	var good []reach.Answer[T]
	var failed []error
	for _, a := range answers {
		if a.Err == nil {
			good = append(good, a)
			continue
		}
		failed = append(failed, unasked(a.Proxy, a.Err))
	}
	if len(good) > 0 {
		for _, err := range failed {
			fmt.Fprintln(os.Stderr, "weft:", err)
		}
		return good, nil
	}
	var said *reach.HTTPError
	if errors.As(errors.Join(failed...), &said) {
		return nil, said // the others that answered say the same
	}
	return nil, errors.Join(failed...)
}

// unasked says that a proxy could not be asked, why, and what to look at.
func unasked(p *reach.Proxy, err error) error {
	var said *reach.HTTPError
	if errors.As(err, &said) { // it could, and says itself what is wrong
		return fmt.Errorf("%s could not answer: %w", where(p), err)
	}
	return fmt.Errorf("%s could not be asked: %w; %s", where(p), err, askHint(p))
}

// askHint is what to look at where a proxy does not answer.
func askHint(p *reach.Proxy) string {
	if p.Node == "" {
		return "does weft local run, with this --admin.address?"
	}
	return "docs/cli.md lists the rights that asking needs"
}

// find is an error where no Service of the name is meshed, or it lacks the port;
// port 0 is any.
func find(ctx context.Context, fleet *reach.Fleet, name mesh.Name, port uint16) error {
	answers, err := answered(reach.Ask[admin.Service](ctx, fleet.Proxies, "/api/services/"+name.String()))
	if err != nil {
		return err
	}
	return hasPort(answers[0].Value.Service, port)
}

// hasPort is an error where a Service lacks a port; port 0 is any.
func hasPort(s *mesh.Service, port uint16) error {
	if port == 0 {
		return nil
	}
	var has []string
	for _, p := range s.Ports {
		if p.Number == port {
			return nil
		}
		has = append(has, strconv.Itoa(int(p.Number)))
	}
	return fmt.Errorf("%s has no port %d; it has %s", s.Name, port, strings.Join(has, ", "))
}

// where names a proxy to a person.
func where(p *reach.Proxy) string {
	if p.Node == "" {
		return "the mesh at " + p.Name
	}
	return fmt.Sprintf("the proxy of node %s (%s)", p.Node, p.Name)
}

// watchEvery is how long --watch waits between two answers.
const watchEvery = 2 * time.Second

// repeat shows once, or until the context ends. Of what is watched only the first
// answer may fail: proxies come and go, so later errors are told, and it goes on.
func repeat(ctx context.Context, fleet *reach.Fleet, watch bool, p *console.Printer, show func() error) error {
	if !watch {
		return show()
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	terminal := console.IsTerminal(p.Out)
	again := func() error {
		err := fleet.Refresh(ctx)
		if err == nil {
			err = show()
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case terminal: // in place of the picture
			p.Printf("weft: %v\n", err)
		default:
			fmt.Fprintln(os.Stderr, "weft:", err)
		}
		return nil
	}
	err := draw(p, show)
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			err = draw(p, again)
		}
	}
	return err
}

// draw shows a picture: on a terminal in place of what is there, as much as fits.
// The last row is the cursor's.
func draw(p *console.Printer, show func() error) error {
	out := p.Out
	if console.IsTerminal(out) {
		p.Printf("\x1b[H\x1b[J")
	}
	var picture strings.Builder
	p.Out = &picture
	err := show()
	p.Out = out
	if err != nil {
		return err
	}
	columns, rows := console.Size(out)
	_, err = io.WriteString(out, console.Fit(picture.String(), columns, rows-1))
	return err
}

// parseService reads the name of a Service as a person writes it, perhaps with a
// port: orders.shop, shop/orders, orders.shop.mesh:80. Port 0 is none.
func parseService(text string) (name mesh.Name, port uint16, err error) {
	host, number, hasPort := strings.Cut(text, ":")
	if hasPort {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return mesh.Name{}, 0, usageError("%q: %q is no port", text, number)
		}
		port = uint16(n)
	}
	if namespace, service, slashed := strings.Cut(host, "/"); slashed {
		name = mesh.Name{Namespace: namespace, Name: service}
	} else {
		parts := strings.SplitN(host, ".", 3)
		if len(parts) > 1 {
			name = mesh.Name{Namespace: parts[1], Name: parts[0]}
		}
	}
	if checkNamespaces("", name.Namespace, name.Name) != nil {
		return mesh.Name{}, 0, usageError("%q: want a Service with its namespace, such as orders.shop", text)
	}
	return name, port, nil
}

// ago writes how long something has been so.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := time.Since(t)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
