package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
)

// statCommand is `weft stat`: how calls went, by what they went to.
type statCommand struct {
	Kind  string `argument:"KIND" description:"What rows are about: deploy, svc, ts (TrafficSplits), ns or pod." oneOf:"deploy svc ts ns pod"`
	Name  string `argument:"[NAME]" description:"Only this one, as namespace/name, or those of this namespace."`
	Watch bool   `short:"w" description:"Show it again every two seconds."`
	Window
	Asking
}

func newStat() runner {
	return &statCommand{Window: Window{Time: time.Minute}, Asking: defaultAsking()}
}

// statRow is one row.
type statRow struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Service   string `json:"service,omitempty"` // of a TrafficSplit: whose calls it shares out
	Backend   string `json:"backend,omitempty"` // of a TrafficSplit
	Share     string `json:"share,omitempty"`   // of a TrafficSplit: what it says
	// Meshed is how many of the live pods run on nodes whose proxy answered.
	Meshed string `json:"meshed,omitempty"`
	measured
}

// Run asks, sums up and shows.
func (c *statCommand) Run(ctx context.Context, out io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	fleet, p, err := c.open(ctx, out)
	if err != nil {
		return err
	}
	defer fleet.Close()
	return repeat(ctx, fleet, c.Watch, p, func() error {
		rows, err := c.rows(ctx, fleet)
		if err != nil {
			return err
		}
		if len(rows) == 0 && c.Name != "" && !c.Watch { // what is watched may come yet
			return c.nothing()
		}
		if done, err := p.Structured(rows); done {
			return err
		}
		return c.print(p, rows)
	})
}

// nothing says that NAME left no row.
func (c *statCommand) nothing() error {
	hint := ""
	if c.Kind == "ts" {
		hint = ", `weft check` the TrafficSplits that take no effect"
	}
	return fmt.Errorf("nothing of kind %s is %s or in a namespace of that name; `weft stat %s` shows what there is%s", c.Kind, c.Name, c.Kind, hint)
}

