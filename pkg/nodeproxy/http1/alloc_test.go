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

func TestAGuardedExchangeAllocatesNoMore(t *testing.T) {
	plain, guarded := testing.AllocsPerRun(500, exchanger(t)), testing.AllocsPerRun(500, guardedExchanger(t, 100))
	if guarded > plain {
		t.Errorf("%v allocations without rules, %v with 100 targets", plain, guarded)
	}
}
