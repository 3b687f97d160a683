package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
)

// describeCommand is `weft describe`: all that the mesh knows of one Service.
type describeCommand struct {
	Service string `argument:"SERVICE" description:"The Service: orders.shop or shop/orders."`
	Domain  string `description:"The domain of the mesh names."`
	Watch   bool   `short:"w" description:"Show it again every two seconds."`
	Asking
}

func newDescribe() runner { return &describeCommand{Domain: "mesh", Asking: defaultAsking()} }

// description is what the proxies say of a Service, put together.
type description struct {
	Name    string        `json:"name"` // the mesh name
	Service *mesh.Service `json:"service"`
	// Endpoints have the load of all proxies, and the worst that one has seen.
	Endpoints []admin.Endpoint `json:"endpoints"`
	Access    []admin.Access   `json:"access,omitempty"`
	Proxies   []proxyView      `json:"proxies"`
	Problems  []mesh.Problem   `json:"problems"`
}

// proxyView is what one proxy is at.
type proxyView struct {
	Name       string    `json:"name"`
	Node       string    `json:"node,omitempty"`
	Generation uint64    `json:"generation,omitempty"`
	Built      time.Time `json:"built,omitzero"`
	// Agrees is true where the proxy sees the Service as it is described.
	Agrees bool   `json:"agrees"`
	Error  string `json:"error,omitempty"`
}

// Run asks every proxy and shows what they say.
func (c *describeCommand) Run(ctx context.Context, out io.Writer) error {
	name, port, err := parseService(c.Service)
	if err != nil {
		return err
	}
	fleet, p, err := c.open(ctx, out)
	if err != nil {
		return err
	}
	defer fleet.Close()
	return repeat(ctx, fleet, c.Watch, p, func() error {
		answers := reach.Ask[admin.Service](ctx, fleet.Proxies, "/api/services/"+name.String())
		good, err := answered(answers)
		if err != nil {
			return err
		}
		d := describe(good, answers)
		if err := hasPort(d.Service, port); err != nil {
			return err
		}
		d.Name = name.Name + "." + name.Namespace + "." + c.Domain
		if done, err := p.Structured(d); done {
			return err
		}
		return d.print(p)
	})
}

// describe puts the answers together. The newest Table says what the Service is.
func describe(good, all []reach.Answer[admin.Service]) *description {
	newest := slices.MaxFunc(good, func(a, b reach.Answer[admin.Service]) int { return a.Value.Built.Compare(b.Value.Built) })
	d := &description{Service: newest.Value.Service, Access: newest.Value.Access, Problems: newest.Value.Problems}
	endpoints := map[netip.AddrPort]admin.Endpoint{}
	for _, a := range good {
		for _, e := range a.Value.Endpoints {
			known, ok := endpoints[e.Address]
			if ok {
				e.Load += known.Load
				e.LatencyMs, e.Failures = max(e.LatencyMs, known.LatencyMs), max(e.Failures, known.Failures)
				e.Resting, e.Ejected = e.Resting || known.Resting, e.Ejected || known.Ejected
			}
			endpoints[e.Address] = e
		}
	}
	for _, e := range newest.Value.Endpoints {
		d.Endpoints = append(d.Endpoints, endpoints[e.Address])
	}
	described := asJSON(d.Service)
	for _, a := range all {
		v := proxyView{Name: a.Proxy.Name, Node: a.Proxy.Node, Generation: a.Value.Generation, Built: a.Value.Built}
		if a.Err != nil {
			v.Error = a.Err.Error()
		} else {
			v.Agrees = asJSON(a.Value.Service) == described
		}
		d.Proxies = append(d.Proxies, v)
	}
	return d
}

// asJSON compares values that were JSON before.
func asJSON(v any) string {
	text, _ := json.Marshal(v) // what came as JSON can be written as such
	return string(text)
}

func (d *description) print(p *console.Printer) error {
	addresses := make([]string, len(d.Service.Addresses))
	for i, a := range d.Service.Addresses {
		addresses[i] = a.String()
	}
	p.Printf("%s is Service %s at %s\n", p.Strong(d.Name), d.Service.Name, cmp.Or(strings.Join(addresses, ", "), "no address yet"))
	for _, port := range d.Service.Ports {
		if err := d.printPort(p, port); err != nil {
			return err
		}
	}
	d.printAccess(p)
	if err := d.printProxies(p); err != nil {
		return err
	}
	if len(d.Problems) > 0 {
		p.Printf("\n%s\n", p.Strong("Problems in namespace "+d.Service.Name.Namespace))
	}
	for _, problem := range d.Problems {
		p.Printf("  %s %s: %s: %s\n", p.Bad("✗"), problem.Object, problem.Reason, problem.Message)
	}
	return nil
}

// printPort writes one port: its routes in the order in which they are asked,
// and what serves it.
func (d *description) printPort(p *console.Printer, port *mesh.Port) error {
	name := ""
	if port.Name != "" {
		name = " " + port.Name
	}
	p.Printf("\n%s\n", p.Strong(fmt.Sprintf("Port %d%s: %s, mesh port %s", port.Number, name, spoken(port), listens(port.Listen))))
	table := console.Table{Columns: []string{"SHARE", "BACKEND", "ENDPOINT", "POD", "SINCE", "STATE", "LOAD", "LATENCY"}, Numbers: 2, Indent: "    "}
	if p.Wide() {
		table.Columns = slices.Insert(table.Columns, 4, "ACCOUNT", "NODE", "ZONE")
	}
	rest := true
	for _, route := range port.Routes {
		p.Printf("  %s\n", routeLine(route))
		rest = rest && len(route.Matches) > 0
		var sum int64
		for _, b := range route.Backends {
			sum += b.Weight
		}
		for _, b := range route.Backends {
			d.rows(p, &table, percent(b.Weight, sum), b.Service, b.Endpoints)
		}
	}
	switch {
	case rest && len(port.Routes) > 0:
		p.Printf("  every other call goes to the Service's own endpoints\n")
		fallthrough
	case rest:
		d.rows(p, &table, "", d.Service.Name, port.Endpoints)
	}
	if policies := policyLines(port.Policy); len(policies) > 0 {
		p.Printf("  policies: %s\n", strings.Join(policies, ", "))
	}
	return table.Write(p.Out)
}

