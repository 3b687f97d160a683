package http1

import "testing"

// A turn of the watch visits every connection once, or as many as its budget
// allows: the next turn goes on from there, so that nobody is left out.
func TestTheWatchTakesTurns(t *testing.T) {
	w, visits := &watch{}, map[*conn]int{}
	const conns = 3*mostLooks + 7
	for range conns {
		w.add(&conn{})
	}
	w.walk(func(c *conn) int { visits[c]++; return 0 })
	if len(visits) != conns {
		t.Fatalf("%d of %d connections were visited", len(visits), conns)
	}
	for c, n := range visits {
		if n != 1 {
			t.Fatalf("connection %d was visited %d times", c.place, n)
		}
	}
	clear(visits)
	for turn := range 4 {
		before := len(visits)
		w.walk(func(c *conn) int { visits[c]++; return 1 })
		if now := len(visits); now-before > mostLooks {
			t.Fatalf("turn %d looked at %d connections", turn, now-before)
		}
	}
	if len(visits) != conns {
		t.Errorf("%d of %d connections were visited in four turns", len(visits), conns)
	}
}
