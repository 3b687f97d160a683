package http1

import "testing"

// A turn of the watch visits every connection once, though it copies a few at a
// time and lets the lock go in between.
func TestTheWatchVisitsAll(t *testing.T) {
	w, visits := &watch{}, map[*conn]int{}
	const conns = 3*atOnce + 7
	for range conns {
		w.add(&conn{})
	}
	for turn := range 3 {
		w.walk(func(few []*conn) {
			if !w.mu.TryLock() {
				t.Fatal("the lock is held")
			}
			w.mu.Unlock()
			for _, c := range few {
				visits[c]++
			}
		})
		if len(visits) != conns {
			t.Fatalf("%d of %d connections were visited", len(visits), conns)
		}
		for c, n := range visits {
			if n != turn+1 {
				t.Fatalf("connection %d was visited %d times in %d turns", c.place, n, turn+1)
			}
		}
	}
}