// rows adds the endpoints of one backend.
func (d *description) rows(p *console.Printer, table *console.Table, share string, backend mesh.Name, endpoints []mesh.Endpoint) {
	name := strings.TrimPrefix(backend.String(), d.Service.Name.Namespace+"/")
	row := func(cells ...string) {
		if !p.Wide() {
			cells = slices.Delete(cells, 2, 5)
		}
		table.Row(append([]string{share, name}, cells...)...)
	}
	if len(endpoints) == 0 {
		row("-", "-", "-", "-", "-", "-", p.Bad("nothing is ready"), "-", "-")
	}
	for _, endpoint := range endpoints {
		at, _ := slices.BinarySearchFunc(d.Endpoints, endpoint.Address, func(e admin.Endpoint, a netip.AddrPort) int { return e.Address.Compare(a) })
		e := &d.Endpoints[at]
		since, latency := "-", "-"
		if e.Since != nil {
			since = ago(*e.Since)
		}
		if e.LatencyMs > 0 {
			latency = fmt.Sprintf("%.1f ms", e.LatencyMs)
		}
		cells := []string{e.Address.String(), cmp.Or(e.Pod, "-"), cmp.Or(e.ServiceAccount, "-"), cmp.Or(e.Node, "-"), cmp.Or(e.Zone, "-"), since, health(p, e), fmt.Sprint(e.Load), latency}
		row(cells...)
	}
}

// health says in words what is known of an endpoint.
func health(p *console.Printer, e *admin.Endpoint) string {
	switch {
	case e.Ejected:
		return p.Bad("ejected: its requests fail")
	case e.Resting:
		return p.Bad("refuses connections")
	case e.Failures > 0:
		return p.Doubtful("refused the last connection")
	}
	return p.Good("ok")
}

// printAccess writes who may call the endpoints.
func (d *description) printAccess(p *console.Printer) {
	if len(d.Access) > 0 {
		p.Printf("\n%s\n", p.Strong("Access"))
	}
	for _, a := range d.Access {
		line, grants := modeLine(a.Mode), a.Grants
		switch {
		case a.Mode == mesh.AccessOff:
			grants = nil
		case len(grants) == 0 && a.Mode == mesh.AccessEnforce:
			line = p.Bad("nobody may call it: no TrafficTarget names it")
		}
		p.Printf("  service account %s (%s): %s\n", a.Account, a.Mode, line)
		for _, g := range grants {
			for _, may := range sourcesMay(g) {
				p.Printf("    %s\n", may)
			}
		}
	}
}

func (d *description) printProxies(p *console.Printer) error {
	p.Printf("\n%s\n", p.Strong("Proxies"))
	table := console.Table{Columns: []string{"NODE", "PROXY", "TABLE", "SINCE", "SEES IT SO"}, Indent: "    "}
	for _, v := range d.Proxies {
		agrees := p.Good("yes")
		switch {
		case v.Error != "":
			agrees = p.Bad("could not be asked: " + v.Error)
		case !v.Agrees:
			agrees = p.Doubtful("no, it lags behind")
		}
		table.Row(cmp.Or(v.Node, "-"), v.Name, fmt.Sprint(v.Generation), ago(v.Built), agrees)
	}
	return table.Write(p.Out)
}

// routeLine says whose route it is and which calls it means.
func routeLine(r *mesh.Route) string {
	line := routeMeans(r.Origin, r.Matches)
	if len(r.Backends) == 0 {
		line += ": each is refused, no backend has a weight"
	}
	return line
}

func routeMeans(origin mesh.Ref, matches []*mesh.RequestMatch) string {
	if len(matches) == 0 {
		return origin.String() + " shares out every call"
	}
	meant := make([]string, len(matches))
	for i, m := range matches {
		meant[i] = requestsOf(m)
	}
	return origin.String() + " shares out " + strings.Join(meant, ", or ")
}

// requestsOf says which requests a match means.
func requestsOf(m *mesh.RequestMatch) string {
	parts := []string{cmp.Or(strings.Join(m.Methods, "|"), "any method")}
	if m.Path != "" {
		parts = append(parts, "path "+m.Path)
	}
	for _, h := range m.Headers {
		parts = append(parts, h.Name+": "+h.Value)
	}
	return strings.Join(parts, " ")
}

// spoken is what goes over a port.
func spoken(p *mesh.Port) string {
	if p.Transport == mesh.UDP {
		return "udp"
	}
	return p.Protocol.String()
}

// listens writes a listening address; an unspecified one is every proxy's.
func listens(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return fmt.Sprint(a.Port())
	}
	return a.String()
}

// percent writes a share of a sum.
func percent(part, sum int64) string {
	if sum == 0 {
		return "0 %"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", 100*float64(part)/float64(sum)), ".0") + " %"
}
