package main

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/reach"
)

// edgesCommand is `weft edges`: who calls whom.
type edgesCommand struct {
	Watch bool `short:"w" description:"Show it again every two seconds."`
	Window
	Asking
}

func newEdges() runner {
	return &edgesCommand{Window: Window{Time: time.Minute}, Asking: defaultAsking()}
}

// topCommand is `weft top`: the busiest edges, live.
type topCommand struct {
	Window
	Asking
}

func newTop() runner {
	return &topCommand{Window: Window{Time: 10 * time.Second}, Asking: defaultAsking()}
}

// edge is between whom calls go.
type edge struct {
	From     string `json:"from"`
	Service  string `json:"service"`
	To       string `json:"to"`
	Protocol string `json:"protocol"`
}

// edgeRow is an edge with what went over it.
type edgeRow struct {
	edge
	measured
}

// Run shows the edges by name.
func (c *edgesCommand) Run(ctx context.Context, out io.Writer) error {
	return c.show(ctx, &c.Asking, out, c.Watch, func(a, b edgeRow) int { return cmp.Compare(asJSON(a.edge), asJSON(b.edge)) })
}

// Run shows the edges, the busiest first, until it is told to stop; once where
// nobody watches.
func (c *topCommand) Run(ctx context.Context, out io.Writer) error {
	return c.show(ctx, &c.Asking, out, console.IsTerminal(out), func(a, b edgeRow) int {
		return cmp.Or(cmp.Compare(b.RPS, a.RPS), cmp.Compare(b.TCP, a.TCP), strings.Compare(asJSON(a.edge), asJSON(b.edge)))
	})
}

// show asks, sums up and shows in an order.
func (w *Window) show(ctx context.Context, a *Asking, out io.Writer, watch bool, order func(a, b edgeRow) int) error {
	if err := w.check(); err != nil {
		return err
	}
	fleet, p, err := a.open(ctx, out)
	if err != nil {
		return err
	}
	defer fleet.Close()
	return repeat(ctx, fleet, watch, p, func() error {
		rows, err := w.edges(ctx, fleet)
		if err != nil {
			return err
		}
		slices.SortFunc(rows, order)
		if done, err := p.Structured(rows); done {
			return err
		}
		if len(rows) == 0 {
			p.Printf("there was no such call within %s\n", w.Time)
			return nil
		}
		table := console.Table{Columns: measuredColumns("FROM", "SERVICE", "TO", "PROTOCOL"), Numbers: measuredNumbers}
		for i := range rows {
			r := &rows[i]
			table.Row(r.cells(p, r.From, r.Service, r.To, r.Protocol)...)
		}
		return table.Write(p.Out)
	})
}

func (w *Window) edges(ctx context.Context, fleet *reach.Fleet) ([]edgeRow, error) {
	calls, _, err := w.traffic(ctx, fleet)
	if err != nil {
		return nil, err
	}
	sums := grouped(calls, edgeOf)
	rows := make([]edgeRow, 0, len(sums))
	for e := range maps.Keys(sums) {
		rows = append(rows, edgeRow{e, sums[e].measured()})
	}
	return rows, nil
}

// edgeOf is the edge that a call went over.
func edgeOf(c *counted) (edge, bool) {
	to := "-" // no backend was reached
	switch {
	case c.Destination.Name != "":
		to = who(&c.Destination)
	case c.Backend != "":
		to = c.Backend + " (no pod)"
	}
	return edge{who(&c.Source), c.Service + "." + c.Call.Namespace, to, c.Protocol}, true
}
