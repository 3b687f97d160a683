package policy

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/vulcand/oxy/v2/memmetrics"
)

const (
	// checkEvery is how often an Expression is looked at, at most.
	checkEvery = 100 * time.Millisecond
	// fewestCalls is how many calls must have been measured before it is: the
	// first call that fails says nothing of a ratio.
	fewestCalls = 10
)

// State is that of a Breaker.
type State uint8

// The states.
const (
	Closed     State = iota // calls pass
	Open                    // none does
	Recovering              // more and more do
)

// String is "closed", "open" or "recovering".
func (s State) String() string { return [...]string{"closed", "open", "recovering"}[s] }

// Breaker refuses the calls of a Service while an Expression holds for those
// that were made: none for a time, then a growing share of them. Make it with
// NewBreaker.
type Breaker struct {
	expression Expression
	open       time.Duration
	recovery   time.Duration

	mu      sync.Mutex // guards the rest
	metrics *memmetrics.RTMetrics
	state   State
	since   time.Time
	checked time.Time
}

// NewBreaker returns a closed Breaker that stays open for one time and recovers
// for another.
func NewBreaker(expression Expression, open, recovery time.Duration) *Breaker {
	metrics, err := memmetrics.NewRTMetrics()
	if err != nil {
		return nil // its settings are constants that it takes
	}
	return &Breaker{expression: expression, open: open, recovery: recovery, metrics: metrics}
}

// Allow tells whether a call may be made now. A nil Breaker allows all.
func (b *Breaker) Allow(now time.Time) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	passing := b.passing(now)
	switch {
	case passing < 1:
		return rand.Float64() < passing
	case b.state == Open:
		b.turn(Recovering, now)
		b.metrics.Reset() // the call that passes now tells most
	case b.state == Recovering:
		b.turn(Closed, now)
	}
	return true
}

func (b *Breaker) turn(to State, now time.Time) { b.state, b.since = to, now }

// Passing is the share of calls that Allow lets pass now, from 0 to 1.
func (b *Breaker) Passing(now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.passing(now)
}

// passing is Passing for whoever holds mu.
func (b *Breaker) passing(now time.Time) float64 {
	passed := now.Sub(b.since)
	switch {
	case b.state == Open && passed < b.open:
		return 0
	case b.state == Recovering && passed < b.recovery:
		return max(float64(passed)/float64(b.recovery), 0.01)
	}
	return 1
}

// Record takes in how a call that was allowed has ended: its status (502 and
// 504 where no answer came) and how long it took.
func (b *Breaker) Record(now time.Time, status int, took time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.metrics.Record(status, took)
	if b.state == Open || now.Sub(b.checked) < checkEvery {
		return
	}
	b.checked = now
	if b.metrics.TotalCount() >= fewestCalls && b.expression(b.metrics) {
		b.turn(Open, now)
	}
}

// State returns the state at a time, as the next call would find it.
func (b *Breaker) State(now time.Time) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.passing(now) < 1:
		return b.state
	case b.state == Open:
		return Recovering
	}
	return Closed
}