// rows are all that there is of the kind, with or without calls.
func (c *statCommand) rows(ctx context.Context, fleet *reach.Fleet) ([]statRow, error) {
	calls, asked, err := c.traffic(ctx, fleet)
	if err != nil {
		return nil, err
	}
	if c.Kind == "ts" {
		return c.splits(ctx, asked, calls)
	}
	meshed, err := c.meshed(ctx, asked)
	if err != nil {
		return nil, err
	}
	sums := grouped(calls, c.key)
	for name := range sums { // what is gone since
		if _, known := meshed[name]; !known {
			meshed[name] = "-"
		}
	}
	rows := []statRow{}
	for _, name := range slices.SortedFunc(maps.Keys(meshed), mesh.Name.Compare) {
		if !c.wanted(name) {
			continue
		}
		row := statRow{Namespace: name.Namespace, Name: name.Name, Meshed: meshed[name]}
		if sum := sums[name]; sum != nil {
			row.measured = sum.measured()
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// wanted tells whether NAME leaves a row in.
func (c *statCommand) wanted(name mesh.Name) bool {
	if service, port, err := parseService(c.Name); c.Kind == "svc" && err == nil && port == 0 {
		return service == name
	}
	return c.Name == "" || c.Name == name.String() || c.Name == name.Namespace || c.Kind == "ns" && c.Name == name.Name
}

// key is which row a call counts in: what was called, or, where --to names that,
// who calls. What reached no pod was called in the Service's namespace.
func (c *statCommand) key(row *counted) (mesh.Name, bool) {
	w := row.Destination
	w.Namespace = cmp.Or(w.Namespace, row.Call.Namespace)
	if c.To != "" && c.Kind != "svc" {
		w = row.Source
	}
	switch c.Kind {
	case "svc":
		return mesh.Name{Namespace: row.Call.Namespace, Name: row.Service}, true
	case "ns":
		return mesh.Name{Name: w.Namespace}, w.Namespace != ""
	case "pod":
		return mesh.Name{Namespace: w.Namespace, Name: w.Pod}, w.Pod != ""
	}
	return mesh.Name{Namespace: w.Namespace, Name: w.Name}, w.Kind == "Deployment"
}

// meshed says for each thing of the kind how much of it the mesh carries.
func (c *statCommand) meshed(ctx context.Context, proxies []*reach.Proxy) (map[mesh.Name]string, error) {
	out := map[mesh.Name]string{}
	if c.Kind == "svc" {
		table, err := newestTable(ctx, proxies)
		if err != nil {
			return nil, err
		}
		for _, s := range table.Services {
			out[s.Name] = "yes"
		}
		return out, nil
	}
	answers, err := answered(reach.Ask[[]*mesh.Workload](ctx, proxies, "/api/workloads"))
	if err != nil {
		return nil, err
	}
	nodes := map[string]bool{}
	for _, a := range answers {
		nodes[a.Proxy.Node] = true
	}
	pods, here := map[mesh.Name]int{}, map[mesh.Name]int{}
	for _, w := range answers[0].Value {
		name := w.Name
		switch {
		case c.Kind == "ns":
			name = mesh.Name{Name: w.Name.Namespace}
		case c.Kind == "deploy" && w.OwnerKind != "Deployment":
			continue
		case c.Kind == "deploy":
			name.Name = w.OwnerName
		}
		pods[name]++
		if nodes[w.Node] || nodes[""] { // a local mesh is there for all
			here[name]++
		}
	}
	for name, n := range pods {
		out[name] = fmt.Sprintf("%d/%d", here[name], n)
	}
	return out, nil
}

// splits are the rows of TrafficSplits: one for each backend, and one for what no
// backend served of the Service's calls, whichever split they met.
func (c *statCommand) splits(ctx context.Context, proxies []*reach.Proxy, calls []counted) ([]statRow, error) {
	routed, err := routed(ctx, proxies)
	if err != nil {
		return nil, err
	}
	sums := grouped(calls, byBackend)
	rows, seen, shared := []statRow{}, map[string]bool{}, map[mesh.Name]bool{}
	for _, r := range routed {
		key, sum := r.origin+" "+r.backend.String(), sums[backendKey{r.service, r.backend.Name}]
		switch {
		case r.unserved() && (sum == nil || !shared[r.service]):
			continue
		case !r.unserved() && (r.origin == "" || seen[key] || !c.wanted(mesh.Name{Namespace: r.service.Namespace, Name: r.split})):
			continue
		}
		seen[key], shared[r.service] = true, true
		row := statRow{Namespace: r.service.Namespace, Name: r.split, Service: r.service.Name, Backend: r.backend.Name, Share: r.share}
		if sum != nil {
			row.measured = sum.measured()
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (c *statCommand) print(p *console.Printer, rows []statRow) error {
	titles := []string{"NAMESPACE", strings.ToUpper(c.Kind), "MESHED"}
	switch c.Kind {
	case "ts":
		titles = []string{"NAMESPACE", "TS", "SERVICE", "BACKEND", "SHARE"}
	case "ns":
		titles = []string{"NS", "MESHED"}
	}
	table := console.Table{Columns: measuredColumns(titles...), Numbers: measuredNumbers}
	for i := range rows {
		r := &rows[i]
		before := []string{r.Namespace, r.Name, r.Meshed}
		switch c.Kind {
		case "ts":
			before = []string{r.Namespace, cmp.Or(r.Name, "-"), r.Service, cmp.Or(r.Backend, "-"), cmp.Or(r.Share, "-")}
		case "ns":
			before = []string{r.Name, r.Meshed}
		}
		table.Row(r.cells(p, before...)...)
	}
	if len(rows) == 0 {
		p.Printf("there is none\n")
		return nil
	}
	return table.Write(p.Out)
}
