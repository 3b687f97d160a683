package http1

import (
	"sync/atomic"
	"time"
)

// phase is what a goroutine is doing, as the watch sees it.
type phase int64

const (
	busy      phase = iota
	idle            // no request is there
	inHead          // a request's head has begun
	inBody          // the client sends a body
	uploading       // the endpoint does not take the body at once
	waiting         // an endpoint works
	answering       // the client does not take the answer at once
	relaying        // bytes of WebSocket go both ways
	nudged          // the watch has woken who waited for the endpoint
	killed          // the watch has ended the connection; it stays so
	phaseBits = 4
)

// slot publishes a phase with when it began, in milliseconds of the engine's
// clock. One goroutine enters; the watch may kill at any time.
type slot struct{ word atomic.Int64 }

// enter sets the phase and returns the one before. Where that is killed it
// stays: the connection is over, whatever was done meanwhile.
func (s *slot) enter(p phase, now time.Duration) (before phase) {
	next := int64(now/time.Millisecond)<<phaseBits | int64(p)
	before = phase(s.word.Swap(next) & (1<<phaseBits - 1))
	if before == killed {
		s.word.Store(int64(killed))
	}
	return before
}

// load returns the phase and since when.
func (s *slot) load() (word int64, p phase, since time.Duration) {
	word = s.word.Load()
	return word, phase(word & (1<<phaseBits - 1)), time.Duration(word>>phaseBits) * time.Millisecond
}

// turn changes what was seen, unless it has gone on meanwhile.
func (s *slot) turn(seen int64, to phase) bool { return s.word.CompareAndSwap(seen, int64(to)) }
