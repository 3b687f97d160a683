package poll

import "time"

// load tells whether a Poller is so busy that it gathers: lets a little more happen
// before it looks. A look, and each system call that follows, costs as much for one
// event as for many: near saturation whoever answers each at once gets so little
// done that all wait longer.
type load struct {
	high    bool
	refrain int           // windows until it may gather again
	since   time.Time     // when the window began
	began   time.Time     // when the present work began
	busy    time.Duration // of the window
	looks   int           // of the window
	found   int           // events, by them
}

const (
	// gathering is how long a busy Poller sleeps before it looks; the kernel's
	// timer slack adds about 50 µs.
	gathering = 20 * time.Microsecond
	// window is how long it is looked at how much of the time it works.
	window = 2 * time.Millisecond
	// It gathers from when it works more than busyAbove percent of the time until it
	// works less than busyBelow: gathering itself saves up to half of the work.
	busyAbove = 60
	busyBelow = 25
	// Where it finds less than worthwhile events a look, gathering is in vain: few
	// connections talk in turn, and each waits for it. It then refrains for many
	// windows.
	worthwhile = 2
	refrains   = 50
)

// gathers tells whether to gather before the next look. After an idle time nothing
// is known.
func (l *load) gathers(now time.Time) bool { return l.high && now.Sub(l.since) < 2*window }

// begin notes that work begins.
func (l *load) begin(now time.Time) { l.began = now }

// end notes that the work on some events is done.
func (l *load) end(now time.Time, found int) {
	// Whoever was away for longer, stopped or preempted, was not busy.
	l.busy += min(now.Sub(l.began), window)
	l.looks++
	l.found += found
	whole := now.Sub(l.since)
	if whole < window {
		return
	}
	share := 100 * l.busy / whole
	switch {
	case l.high && l.found < worthwhile*l.looks:
		l.high, l.refrain = false, refrains
	case l.refrain > 0:
		l.refrain--
	default:
		l.high = share > busyAbove || l.high && share > busyBelow
	}
	l.since, l.busy, l.looks, l.found = now, 0, 0, 0
}
