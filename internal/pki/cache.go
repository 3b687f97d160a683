package pki

import (
	"context"
	"sync"
	"time"
)

// How long what a Cache has read is believed, and how long after a failure
// nothing is read again.
const (
	fresh = time.Minute
	pause = 2 * time.Second
)

// Cache remembers for a minute what Read returned, and longer where reading it
// again fails. Make it with its Read; it is safe for concurrent use.
type Cache[T any] struct {
	Read func(context.Context) (T, error)

	mu    sync.Mutex // guards what follows, and is held while it is read
	value T
	err   error // until the first success
	known bool
	until time.Time
}

// Load returns the value. It is an error only where it was never read.
func (c *Cache[T]) Load(ctx context.Context) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.until) {
		return c.value, c.err
	}
	value, err := c.Read(ctx)
	c.until = now.Add(pause)
	switch {
	case err == nil:
		c.value, c.err, c.known, c.until = value, nil, true, now.Add(fresh)
	case !c.known:
		c.err = err
	}
	return c.value, c.err
}
