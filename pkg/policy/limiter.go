package policy

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/vulcand/oxy/v2/ratelimit"
)

// mostCallers bounds the callers that a Limiter remembers. One that is forgotten
// begins with a full bucket.
const mostCallers = 10_000

// Limiter counts calls by caller against a rate. Make it with NewLimiter.
type Limiter struct {
	rates *ratelimit.RateSet

	mu      sync.Mutex // guards the buckets
	buckets *lru.Cache[string, *ratelimit.TokenBucketSet]
}

// NewLimiter allows each caller so many calls in a period on average, and so
// many at once. Each must be positive.
func NewLimiter(average, burst int, period time.Duration) (*Limiter, error) {
	rates := ratelimit.NewRateSet()
	if err := rates.Add(period, int64(average), int64(burst)); err != nil {
		return nil, err
	}
	buckets, err := lru.New[string, *ratelimit.TokenBucketSet](mostCallers)
	if err != nil {
		return nil, err
	}
	return &Limiter{rates: rates, buckets: buckets}, nil
}

// Take counts a call. A positive result refuses it: so long a caller should
// wait. A nil Limiter refuses none.
func (l *Limiter) Take(caller string) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, known := l.buckets.Get(caller)
	if !known {
		bucket = ratelimit.NewTokenBucketSet(l.rates)
		l.buckets.Add(caller, bucket)
	}
	wait, err := bucket.Consume(1)
	if err != nil {
		return time.Second // a burst below one call, which NewLimiter does not take
	}
	return wait
}
