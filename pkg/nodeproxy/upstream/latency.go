package upstream

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// forgetting is the time constant with which an endpoint's latency falls
	// towards what was seen last.
	forgetting = 5 * time.Second
	// stampUnit is the resolution of when a latency was seen, as a shift of
	// nanoseconds: about a millisecond, so that 32 bits reach 52 days.
	stampUnit = 20
	// noise is the latency below which endpoints are taken for equally fast: a
	// nearer one must not draw all calls for a fraction of a millisecond, or the
	// others would stand idle until it is overloaded.
	noise = float32(time.Millisecond)
)

// latency is what is known of how soon an endpoint begins its answers: a peak
// that rises at once and fades with time (peak EWMA), and how long it has been
// silent. Times are nanoseconds since the Set's epoch. The parts are hints that
// need not agree with each other.
type latency struct {
	// seen holds when the peak was seen, in stampUnits, in its upper half, and
	// the peak as a float32 of nanoseconds in its lower; zero before the first
	// answer.
	seen atomic.Uint64
	// silent is when the first request began that nothing has answered since;
	// zero after an answer.
	silent atomic.Int64
	// began is when the last request began.
	began atomic.Int64
}

// begin tells that a request is sent now.
func (l *latency) begin(now int64) {
	l.began.Store(now)
	if l.silent.Load() == 0 {
		l.silent.CompareAndSwap(0, now)
	}
}

// answered tells that an answer began now, so long after its request.
func (l *latency) answered(now, took int64) {
	if l.silent.Load() != 0 {
		l.silent.Store(0)
	}
	sample := float32(max(took, 1))
	for {
		old := l.seen.Load()
		peak := sample
		if old != 0 {
			stamp, last := unpack(old)
			if keep := faded(now, stamp); sample < last {
				peak = last*keep + sample*(1-keep)
			}
		}
		if l.seen.CompareAndSwap(old, pack(now, peak)) {
			return
		}
	}
}

// estimate is the latency to expect now, in nanoseconds; known is false
// while nothing speaks for one: before the first answer. An endpoint that owes
// an answer for longer than its latency is taken to be as slow as it has been silent, but for a probe each time its
// silence has doubled.
func (l *latency) estimate(now int64) (ns float32, known bool) {
	old := l.seen.Load()
	if old != 0 {
		stamp, last := unpack(old)
		ns, known = max(last*faded(now, stamp), noise), true
	}
	silent, began := l.silent.Load(), l.began.Load()
	if silent == 0 || now-began > began-silent {
		return ns, known
	}
	return max(ns, float32(now-silent)), true
}

// faded is the share that is left of a peak: 1/(1+x+x²/2), which is near e⁻ˣ
// where it matters and needs no call.
func faded(now int64, stamp uint32) float32 {
	passed := int64(int32(uint32(now>>stampUnit)-stamp)) << stampUnit
	if passed <= 0 {
		return 1
	}
	x := float32(passed) / float32(forgetting)
	return 1 / (1 + x + x*x/2)
}

func pack(now int64, peak float32) uint64 {
	return uint64(uint32(now>>stampUnit))<<32 | uint64(math.Float32bits(peak))
}

func unpack(v uint64) (stamp uint32, peak float32) {
	return uint32(v >> 32), math.Float32frombits(uint32(v))
}
