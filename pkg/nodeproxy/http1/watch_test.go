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

// A walk visits every connection that is there from its begin to its end, though
// others walk at once and connections end meanwhile: Recheck breaks off nothing
// that it does not visit.
func TestAWalkMissesNoConnection(t *testing.T) {
	const conns = 4 * atOnce
	for name, meanwhile := range map[string]func(*watch, []*conn) map[*conn]bool{
		"another walk": func(w *watch, _ []*conn) map[*conn]bool {
			w.walk(func([]*conn) {})
			return nil
		},
		"an end": func(w *watch, all []*conn) map[*conn]bool {
			w.remove(all[10])
			return map[*conn]bool{all[10]: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, visited := &watch{}, map[*conn]bool{}
			var all []*conn
			for range conns {
				c := &conn{}
				all = append(all, c)
				w.add(c)
			}
			var gone map[*conn]bool
			parts := 0
			w.walk(func(few []*conn) {
				for _, c := range few {
					visited[c] = true
				}
				if parts++; parts == 2 {
					gone = meanwhile(w, all)
				}
			})
			for i, c := range all {
				if !visited[c] && !gone[c] {
					t.Fatalf("connection %d is missed", i)
				}
			}
		})
	}
}
