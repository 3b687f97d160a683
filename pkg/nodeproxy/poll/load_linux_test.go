package poll

import (
	"testing"
	"time"
)

// A Poller gathers from when it works for most of the time until it works for
// little of it; not where that gathers nothing, nor for one that was away.
func TestWhenAPollerGathers(t *testing.T) {
	const us = time.Microsecond
	var l load
	now := time.Unix(1_800_000_000, 0)
	spend := func(busy, idle time.Duration, found, times int) {
		for range times {
			l.begin(now)
			now = now.Add(busy)
			l.end(now, found)
			now = now.Add(idle)
		}
	}
	for _, step := range []struct {
		what       string
		busy, idle time.Duration
		found      int
		times      int
		gathers    bool
	}{
		{"half of the time", 20 * us, 20 * us, 3, 200, false},
		{"most of it", 70 * us, 30 * us, 3, 200, true},
		{"half of it, gathering", 50 * us, 50 * us, 3, 200, true},
		{"little of it", 20 * us, 80 * us, 3, 200, false},
		{"half of it again", 50 * us, 50 * us, 3, 200, false},
		{"all of it", 100 * us, 0, 3, 200, true},
		{"all of it, for one event a time", 100 * us, 0, 1, 200, false},
		{"all of it, soon after that", 100 * us, 0, 3, 200, false},
		{"all of it, long after that", 100 * us, 0, 3, 2000, true},
		{"little, at long intervals", 20 * us, time.Second, 3, 3, false},
	} {
		spend(step.busy, step.idle, step.found, step.times)
		if l.gathers(now) != step.gathers {
			t.Errorf("works %s: gathers: %v", step.what, !step.gathers)
		}
	}
	spend(100*us, 0, 3, 200)
	now = now.Add(time.Second)
	if l.gathers(now) {
		t.Error("gathers after an idle time")
	}
	l = load{}
	spend(50*us, 50*us, 3, 200)
	spend(time.Second, 50*us, 3, 1) // stopped within its work
	spend(50*us, 50*us, 3, 10)
	if l.gathers(now) {
		t.Error("gathers after it was stopped for a while")
	}
}
