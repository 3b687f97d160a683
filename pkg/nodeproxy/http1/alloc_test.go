//go:build !race

package http1_test

import "testing"

// In steady state a request costs no memory, metrics included.
func TestNoAllocationPerRequest(t *testing.T) {
	once := exchanger(t)
	if n := testing.AllocsPerRun(2000, once); n >= 0.5 {
		t.Errorf("%v allocations per request; want 0", n)
	}
}
