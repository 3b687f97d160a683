package telemetry

import (
	"context"
	"time"
)

// Living says what is there now, by namespace and name: series of what is gone
// are dropped.
type Living struct {
	Workloads map[[2]string]bool // owners of pods
	Services  map[[2]string]bool
}

// How long nothing was counted before the pods of a Flow are forgotten, and
// before the series of workloads that are gone are dropped; and how often that
// is looked for.
const (
	forgetAfter = 5 * time.Minute
	sweepEvery  = uint64(time.Minute / WindowStep)
)

// Flow returns what counts a Call. Over the limit of series pods are left out at
// first, and then all labels.
func (p *Proxy) Flow(call Call) *Flow {
	if p == nil {
		return nil
	}
	p.mu.RLock()
	f := p.flows[call]
	p.mu.RUnlock()
	if f != nil {
		return f
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.rows >= p.most:
		call = call.others()
	case p.rows >= p.most/4*3:
		call = call.owners()
	}
	return p.flow(call)
}

// flow finds or makes a Flow. The caller holds mu.
func (p *Proxy) flow(call Call) *Flow {
	f := p.flows[call]
	if f == nil {
		f = &Flow{proxy: p, call: call}
		p.flows[call] = f
		p.rows++
	}
	return f
}

// newCell makes room for an outcome that a Flow has not seen.
func (p *Proxy) newCell(f *Flow, o outcome) *cell {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.cells.Load() != nil && p.rows >= p.most {
		f, o = p.flow(f.call.others()), outcome{code: o.code}
	}
	return p.cell(f, o)
}

// cell finds or makes a Flow's cell; its first is in the Flow's own row. The
// caller holds mu.
func (p *Proxy) cell(f *Flow, o outcome) *cell {
	c := f.find(o)
	if c == nil {
		if f.cells.Load() != nil {
			p.rows++
		}
		c = f.link(o)
	}
	return c
}

// drop takes the rows of a Flow off. The caller holds mu.
func (p *Proxy) drop(f *Flow) {
	p.rows--
	if c := f.cells.Load(); c != nil {
		for c = c.next; c != nil; c = c.next {
			p.rows--
		}
	}
}

// all returns the Flows, also those that are about to be dropped. The caller
// holds looking.
func (p *Proxy) all() []*Flow {
	p.mu.RLock()
	defer p.mu.RUnlock()
	out := make([]*Flow, 0, len(p.flows)+len(p.retiring))
	for _, f := range p.flows {
		out = append(out, f)
	}
	return append(out, p.retiring...)
}

// Run keeps the windows of Traffic and drops what is gone, until the context ends.
func (p *Proxy) Run(ctx context.Context) error {
	ticker := time.NewTicker(WindowStep)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			p.tick()
		}
	}
}

// tick ends a step of the windows.
func (p *Proxy) tick() {
	p.looking.Lock()
	defer p.looking.Unlock()
	p.ticks++
	p.ticked = time.Now()
	flows := p.all()
	for _, f := range flows {
		f.tick(p.ticks, p.ticked)
	}
	if p.ticks%sweepEvery == 0 {
		p.sweep(flows)
	}
}

// tick ends a step of the Flow's window. An idle one costs little.
func (f *Flow) tick(tick uint64, now time.Time) {
	n := f.total()
	if n == f.counted && !f.busy.IsZero() && (f.window == nil || len(f.window.slots) == 0) {
		return
	}
	if n != f.counted || f.busy.IsZero() {
		f.counted, f.busy = n, now
	}
	f.windowed().tick(tick, f.tally())
}

// sweep retires Flows in which nothing was counted for long: those of pods, of
// which the owners' Flow takes over what was counted, so that no counter ever
// falls; and those of owners that are gone. They are dropped with the next sweep,
// when whoever held them has found another. The caller holds looking.
func (p *Proxy) sweep(flows []*Flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.retiring {
		if owners := f.call.owners(); owners != f.call {
			p.flow(owners).fold(f)
		}
		p.drop(f)
	}
	p.retiring = nil
	var living Living
	if p.live != nil {
		living = p.live()
	}
	for _, f := range flows {
		idle := p.ticked.Sub(f.busy) >= forgetAfter && f.open() == 0
		if idle && p.flows[f.call] == f && (f.call.owners() != f.call || living.without(&f.call)) {
			f.retired.Store(true)
			delete(p.flows, f.call)
			p.retiring = append(p.retiring, f)
		}
	}
}

// without tells whether someone whom a Call names is gone. Where nothing is
// known yet, nobody is.
func (l *Living) without(c *Call) bool {
	for _, w := range []Workload{c.Source, c.Destination} {
		if l.Workloads != nil && w.Name != "" && w.Name != other && !l.Workloads[[2]string{w.Namespace, w.Name}] {
			return true
		}
	}
	return l.Services != nil && c.Service != other && !l.Services[[2]string{c.Namespace, c.Service}]
}
