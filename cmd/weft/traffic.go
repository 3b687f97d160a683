package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Window is the part of a configuration that says which calls are counted.
type Window struct {
	From string        `description:"Only calls of this workload, pod or service account (namespace/name) or of this namespace."`
	To   string        `description:"Only calls to this Service, such as orders.shop, to this workload or pod (namespace/name) or to this namespace."`
	Time time.Duration `short:"t" description:"How far back calls count, from 2s to 1m."`
}

// check finds what is wrong. A Service of --to is namespace/name from then on.
func (w *Window) check() error {
	if w.Time < telemetry.WindowStep || w.Time > telemetry.LongestWindow {
		return usageError("--time=%s: takes a duration from %s to %s, for so long the proxies keep their counts", w.Time, telemetry.WindowStep, telemetry.LongestWindow)
	}
	if service, port, err := parseService(w.To); err == nil && port == 0 {
		w.To = service.String()
	}
	return cmp.Or(checkNamed("from", w.From), checkNamed("to", w.To))
}

// counted is a row of one proxy, with the length of its window.
type counted struct {
	telemetry.Row
	seconds float64
}

// traffic asks all proxies what they carried. Those that answered are whom to ask
// more: the others are told of already, and would be waited for again.
func (w *Window) traffic(ctx context.Context, fleet *reach.Fleet) (out []counted, asked []*reach.Proxy, err error) {
	answers, err := answered(reach.Ask[telemetry.Traffic](ctx, fleet.Proxies, "/api/traffic?t="+w.Time.String()))
	if err != nil {
		return nil, nil, err
	}
	for _, a := range answers {
		asked = append(asked, a.Proxy)
		for _, row := range a.Value.Rows {
			if w.means(&row.Call) {
				out = append(out, counted{row, a.Value.Seconds})
			}
		}
	}
	if len(out) > 0 || w.From == "" && w.To == "" {
		return out, asked, nil
	}
	doubts, err := w.doubts(ctx, asked)
	for _, doubt := range doubts {
		fmt.Fprintln(os.Stderr, "weft:", doubt)
	}
	return out, asked, err
}

// means tells whether a call is between those that are asked for. Both the
// Service that was called and what it reached are what a call goes to: it may have
// reached nothing, or what is no pod.
func (w *Window) means(c *telemetry.Call) bool {
	service := telemetry.Workload{Namespace: c.Namespace, Name: c.Service}
	return c.Source.Is(w.From) && (c.Destination.Is(w.To) || service.Is(w.To))
}

// doubts say which of --from and --to is the name of nobody.
func (w *Window) doubts(ctx context.Context, proxies []*reach.Proxy) (out []string, err error) {
	table, err := newestTable(ctx, proxies)
	if err != nil {
		return nil, err
	}
	workloads, err := answered(reach.Ask[[]*mesh.Workload](ctx, proxies[:1], "/api/workloads"))
	if err != nil {
		return nil, err
	}
	lives := func(named string) bool {
		return named == "" || slices.ContainsFunc(workloads[0].Value, func(m *mesh.Workload) bool {
			pod := telemetry.Workload{Namespace: m.Name.Namespace, Name: m.OwnerName, Account: m.ServiceAccount, Pod: m.Name.Name}
			return pod.Is(named)
		})
	}
	if !lives(w.From) {
		out = append(out, fmt.Sprintf("--from=%s: no live pod, nor its workload, service account or namespace, has this name", w.From))
	}
	if !lives(w.To) && !slices.ContainsFunc(table.Services, func(s *mesh.Service) bool {
		service := telemetry.Workload{Namespace: s.Name.Namespace, Name: s.Name.Name}
		return service.Is(w.To)
	}) {
		out = append(out, fmt.Sprintf("--to=%s: no meshed Service and no live pod, nor its workload, service account or namespace, has this name", w.To))
	}
	return out, nil
}

// stats are sums over calls.
type stats struct {
	success, failure uint64
	rps              float64
	latencies        telemetry.Latencies
	open             uint64
}

func (s *stats) add(c *counted) {
	s.success += c.Success
	s.failure += c.Failure
	s.rps += float64(c.Success+c.Failure) / max(c.seconds, 1e-9)
	s.latencies = s.latencies.Merge(c.Latencies)
	if c.Protocol == "tcp" {
		s.open += c.Open
	}
}

// measured is how stats are shown to a program. What nothing was counted for is
// left out.
type measured struct {
	Success *float64 `json:"success,omitempty"` // share of the requests, 0 to 1
	RPS     float64  `json:"rps"`
	P50Ms   float64  `json:"p50Ms,omitempty"`
	P95Ms   float64  `json:"p95Ms,omitempty"`
	P99Ms   float64  `json:"p99Ms,omitempty"`
	TCP     uint64   `json:"tcp"` // connections that are open
}

func (s *stats) measured() measured {
	m := measured{RPS: s.rps, TCP: s.open}
	if all := s.success + s.failure; all > 0 {
		share := float64(s.success) / float64(all)
		m.Success = &share
		m.P50Ms, m.P95Ms, m.P99Ms = s.quantile(0.5), s.quantile(0.95), s.quantile(0.99)
	}
	return m
}

func (s *stats) quantile(share float64) float64 {
	return float64(s.latencies.Quantile(share)) / float64(time.Millisecond)
}

// measuredColumns are the titles of cells, all of them numbers.
func measuredColumns(before ...string) []string {
	return append(before, "SUCCESS", "RPS", "P50", "P95", "P99", "TCP")
}

const measuredNumbers = 6

// cells shows what was measured to a person.
func (m *measured) cells(p *console.Printer, before ...string) []string {
	success, latency := "-", func(float64) string { return "-" }
	if m.P99Ms > 0 { // connections have no latency
		latency = func(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }
	}
	if m.Success != nil {
		success = fmt.Sprintf("%.2f %%", 100**m.Success)
		switch {
		case *m.Success < 0.95:
			success = p.Bad(success)
		case *m.Success < 1:
			success = p.Doubtful(success)
		default:
			success = p.Good(success)
		}
	}
	return append(before, success, fmt.Sprintf("%.1f", m.RPS), latency(m.P50Ms), latency(m.P95Ms), latency(m.P99Ms), fmt.Sprint(m.TCP))
}

// grouped sums calls by a key; what has no key is left out.
func grouped[K comparable](rows []counted, key func(*counted) (K, bool)) map[K]*stats {
	out := map[K]*stats{}
	for i := range rows {
		k, ok := key(&rows[i])
		if !ok {
			continue
		}
		if out[k] == nil {
			out[k] = &stats{}
		}
		out[k].add(&rows[i])
	}
	return out
}

// who writes a workload as a person names it.
func who(w *telemetry.Workload) string {
	if w.Name == "" {
		return "unknown"
	}
	return w.Namespace + "/" + cmp.Or(w.Name, w.Pod)
}
