package pace_test

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/pace"
)

// TestTheNetworkIsLookedAtBetweenTurns: on one processor whoever waits for the
// network has been served by the time work goes on, however long it takes, but
// where the machine had no processor for this process during the rest.
func TestTheNetworkIsLookedAtBetweenTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var served atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 1); ; served.Add(1) {
			if _, err := r.Read(b); err != nil {
				return
			}
		}
	}()
	turns := pace.Start()
	const rounds = 20
	inTime := 0
	for asked := int32(1); asked <= rounds; asked++ {
		if _, err := w.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		for begun := time.Now(); time.Since(begun) < 2*time.Millisecond; {
		}
		turns.Breathe()
		if served.Load() == asked {
			inTime++
		}
	}
	if inTime < rounds*3/4 {
		t.Errorf("%d of %d had been served when work went on", inTime, rounds)
	}
	_ = w.Close()
	<-ended
}
