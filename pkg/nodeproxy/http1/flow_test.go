package http1

import (
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/poll"
)

// A sink that takes nothing has the whole limit from when it was first asked,
// however long ago bytes moved before, or where none has moved yet.
func TestASinkIsWaitedForFromWhenItTakesNoMore(t *testing.T) {
	full := &poll.Socket{}
	for _, before := range []time.Duration{0, time.Second} {
		f := flow{out: []byte("a"), since: before}
		for _, now := range []time.Duration{time.Minute, 2 * time.Minute} {
			if done, err := f.flush(full, nil, now); done || err != nil {
				t.Fatal(done, err)
			}
		}
		if f.since != time.Minute {
			t.Errorf("after %v: waited for since %v; want %v", before, f.since, time.Minute)
		}
	}
}
