//go:build !race

package http2

import "testing"

// The race detector has sync.Pool forget at random, so nothing is counted there.
func TestAnExchangeAllocatesNothing(t *testing.T) {
	b := newBench(t)
	if n := testing.AllocsPerRun(1000, b.run(t)); n != 0 {
		t.Errorf("%v allocations for each request", n)
	}
}
