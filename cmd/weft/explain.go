package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/reach"
)

// explainCommand is `weft explain`: what would become of a call?
type explainCommand struct {
	From   string   `description:"Who calls: namespace/name of a pod, or of a service account that a pod runs as, or an address. Without it, somebody who is no pod."`
	To     string   `description:"What is called: a Service and, where it has several, its port, such as orders.shop:80. Required."`
	Method string   `description:"The method of the request; by default GET where the port speaks HTTP."`
	Path   string   `description:"The path of the request; by default / where the port speaks HTTP."`
	Header []string `description:"A header of the request, as 'name: value'; may be given several times."`
	Domain string   `description:"The domain of the mesh names."`
	Asking
}

func newExplain() runner { return &explainCommand{Domain: "mesh", Asking: defaultAsking()} }

// Run asks the proxies; the one on the caller's node would decide.
func (c *explainCommand) Run(ctx context.Context, out io.Writer) error {
	if c.To == "" {
		return usageError("--to is missing; it takes a Service, such as --to=orders.shop:80")
	}
	to, port, err := parseService(c.To)
	if err != nil {
		return err
	}
	query := c.query(to, port)
	if err := admin.CheckCall(query); err != nil {
		return usageError("--%w", err)
	}
	fleet, p, err := c.open(ctx, out)
	if err != nil {
		return err
	}
	defer fleet.Close()
	answers, err := answered(reach.Ask[admin.Explained](ctx, fleet.Proxies, "/api/explain?"+query.Encode()))
	if err != nil {
		return err
	}
	at := max(0, slices.IndexFunc(answers, func(a reach.Answer[admin.Explained]) bool { return a.Proxy.Node == a.Value.Source.Node }))
	e := explained{Explained: answers[at].Value, Proxy: answers[at].Proxy.Name, Node: answers[at].Proxy.Node}
	if done, err := p.Structured(e); done {
		return cmp.Or(err, e.verdict())
	}
	if err := c.print(p, &e); err != nil {
		return err
	}
	return e.verdict()
}

// query is the question in the words of the admin API.
func (c *explainCommand) query(to mesh.Name, port uint16) url.Values {
	q := url.Values{"from": {c.From}, "to": {to.String()}, "host": {to.Name + "." + to.Namespace + "." + c.Domain}}
	if port != 0 {
		q.Set("port", strconv.Itoa(int(port)))
	}
	if c.Method != "" {
		q.Set("method", c.Method)
	}
	if c.Path != "" {
		q.Set("path", c.Path)
	}
	for _, h := range c.Header {
		q.Add("header", h)
	}
	return q
}

// explained is what is shown: the answer and whose it is.
type explained struct {
	Proxy string `json:"proxy"`
	Node  string `json:"node,omitempty"`
	admin.Explained
}

// verdict is errNo where the call would be refused, or may be.
func (e *explained) verdict() error {
	for _, p := range e.Policies {
		if p.Refuses > 0 {
			return errNo
		}
	}
	for _, o := range e.Outcomes {
		if o.Reason != "" {
			return errNo
		}
	}
	return nil
}

func (c *explainCommand) print(p *console.Printer, e *explained) error {
	table := console.Table{}
	first := func(title string) func(cells ...string) {
		title = p.Strong(title)
		return func(cells ...string) {
			table.Row(title, strings.Join(cells, " "))
			title = ""
		}
	}
	first("caller")(caller(&e.Source))
	first("call")(c.call(e))
	first("decided by")(cmp.Or(e.Node, e.Proxy)+",", "which listens at", listens(e.Listen))
	rules := first("rules")
	for i, r := range e.Rules {
		rules(fmt.Sprintf("%d.", i+1), ruleLine(&r), arrow(p, r.Means))
	}
	policies := first("policies")
	for _, policy := range e.Policies {
		policies(policyLine(p, &policy))
	}
	var sum int64
	for _, o := range e.Outcomes {
		sum += o.Weight
	}
	access, outcome := first("access"), first("outcome")
	for _, o := range e.Outcomes {
		for _, a := range o.Access {
			access(o.Service.String()+":", accessLine(p, &a))
		}
	}
	for _, o := range e.Outcomes {
		outcome(percent(o.Weight, sum), outcomeLine(p, e, &o))
	}
	return table.Write(p.Out)
}

