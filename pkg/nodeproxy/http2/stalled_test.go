package http2

import (
	"testing"
	"time"
)

// lookAt looks after a connection at some moment.
func (b *bench) lookAt(c *conn, after time.Duration) {
	w := &work{engine: b.w.engine, now: b.w.now.Add(after)}
	c.look(w)
	w.finish()
}

// B49: a client that gives a stream no window, or less than its portion of it,
// does not hold the answer and the endpoint's stream for ever.
func TestB49AClientOwesWindow(t *testing.T) {
	for name, test := range map[string]struct {
		each int // what the client takes in each 10 seconds
		ends bool
	}{"none": {0, true}, "too little": {4000, true}, "its portion": {5500, false}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.feed(t, b.down, appendSettings(nil, setting{settingInitialWindow, 100}))
			b.request(t, true)
			b.feed(t, b.up, appendBlock(nil, 1, block(t, b.up, ":status", "200"), false))
			for after := time.Duration(0); after <= 3*time.Minute; after += 10 * time.Second {
				for range 4 { // there is always something that waits
					if h := b.up.halves[1]; h != nil && h.window > 16000 {
						b.feed(t, b.up, appendData(nil, 1, 16000))
					}
				}
				b.lookAt(b.down, after)
				if over := len(b.down.halves) == 0; over != (test.ends && after > time.Minute) {
					t.Fatalf("after %v the stream is over: %v", after, over)
				}
				if test.each > 0 {
					b.feed(t, b.down, appendWindowUpdate(nil, 1, test.each))
				}
			}
			if (len(b.up.halves) == 0) != test.ends {
				t.Errorf("%d streams at the endpoint", len(b.up.halves))
			}
		})
	}
}

// What was taken in time owes nothing, and neither does a stream on which
// nothing waits.
func TestAWindowIsOwedOnlyWhileSomethingWaits(t *testing.T) {
	b := newBench(t)
	b.feed(t, b.down, appendSettings(nil, setting{settingInitialWindow, 100}))
	b.request(t, true)
	b.feed(t, b.up, append(appendBlock(nil, 1, block(t, b.up, ":status", "200"), false), appendData(nil, 1, 200)...))
	b.lookAt(b.down, 0)
	b.feed(t, b.down, appendWindowUpdate(nil, 1, 100)) // nothing waits now
	b.lookAt(b.down, 59*time.Second)
	b.feed(t, b.up, appendData(nil, 1, 200))
	for _, after := range []time.Duration{61, 120, 300} {
		b.lookAt(b.down, after*time.Second)
		if over := len(b.down.halves) == 0; over != (after == 300) {
			t.Fatalf("after %d s the stream is over: %v", after, over)
		}
	}
}

// Of an endpoint any byte in a minute will do, and none will not.
func TestAnEndpointOwesWindow(t *testing.T) {
	b := newBench(t)
	b.feed(t, b.up, appendSettings(nil, setting{settingInitialWindow, 0}))
	b.request(t, false)
	b.feed(t, b.down, appendData(nil, 1, 1000))
	for after := time.Duration(0); after < 5*time.Minute; after += 50 * time.Second {
		b.lookAt(b.up, after)
		b.feed(t, b.up, appendWindowUpdate(nil, 1, 1))
	}
	if len(b.up.halves) != 1 {
		t.Fatal("an endpoint that takes its time was left")
	}
	b.lookAt(b.up, 6*time.Minute)
	b.lookAt(b.up, 8*time.Minute)
	if len(b.up.halves) != 0 {
		t.Error("an endpoint that takes nothing was kept")
	}
}

// Who is not read, for it takes nothing, holds no memory for reading.
func TestAFullConnectionHoldsNoMemoryForReading(t *testing.T) {
	b := newBench(t)
	d := &driver{conn: b.down, reads: mostReads, in: input{memory: b.w.engine.readers.get()}}
	b.down.stuck.Store(true)
	b.down.out = &buffer{b: make([]byte, mostUnwritten+1)}
	if got := d.readFrames(b.w); got != waits || d.in.memory != nil {
		t.Errorf("it came to %v, with memory: %v", got, d.in.memory != nil)
	}
}
