package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// row is one version during one step.
type row struct {
	percent      int // the canary's share, as the TrafficSplit says
	version      string
	requests, of int // answered by this version, and by all
	failed       int // of the step: a request that failed has no version
	p50, p99     time.Duration
}

// rows reads what a step has seen so far, one row per version.
func (c *caller) rows(s *step) []row {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := 0
	for _, seen := range s.versions {
		total += len(seen.took)
	}
	out := make([]row, 0, len(versions))
	for _, version := range versions {
		r := row{percent: s.percent, version: version, of: total, failed: len(s.failed)}
		if seen := s.versions[version]; seen != nil && len(seen.took) > 0 {
			r.requests = len(seen.took)
			sorted := slices.Sorted(slices.Values(seen.took))
			r.p50, r.p99 = quantile(sorted, 50), quantile(sorted, 99)
		}
		out = append(out, r)
	}
	return out
}

// quantile is the smallest value that percent of all do not exceed.
func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[(len(sorted)*percent+99)/100-1]
}

// share is the part of the answers that came from the row's version, 0 to 1.
func (r row) share() float64 {
	if r.of == 0 {
		return 0
	}
	return float64(r.requests) / float64(r.of)
}

const header = "  canary  service           version  requests    share  success       p50       p99\n"

func (r row) String() string {
	success, p50, p99 := "-", "-", "-"
	if r.requests+r.failed > 0 {
		success = fmt.Sprintf("%.1f %%", 100*float64(r.of)/float64(r.of+r.failed))
	}
	if r.requests > 0 {
		p50, p99 = milliseconds(r.p50), milliseconds(r.p99)
	}
	return fmt.Sprintf("%6d %%  %-16s  %-7s  %8d  %5.1f %%  %7s  %8s  %8s\n",
		r.percent, meshName, r.version, r.requests, 100*r.share(), success, p50, p99)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// table shows the rows of the steps: redrawn in place in a terminal; elsewhere
// the rows of a step once it is done.
type table struct {
	out      io.Writer
	terminal bool
	done     []string // lines of the steps that are done
	drawn    int      // lines on the screen below the header
}

// begin writes the header.
func (t *table) begin() { fmt.Fprint(t.out, header) }

// show draws the rows of the running step.
func (t *table) show(rows []row) {
	if t.terminal {
		t.draw(append(slices.Clone(t.done), texts(rows)...))
	}
}

// keep ends a step with its rows.
func (t *table) keep(rows []row) {
	lines := texts(rows)
	t.done = append(t.done, lines...)
	if t.terminal {
		t.draw(t.done)
		return
	}
	fmt.Fprint(t.out, strings.Join(lines, ""))
}

// draw replaces what is on the screen below the header.
func (t *table) draw(lines []string) {
	up := ""
	if t.drawn > 0 {
		up = fmt.Sprintf("\x1b[%dA\x1b[J", t.drawn)
	}
	fmt.Fprint(t.out, up+strings.Join(lines, ""))
	t.drawn = len(lines)
}

func texts(rows []row) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.String()
	}
	return out
}
