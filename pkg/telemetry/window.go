package telemetry

import (
	"cmp"
	"slices"
	"time"
)

// What the windows keep: the last minute, in steps of two seconds.
const (
	WindowStep    = 2 * time.Second
	LongestWindow = time.Minute
	windowSlots   = int(LongestWindow / WindowStep)
)

// window is what a Flow counted in each step of the last minute. It is read off
// the Flow's counters, so that counting costs nothing more.
type window struct {
	seen  tally  // what the counters were at the last tick
	slots []slot // the steps in which something was, oldest first
}

// slot is one step.
type slot struct {
	tick uint64
	tally
}

// tally is what was counted, or by how much that grew.
type tally struct {
	success, failure uint64
	sent, received   uint64
	latencies        Latencies
}

// Latencies is a histogram of latencies: how many fell into each bucket that
// has any, in their order. The middle of a bucket is at most 3.2 % off, from 16 µs to
// nearly five minutes.
type Latencies []Bucket

// Bucket is the number of a bucket and how many are in it.
type Bucket struct {
	Bucket int    `json:"b"`
	Count  uint32 `json:"n"`
}

// Merge returns a histogram of what is in both.
func (l Latencies) Merge(other Latencies) Latencies {
	if len(other) == 0 {
		return l
	}
	out := make(Latencies, 0, len(l)+len(other))
	for len(l) > 0 && len(other) > 0 {
		switch c := cmp.Compare(l[0].Bucket, other[0].Bucket); {
		case c < 0:
			out, l = append(out, l[0]), l[1:]
		case c > 0:
			out, other = append(out, other[0]), other[1:]
		default:
			out = append(out, Bucket{l[0].Bucket, l[0].Count + other[0].Count})
			l, other = l[1:], other[1:]
		}
	}
	return append(append(out, l...), other...)
}

// Quantile returns the latency that a share of all does not exceed; 0 for none.
func (l Latencies) Quantile(share float64) time.Duration {
	var n, passed uint64
	for _, b := range l {
		n += uint64(b.Count)
	}
	for _, b := range l {
		if passed += uint64(b.Count); float64(passed) >= share*float64(n) {
			return latencyOf(b.Bucket)
		}
	}
	return 0
}

// since is what a histogram grew by since it was another.
func (l Latencies) since(before Latencies) (out Latencies) {
	for _, b := range l {
		for len(before) > 0 && before[0].Bucket < b.Bucket {
			before = before[1:]
		}
		if len(before) > 0 && before[0].Bucket == b.Bucket {
			b.Count -= before[0].Count
		}
		if b.Count > 0 {
			out = append(out, b)
		}
	}
	return out
}

// tally reads the counters.
func (f *Flow) tally() tally {
	var counts [octaves * steps]uint32
	t := tally{success: f.opened.Load(), sent: f.sent.Load(), received: f.received.Load()}
	f.each(func(c *cell, l *lane) {
		n := uint64(0)
		for i := range l.took.counts {
			n += l.took.counts[i].Load()
		}
		if c.failed() {
			t.failure += n
		} else {
			t.success += n
		}
		t.sent += l.sent.sum.Load()
		t.received += l.received.sum.Load()
		for i := range l.fine.octaves {
			if octave := l.fine.octaves[i].Load(); octave != nil {
				for step := range octave {
					counts[i*steps+step] += octave[step].Load()
				}
			}
		}
	})
	for bucket, n := range counts {
		if n != 0 {
			t.latencies = append(t.latencies, Bucket{bucket, n})
		}
	}
	return t
}

// failed tells whether an outcome is a failure of the destination or of the way
// to it: a status of 500 or more, or a gRPC status that says so (UNKNOWN,
// DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS).
func (o *outcome) failed() bool {
	if o.grpc > 0 {
		switch o.grpc - 1 {
		case 2, 4, 13, 14, 15:
			return true
		}
	}
	return o.code >= 500 || o.code == 0
}

func (t *tally) since(before *tally) tally {
	return tally{
		success: t.success - before.success, failure: t.failure - before.failure,
		sent: t.sent - before.sent, received: t.received - before.received,
		latencies: t.latencies.since(before.latencies),
	}
}

func (t *tally) add(other *tally) {
	t.success += other.success
	t.failure += other.failure
	t.sent += other.sent
	t.received += other.received
	t.latencies = t.latencies.Merge(other.latencies)
}

func (t *tally) empty() bool { return t.success+t.failure+t.sent+t.received == 0 }

// windowed is the Flow's window, made where there is none. The caller holds the
// Proxy's looking.
func (f *Flow) windowed() *window {
	if f.window == nil {
		f.window = &window{}
	}
	return f.window
}

// tick ends a step.
func (w *window) tick(tick uint64, now tally) {
	if grown := now.since(&w.seen); !grown.empty() {
		w.slots = append(w.slots, slot{tick, grown})
	}
	w.seen = now
	for len(w.slots) > 0 && w.slots[0].tick+uint64(windowSlots) <= tick {
		w.slots = slices.Delete(w.slots, 0, 1)
	}
}

// fold takes over what another Flow had counted, which is nothing new.
func (w *window) fold(from *window) { w.seen.add(&from.seen) }

// last is what was counted in the steps after one and in the one that is not over.
func (w *window) last(after uint64, now tally) tally {
	sum := now.since(&w.seen)
	for i := range w.slots {
		if w.slots[i].tick > after {
			sum.add(&w.slots[i].tally)
		}
	}
	return sum
}

// Row is what ran between one caller and one destination within a window.
type Row struct {
	Call
	// Success and Failure are requests, of which those fail that are answered with a
	// status of 500 or more, or a gRPC status to that effect; and connections or
	// sessions that opened, or were refused.
	Success   uint64    `json:"success"`
	Failure   uint64    `json:"failure"`
	Latencies Latencies `json:"latencies,omitempty"` // of requests
	// Open is how many connections or sessions are open now.
	Open uint64 `json:"open,omitempty"`
	// Sent and Received are bytes to the caller and from it (UDP: datagrams).
	Sent     uint64 `json:"sent,omitempty"`
	Received uint64 `json:"received,omitempty"`
}

// Traffic is what a node proxy carried within a window.
type Traffic struct {
	// Seconds is how long the window is: what was asked for, up to a minute,
	// and up to one WindowStep more.
	Seconds float64 `json:"seconds"`
	Rows    []Row   `json:"rows"`
}

// Traffic returns what ran within the last d, without what was idle. A nil
// *Proxy carried nothing.
func (p *Proxy) Traffic(d time.Duration) Traffic {
	if p == nil {
		return Traffic{Rows: []Row{}}
	}
	p.looking.Lock()
	defer p.looking.Unlock()
	whole := uint64(min(max((d+WindowStep-1)/WindowStep, 1), time.Duration(windowSlots)))
	from := p.ticks - min(p.ticks, whole)
	length := time.Since(p.ticked) + time.Duration(p.ticks-from)*WindowStep
	out := Traffic{Seconds: length.Seconds(), Rows: []Row{}}
	for _, f := range p.all() {
		var w window
		if f.window != nil {
			w = *f.window
		}
		sum, open := w.last(from, f.tally()), f.open()
		if open > 0 || !sum.empty() {
			out.Rows = append(out.Rows, Row{
				Call: f.call, Success: sum.success, Failure: sum.failure, Latencies: sum.latencies,
				Open: open, Sent: sum.sent, Received: sum.received,
			})
		}
	}
	slices.SortFunc(out.Rows, func(a, b Row) int { return a.Call.compare(&b.Call) })
	return out
}
