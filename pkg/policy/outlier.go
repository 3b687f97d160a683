package policy

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostGrowth bounds how often the time of an ejection is doubled.
	mostGrowth = 6
	// fewestRequests is how many requests an endpoint must have had in an
	// interval for its success rate to be compared.
	fewestRequests = 20
	// fewestEndpoints is how many endpoints must have had as many.
	fewestEndpoints = 3
	// deviations below the mean is what sets an endpoint's success rate apart.
	deviations = 1.9
)

// Outliers says when endpoints are taken out of a Service for a while.
type Outliers struct {
	Consecutive5xx     int // failed requests in a row; 0 for never
	ConsecutiveGateway int // those that did not reach the application; 0 for never
	SuccessRate        bool
	Interval           time.Duration // between comparisons of success rates
	Ejection           time.Duration // the first; it doubles with each that follows
	MostEjected        int           // percent of the endpoints
}

// Health is what the requests of one endpoint say of it. Its zero value is a
// sound one's.
type Health struct {
	until     atomic.Int64 // Unix nanoseconds up to which it is ejected
	failures  atomic.Int32
	gateways  atomic.Int32
	good, bad atomic.Int64 // in this interval

	mu        sync.Mutex // guards the rest
	ejections int        // of which the next one's length comes
	last      time.Time
	lasted    time.Duration // the last one
}

// Ejected tells whether the endpoint is out now.
func (h *Health) Ejected(now time.Time) bool {
	return now.UnixNano() < h.until.Load()
}

// Until is the time up to which the endpoint is ejected, in Unix nanoseconds;
// it may be past, or 0.
func (h *Health) Until() int64 { return h.until.Load() }

// Report takes in how a request ended, and tells whether the endpoint should be
// ejected for it.
func (o *Outliers) Report(h *Health, outcome Outcome) (eject bool) {
	if !outcome.Failed() {
		h.good.Add(1)
		if h.failures.Load() != 0 {
			h.failures.Store(0)
		}
		if h.gateways.Load() != 0 {
			h.gateways.Store(0)
		}
		return false
	}
	h.bad.Add(1)
	gateways := int32(0)
	if outcome.Gateway() {
		gateways = h.gateways.Add(1)
	} else {
		h.gateways.Store(0)
	}
	failures := h.failures.Add(1)
	return o.Consecutive5xx > 0 && failures >= int32(o.Consecutive5xx) ||
		o.ConsecutiveGateway > 0 && gateways >= int32(o.ConsecutiveGateway)
}

// Eject takes an endpoint out, unless too many of its Service are out.
func (o *Outliers) Eject(h *Health, now time.Time, all []*Health) bool {
	out := 1
	for _, other := range all {
		if other != h && other.Ejected(now) {
			out++
		}
	}
	if 100*out > o.MostEjected*len(all) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Ejected(now) {
		return false
	}
	// What has been sound for as long as its last ejection begins anew.
	if now.Sub(h.last) > 2*h.lasted {
		h.ejections = 0
	}
	h.lasted = o.Ejection << h.ejections
	h.ejections = min(h.ejections+1, mostGrowth)
	h.last = now
	h.failures.Store(0)
	h.gateways.Store(0)
	h.until.Store(now.Add(h.lasted).UnixNano())
	return true
}

// Compare ends an interval: it returns the endpoints whose success rate lies far
// below that of the others.
func (o *Outliers) Compare(all []*Health) (apart []*Health) {
	rates := make([]float64, 0, len(all))
	measured := make([]*Health, 0, len(all))
	for _, h := range all {
		good, bad := h.good.Swap(0), h.bad.Swap(0)
		if good+bad >= fewestRequests {
			rates = append(rates, float64(good)/float64(good+bad))
			measured = append(measured, h)
		}
	}
	if len(measured) < fewestEndpoints {
		return nil
	}
	mean, deviation := spread(rates)
	for i, h := range measured {
		if rates[i] < mean-deviations*deviation {
			apart = append(apart, h)
		}
	}
	return apart
}

// spread returns the mean and the standard deviation.
func spread(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / float64(len(values))
	}
	return mean, math.Sqrt(deviation)
}