func caller(s *upstream.ExplainedSource) string {
	switch {
	case s.Pod != nil:
		return fmt.Sprintf("pod %s, service account %s/%s, on node %s", s.Pod, s.Pod.Namespace, s.ServiceAccount, cmp.Or(s.Node, "-"))
	case s.Trusted:
		return "no pod, but of a network that --access.trustedSources names"
	case s.Disputed:
		return "nobody: several pods claim the address"
	}
	return "nobody: no pod has the address"
}

func (c *explainCommand) call(e *explained) string {
	to := fmt.Sprintf("%s.%s.%s:%d", e.To.Name, e.To.Namespace, c.Domain, e.Port)
	switch {
	case e.Transport == mesh.UDP:
		return "a UDP session with " + to
	case !e.HTTP:
		return "a TCP connection to " + to
	}
	call := cmp.Or(c.Method, "GET") + " " + cmp.Or(c.Path, "/") + " at " + to
	if e.Path != "" && e.Path != cmp.Or(c.Path, "/") {
		call += ", which rules see as " + e.Path
	}
	return call
}

func ruleLine(r *upstream.ExplainedRule) string {
	if r.Origin == nil {
		return "the Service's own endpoints"
	}
	return routeMeans(*r.Origin, r.Matches)
}

func arrow(p *console.Printer, means bool) string {
	if means {
		return p.Good("← this one")
	}
	return p.Faint("does not mean it")
}

// policyLine says what a policy does, how things stand, and whom it refuses now.
func policyLine(p *console.Printer, policy *upstream.ExplainedPolicy) string {
	line := policy.Name + ": " + policy.Does
	if policy.Now != "" {
		line += "; now: " + policy.Now
	}
	if policy.Refuses > 0 {
		line += ", " + p.Bad(fmt.Sprintf("refuses %d %%: %d %s", policy.Refuses, policy.Status, policy.Reason))
	}
	return line
}

func accessLine(p *console.Printer, a *upstream.ExplainedAccess) string {
	who := "service account " + a.Account.String()
	if a.Account == (mesh.Name{}) {
		who = "endpoints that are no pods"
	}
	grants := make([]string, len(a.Grants))
	for i, g := range a.Grants {
		grants[i] = g.String()
	}
	switch by := strings.Join(grants, ", "); {
	case a.Allowed && by == "":
		return who + p.Good(" allows it") // a trusted caller
	case a.Allowed:
		return who + p.Good(" allows it") + ", by " + by
	case by != "":
		return who + p.Bad(" does not allow it") + ": " + by + " allow other calls only" + modeNote(a.Mode)
	}
	return who + p.Bad(" does not allow it") + ": no TrafficTarget names the caller" + modeNote(a.Mode)
}

// modeNote says where a denial has no effect.
func modeNote(m mesh.AccessMode) string {
	if m == mesh.AccessAudit {
		return "; it passes all the same, for access is only audited"
	}
	return ""
}

func outcomeLine(p *console.Printer, e *explained, o *upstream.Outcome) string {
	if o.Reason == "" {
		return p.Good("served") + " by " + o.Service.String() + " at " + addresses(o.Endpoints)
	}
	how := p.Bad(fmt.Sprintf("refused: %d %s", o.Status, o.Reason))
	if !e.HTTP {
		how = p.Bad("refused: closed, " + string(o.Reason))
	}
	return how + ", " + o.What
}

func addresses(list []netip.AddrPort) string {
	const most = 5
	var out []string
	for _, a := range list[:min(most, len(list))] {
		out = append(out, a.String())
	}
	if more := len(list) - most; more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}
