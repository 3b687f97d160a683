package telemetry

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// timeBounds are the upper bounds of the histograms of times, in milliseconds.
func timeBounds() [timeBuckets]float64 {
	return [timeBuckets]float64{0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000}
}

const timeBuckets = 16

// times is a histogram of times with fixed bounds, and their sum.
type times struct {
	counts [timeBuckets + 1]atomic.Uint64
	sum    atomic.Uint64 // nanoseconds
}

// limits are timeBounds in nanoseconds.
type limits [timeBuckets]int64

func timeLimits() (out limits) {
	for i, bound := range timeBounds() {
		out[i] = int64(bound * float64(time.Millisecond))
	}
	return out
}

// of is the bucket of a time.
func (l *limits) of(d time.Duration) int {
	for i, limit := range l {
		if int64(d) <= limit {
			return i
		}
	}
	return timeBuckets
}

func (t *times) add(l *limits, d time.Duration) {
	t.counts[l.of(d)].Add(1)
	t.sum.Add(uint64(d))
}

// sizeBuckets is how many bounds the histograms of sizes have: 64 bytes, and
// four times as many each further, up to 16 MiB.
const sizeBuckets = 10

func sizeBounds() (out [sizeBuckets]float64) {
	for i := range out {
		out[i] = float64(uint64(64) << (2 * i))
	}
	return out
}

// sizes is a histogram of sizes, and their sum.
type sizes struct {
	counts [sizeBuckets + 1]atomic.Uint64
	sum    atomic.Uint64 // bytes
}

func (s *sizes) add(n uint64) {
	s.counts[sizeBucket(n)].Add(1)
	if n > 0 {
		s.sum.Add(n)
	}
}

func sizeBucket(n uint64) int {
	if n <= 64 {
		return 0
	}
	return min((bits.Len64(n-1)-6+1)/2, sizeBuckets)
}

// Latencies are kept in buckets whose width is a sixteenth of where they begin,
// so that the middle of one is at most 1/32 off: from 16 µs to nearly five
// minutes; below, each microsecond has its own.
const (
	steps   = 16
	octaves = 26
)

// fine is a histogram of latencies for percentiles. It has memory for those
// octaves only in which something was. Its counts wrap around: only what they
// grow by is of use.
type fine struct {
	octaves [octaves]atomic.Pointer[[steps]atomic.Uint32]
}

// bucketOf is the place of a latency: octave × steps + step.
func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0)) / uint64(time.Microsecond)
	if us < steps {
		return int(us)
	}
	shift := bits.Len64(us) - 5
	if shift+1 >= octaves {
		return octaves*steps - 1
	}
	return (shift+1)*steps + int(us>>shift&(steps-1))
}

// latencyOf is the middle of a bucket.
func latencyOf(bucket int) time.Duration {
	octave, step := bucket/steps, bucket%steps
	if octave == 0 {
		return time.Duration(2*step+1) * time.Microsecond / 2
	}
	return time.Duration(2*(steps+step)+1) << (octave - 1) * time.Microsecond / 2
}

func (f *fine) add(d time.Duration) {
	bucket := bucketOf(d)
	f.at(bucket / steps)[bucket%steps].Add(1)
}

// at is an octave, with memory.
func (f *fine) at(octave int) *[steps]atomic.Uint32 {
	found := f.octaves[octave].Load()
	if found == nil {
		found = new([steps]atomic.Uint32)
		if !f.octaves[octave].CompareAndSwap(nil, found) {
			found = f.octaves[octave].Load()
		}
	}
	return found
}

func (t *times) fold(from *times) {
	for i := range from.counts {
		t.counts[i].Add(from.counts[i].Load())
	}
	t.sum.Add(from.sum.Load())
}

func (s *sizes) fold(from *sizes) {
	for i := range from.counts {
		s.counts[i].Add(from.counts[i].Load())
	}
	s.sum.Add(from.sum.Load())
}
