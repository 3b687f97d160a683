package poll

import (
	"testing"
	"time"
)

// A Poller gathers from when it works for most of the time until it works for
// little of it, and not after an idle time.
func TestWhenAPollerGathers(t *testing.T) {
	var l load
	now := time.Unix(1_800_000_000, 0)
	spend := func(busy, idle time.Duration) {
		for range 200 {
			l.begin(now)
			now = now.Add(busy)
			l.end(now)
			now = now.Add(idle)
		}
	}
	for _, step := range []struct {
		what       string
		busy, idle time.Duration
		high       bool
	}{
		{"half of the time", 20 * time.Microsecond, 20 * time.Microsecond, false},
		{"most of it", 70 * time.Microsecond, 30 * time.Microsecond, true},
		{"half of it, gathering", 50 * time.Microsecond, 50 * time.Microsecond, true},
		{"little of it", 20 * time.Microsecond, 80 * time.Microsecond, false},
		{"half of it again", 50 * time.Microsecond, 50 * time.Microsecond, false},
		{"all of it", 100 * time.Microsecond, 0, true},
	} {
		if spend(step.busy, step.idle); l.high != step.high {
			t.Errorf("works %s: gathers: %v", step.what, l.high)
		}
	}
	now = now.Add(time.Second)
	if spend(time.Microsecond, time.Second); l.high {
		t.Error("gathers after an idle time")
	}
}
