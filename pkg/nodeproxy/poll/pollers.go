package poll

import (
	"errors"
	"runtime"
	"sync"
)

// Pollers are one for each processor that Go uses.
type Pollers []Poller

// Start starts Pollers, whose goroutines running counts. Round is called with a
// Poller's number after each of its batches; it may be nil. Where there is an
// error those that could not be made refuse sockets.
func Start(running *sync.WaitGroup, round func(poller int)) (Pollers, error) {
	all := make(Pollers, runtime.GOMAXPROCS(0))
	var failed error
	for i := range all {
		var own func()
		if round != nil {
			own = func() { round(i) }
		}
		failed = errors.Join(failed, all[i].Start(running, own))
	}
	return all, failed
}

// Stop ends their loops.
func (all Pollers) Stop() {
	for i := range all {
		all[i].Stop()
	}
}
