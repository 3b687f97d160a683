// Package pace lets work for which nobody waits share processors with work for
// which somebody does.
package pace

import "time"

// turn is how long work goes on, and then rests.
const turn = time.Millisecond

// Pace is the turns of one piece of work, which one goroutine at a time does.
// Make it with Start.
type Pace struct{ since time.Time }

// Start begins the first turn.
func Start() Pace { return Pace{time.Now()} }

// Breathe rests once the turn is over. Calling runtime.Gosched would not do:
// with one processor Go looks at the network only where nothing is ready to run,
// and whoever works on takes what the kernel would have given to others.
func (p *Pace) Breathe() {
	if time.Since(p.since) > turn {
		time.Sleep(turn)
		p.since = time.Now()
	}
}
