package policy

import (
	"sync"
	"time"
)

// budgetSeconds is how far a Budget looks back.
const budgetSeconds = 10

// Budget bounds retries to a share of the requests of the last ten seconds, so
// that what fails for all is not asked for many times over. Its zero value is
// ready.
type Budget struct {
	mu      sync.Mutex // guards the rest
	first   int64      // the second of the first request
	seconds [budgetSeconds]budgetSecond
}

type budgetSecond struct{ at, requests, retries int64 }

// Request counts a request, not its retries.
func (b *Budget) Request(now time.Time) {
	b.mu.Lock()
	b.second(now.Unix()).requests++
	b.mu.Unlock()
}

// Retry tells whether there may be one more retry, and counts it where there
// may: percent of the requests, or atLeast for each second where that is more.
func (b *Budget) Retry(now time.Time, percent, atLeast int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := now.Unix()
	current := b.second(at)
	var requests, retries int64
	for i := range b.seconds {
		if s := &b.seconds[i]; at-s.at < budgetSeconds {
			requests += s.requests
			retries += s.retries
		}
	}
	passed := min(at-b.first+1, budgetSeconds)
	if 100*retries+100 > max(requests*int64(percent), 100*passed*int64(atLeast)) {
		return false
	}
	current.retries++
	return true
}

// second returns the slot of a second, emptied where it was another's. The
// caller holds mu.
func (b *Budget) second(at int64) *budgetSecond {
	if b.first == 0 {
		b.first = at
	}
	s := &b.seconds[at%budgetSeconds]
	if s.at != at {
		*s = budgetSecond{at: at}
	}
	return s
}
