package telemetry

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// What a Tap gives at most, so that watching cannot hurt what is watched.
const (
	tapWatchers = 8    // at a time
	tapRate     = 1000 // events a second to each
	tapQueue    = 256  // that wait for a slow one
)

// Tap is a Sink for people who watch requests and connections as they happen.
// While nobody does it costs one atomic load for each. Its zero value is ready.
type Tap struct {
	watchers atomic.Pointer[[]*Watcher] // nil for none
	mu       sync.Mutex                 // guards that watchers are replaced
}

// Watcher takes the Events that it wants. What comes too fast is left out and
// counted.
type Watcher struct {
	Events <-chan Event
	events chan Event
	wants  func(*Event) bool
	second atomic.Int64 // the one that count is of
	count  atomic.Int64
	missed atomic.Uint64
}

// Wants tells whether anybody watches.
func (t *Tap) Wants(string) bool { return t.watchers.Load() != nil }

// Take gives an Event to those who want it, and never waits.
func (t *Tap) Take(e *Event) {
	watchers := t.watchers.Load()
	if watchers == nil {
		return
	}
	for _, w := range *watchers {
		if w.wants(e) {
			w.take(e)
		}
	}
}

func (w *Watcher) take(e *Event) {
	if now := time.Now().Unix(); w.second.Swap(now) != now {
		w.count.Store(0)
	}
	if w.count.Add(1) <= tapRate {
		select {
		case w.events <- *e:
			return
		default:
		}
	}
	w.missed.Add(1)
}

// Missed returns how many Events were left out since it was last asked.
func (w *Watcher) Missed() uint64 { return w.missed.Swap(0) }

// Watch begins to watch the Events that a function wants. The function must not
// wait. It is an error where too many watch already.
func (t *Tap) Watch(wants func(*Event) bool) (*Watcher, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var now []*Watcher
	if watchers := t.watchers.Load(); watchers != nil {
		now = *watchers
	}
	if len(now) >= tapWatchers {
		return nil, errors.New("too many watch already")
	}
	events := make(chan Event, tapQueue)
	w := &Watcher{Events: events, events: events, wants: wants}
	now = append(slices.Clone(now), w)
	t.watchers.Store(&now)
	return w, nil
}

// Stop ends what Watch began.
func (t *Tap) Stop(w *Watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(*t.watchers.Load()), func(one *Watcher) bool { return one == w })
	if len(left) == 0 {
		t.watchers.Store(nil)
		return
	}
	t.watchers.Store(&left)
}
