package telemetry

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"
)

// Flow counts what runs between one caller and one destination: pods, where
// they are known. It is found once by Proxy.Flow and then counts without a lock
// and, once it has seen an outcome, without memory. A nil *Flow counts nothing.
type Flow struct {
	proxy *Proxy
	call  Call
	// retired tells those who hold the Flow to look for another: nothing was
	// counted for a while, and it is about to be dropped.
	retired atomic.Bool
	cells   atomic.Pointer[cell]

	// Connections and sessions, and their bytes or datagrams; those that were refused
	// are in cells.
	opened, closed, sent, received atomic.Uint64

	// What follows is guarded by the Proxy's looking.
	counted uint64    // by all counters, when it was looked at last
	busy    time.Time // when that had changed
	window  *window   // nil before the first tick with something
}

// outcome is what the series of one Flow differ in; a connection or session that
// was refused has a reason only.
type outcome struct {
	code   uint16
	grpc   uint8
	reason string
}

// cell is what is counted of one outcome.
type cell struct {
	outcome
	next  *cell
	lanes [mostLanes]atomic.Pointer[lane]
}

// lane is a cell's share that few connections write to, so that processors do
// not take the memory from each other.
type lane struct {
	took, first    times
	received, sent sizes
	fine           fine
	_              [64]byte // the next lane's memory is another's
}

// mostLanes is how many lanes a cell can have.
const mostLanes = 8

// Lane is the lane that a connection counts in.
type Lane uint8

// lanes is how many are in use: as many as processors, as a power of two.
func lanes() uint32 { return min(uint32(1)<<bits.Len(uint(runtime.GOMAXPROCS(0)-1)), mostLanes) }

// Retired tells that the Flow is to be looked up anew.
func (f *Flow) Retired() bool { return f != nil && f.retired.Load() }

// Count counts one request.
func (f *Flow) Count(l Lane, o *Outcome) {
	if f == nil {
		return
	}
	in := f.lane(l, outcome{code: codeOf(o.Code), grpc: o.GRPC, reason: o.Reason})
	limits := &f.proxy.limits
	in.took.add(limits, o.Took)
	if o.First > 0 {
		in.first.add(limits, o.First)
	}
	in.received.add(o.Received)
	in.sent.add(o.Sent)
	in.fine.add(o.Took)
}

// refuse counts a connection or session that was not opened. It took no time that
// would say anything.
func (f *Flow) refuse(reason string) {
	if f != nil {
		f.lane(0, outcome{reason: reason}).took.add(&f.proxy.limits, 0)
	}
}

// codeOf is 0 for what is no status of HTTP.
func codeOf(code int) uint16 {
	if code < 100 || code > 599 {
		return 0
	}
	return uint16(code)
}

func (f *Flow) lane(l Lane, o outcome) *lane {
	c := f.find(o)
	if c == nil {
		c = f.proxy.newCell(f, o)
	}
	in := c.lanes[l].Load()
	if in == nil {
		in = new(lane)
		if !c.lanes[l].CompareAndSwap(nil, in) {
			in = c.lanes[l].Load()
		}
	}
	return in
}

// find returns the cell of an outcome, nil where it was not seen yet.
func (f *Flow) find(o outcome) *cell {
	for c := f.cells.Load(); c != nil; c = c.next {
		if c.outcome == o {
			return c
		}
	}
	return nil
}

// link adds a cell for an outcome that has none. The caller holds the Proxy's mu.
func (f *Flow) link(o outcome) *cell {
	c := &cell{outcome: o, next: f.cells.Load()}
	f.cells.Store(c)
	return c
}

// each calls do with each lane and its cell.
func (f *Flow) each(do func(*cell, *lane)) {
	for c := f.cells.Load(); c != nil; c = c.next {
		for i := range c.lanes {
			if l := c.lanes[i].Load(); l != nil {
				do(c, l)
			}
		}
	}
}

// total is what grows with anything that is counted.
func (f *Flow) total() uint64 {
	n := f.opened.Load() + f.closed.Load() + f.sent.Load() + f.received.Load()
	f.each(func(_ *cell, l *lane) {
		for i := range l.took.counts {
			n += l.took.counts[i].Load()
		}
	})
	return n
}

// open is how many connections or sessions are.
func (f *Flow) open() uint64 {
	closed := f.closed.Load() // first: a connection is opened before it is closed
	return f.opened.Load() - closed
}

// fold adds what another Flow has counted. The caller holds the Proxy's locks,
// and nobody counts in the other one any more.
func (f *Flow) fold(from *Flow) {
	f.opened.Add(from.opened.Load())
	f.closed.Add(from.closed.Load())
	f.sent.Add(from.sent.Load())
	f.received.Add(from.received.Load())
	for c := from.cells.Load(); c != nil; c = c.next {
		into := f.find(c.outcome)
		if into == nil {
			into = f.proxy.cell(f, c.outcome)
		}
		for i := range c.lanes {
			if l := c.lanes[i].Load(); l != nil {
				if into.lanes[i].Load() == nil {
					into.lanes[i].CompareAndSwap(nil, new(lane))
				}
				into.lanes[i].Load().fold(l)
			}
		}
	}
	f.windowed().fold(from.windowed())
}

func (l *lane) fold(from *lane) {
	l.took.fold(&from.took)
	l.first.fold(&from.first)
	l.received.fold(&from.received)
	l.sent.fold(&from.sent)
	for i := range from.fine.octaves {
		if octave := from.fine.octaves[i].Load(); octave != nil {
			for step := range octave {
				l.fine.at(i)[step].Add(octave[step].Load())
			}
		}
	}
}
