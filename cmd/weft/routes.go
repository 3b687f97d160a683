package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
)

// routesCommand is `weft routes`: which way calls go, as it is said and as it is.
type routesCommand struct {
	Service string `argument:"[SERVICE]" description:"Only the routes of this Service, such as orders.shop, or of one of its ports, such as orders.shop:80."`
	Watch   bool   `short:"w" description:"Show it again every two seconds."`
	Window
	Asking
}

func newRoutes() runner {
	return &routesCommand{Window: Window{Time: time.Minute}, Asking: defaultAsking()}
}

// routedTo is one way that calls of a port may go, or stands for the calls of a
// Service that went none.
type routedTo struct {
	service mesh.Name
	port    uint16 // 0 for calls that no backend served: they are not counted by port
	origin  string // "Kind namespace/name" of what asks for it; empty for the Service's own endpoints
	split   string // its name
	calls   string // which it means
	backend mesh.Name
	share   string // that it says
}

// unserved tells whether it stands for calls that no backend served.
func (r *routedTo) unserved() bool { return r.backend == mesh.Name{} }

// newestTable is what the proxy that heard last of a change routes by. Only that
// one is asked for its Table, which may be long.
func newestTable(ctx context.Context, proxies []*reach.Proxy) (*admin.Table, error) {
	states, err := answered(reach.Ask[admin.Status](ctx, proxies, "/api/status"))
	if err != nil {
		return nil, err
	}
	newest := slices.MaxFunc(states, func(a, b reach.Answer[admin.Status]) int { return a.Value.Built.Compare(b.Value.Built) })
	tables, err := answered(reach.Ask[admin.Table](ctx, []*reach.Proxy{newest.Proxy}, "/api/table"))
	if err != nil {
		return nil, err
	}
	return &tables[0].Value, nil
}

// routed lists the routes of each Service, and then what stands for the calls
// that no backend served.
func routed(ctx context.Context, proxies []*reach.Proxy) (out []routedTo, err error) {
	table, err := newestTable(ctx, proxies)
	if err != nil {
		return nil, err
	}
	for _, s := range table.Services {
		for _, p := range s.Ports {
			rest := true
			for _, r := range p.Routes {
				rest = rest && len(r.Matches) > 0
				out = append(out, backendsOf(s.Name, p.Number, r)...)
			}
			if rest {
				out = append(out, routedTo{service: s.Name, port: p.Number, calls: "every call", backend: s.Name, share: "100 %"})
			}
		}
		out = append(out, routedTo{service: s.Name, calls: "unserved calls"})
	}
	return out, nil
}

func backendsOf(service mesh.Name, port uint16, r *mesh.Route) (out []routedTo) {
	var sum int64
	for _, b := range r.Backends {
		sum += b.Weight
	}
	calls := "every call"
	for i, m := range r.Matches {
		if i == 0 {
			calls = requestsOf(m)
		} else {
			calls += ", or " + requestsOf(m)
		}
	}
	for _, b := range r.Backends {
		out = append(out, routedTo{service, port, r.Origin.String(), r.Origin.Name, calls, b.Service, percent(b.Weight, sum)})
	}
	return out
}

// backendKey is what the proxies count by: a Service and the one that served it.
type backendKey struct {
	service mesh.Name
	backend string
}

func byBackend(c *counted) (backendKey, bool) {
	return backendKey{mesh.Name{Namespace: c.Call.Namespace, Name: c.Service}, c.Backend}, true
}

// routeRow is one row.
type routeRow struct {
	Service mesh.Name `json:"service"`
	Port    uint16    `json:"port,omitempty"`
	Origin  string    `json:"origin,omitempty"`
	Calls   string    `json:"calls"`
	Backend mesh.Name `json:"backend,omitzero"` // none for calls that no backend served
	Share   string    `json:"share,omitempty"`
	measured
}

// Run asks, joins and shows.
func (c *routesCommand) Run(ctx context.Context, out io.Writer) error {
	only, port, err := c.only()
	if err != nil {
		return err
	}
	fleet, p, err := c.open(ctx, out)
	if err != nil {
		return err
	}
	defer fleet.Close()
	if only != (mesh.Name{}) {
		if err := find(ctx, fleet, only, port); err != nil {
			return err
		}
	}
	return repeat(ctx, fleet, c.Watch, p, func() error {
		rows, err := c.rows(ctx, fleet, only, port)
		if err != nil {
			return err
		}
		if done, err := p.Structured(rows); done {
			return err
		}
		return printRoutes(p, rows)
	})
}

// rows are the routes of one Service or of all, with or without calls.
func (c *routesCommand) rows(ctx context.Context, fleet *reach.Fleet, only mesh.Name, port uint16) ([]routeRow, error) {
	calls, asked, err := c.traffic(ctx, fleet)
	if err != nil {
		return nil, err
	}
	all, err := routed(ctx, asked)
	if err != nil {
		return nil, err
	}
	sums, rows := grouped(calls, byBackend), []routeRow{}
	for _, r := range all {
		sum := sums[backendKey{r.service, r.backend.Name}]
		switch {
		case only != (mesh.Name{}) && r.service != only:
			continue
		case r.unserved() && sum == nil || !r.unserved() && port != 0 && r.port != port:
			continue
		}
		row := routeRow{Service: r.service, Port: r.port, Origin: r.origin, Calls: r.calls, Backend: r.backend, Share: r.share}
		if sum != nil {
			row.measured = sum.measured()
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// only is the Service that is asked for, and its port: zero values for all.
func (c *routesCommand) only() (name mesh.Name, port uint16, err error) {
	if err := c.check(); err != nil || c.Service == "" {
		return mesh.Name{}, 0, err
	}
	return parseService(c.Service)
}

func printRoutes(p *console.Printer, rows []routeRow) error {
	table := console.Table{Columns: measuredColumns("SERVICE", "CALLS", "SHARE", "BACKEND"), Numbers: measuredNumbers}
	if p.Wide() {
		table.Columns = measuredColumns("SERVICE", "ROUTE", "CALLS", "SHARE", "BACKEND")
	}
	for i := range rows {
		r := &rows[i]
		service := r.Service.Name + "." + r.Service.Namespace
		if r.Port != 0 {
			service = fmt.Sprintf("%s:%d", service, r.Port)
		}
		before := []string{service, r.Calls, cmp.Or(r.Share, "-"), cmp.Or(r.Backend.Name, "-")}
		if p.Wide() {
			before = slices.Insert(before, 1, cmp.Or(r.Origin, "-"))
		}
		table.Row(r.cells(p, before...)...)
	}
	return table.Write(p.Out)
}
