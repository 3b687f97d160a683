package poll

import "time"

// load tells whether a Poller is so busy that it gathers: lets a little more happen
// before it looks. A look, and each system call that follows, costs as much for one
// event as for many: near saturation whoever answers each at once gets so little
// done that all wait longer.
type load struct {
	high  bool
	since time.Time     // when the window began
	began time.Time     // when the present work began
	busy  time.Duration // of the window
}

const (
	// gathering is how long a busy Poller sleeps before it looks; the kernel's
	// timer slack adds about 50 µs.
	gathering = 20 * time.Microsecond
	// window is how long it is looked at how much of the time it works.
	window = 2 * time.Millisecond
	// It gathers from when it works more than busyAbove percent of the time until it
	// works less than busyBelow: gathering itself saves about half of the work.
	busyAbove = 60
	busyBelow = 25
)

// begin notes that work begins.
func (l *load) begin(now time.Time) { l.began = now }

// end notes that the work is done.
func (l *load) end(now time.Time) {
	l.busy += now.Sub(l.began)
	whole := now.Sub(l.since)
	if whole < window {
		return
	}
	share := 100 * l.busy / whole
	l.high = share > busyAbove || l.high && share > busyBelow
	l.since, l.busy = now, 0
}
