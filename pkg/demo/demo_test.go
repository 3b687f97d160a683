package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheTourHolds(t *testing.T) {
	for name, terminal := range map[string]bool{"in a terminal": true, "in a log": false} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Run(t.Context(), Config{Out: &out, Terminal: terminal, Rate: 500, Requests: 100}); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			if redrawn := strings.Contains(out.String(), "\x1b["); redrawn != terminal {
				t.Errorf("redrawn is %v", redrawn)
			}
			for _, want := range []string{"    10 %  orders.shop.mesh  v1             90   90.0 %  100.0 %", "curl --resolve", "none failed"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}

func TestATourThatIsStoppedFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Config{Out: io.Discard}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A mesh that ends by itself stops the tour: its own error is what is told.
func TestAMeshThatFailsSaysWhy(t *testing.T) {
	s, err := newStage(Config{Out: io.Discard}, manifests{t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.manifests.dir); err != nil {
		t.Fatal(err)
	}
	if err := s.play(t.Context()); !errors.Is(err, os.ErrNotExist) || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// seenStep is a step that saw so many answers of each version.
func seenStep(percent, first, second int) *step {
	s := newStep(percent, first+second)
	s.versions["v1"] = &seen{took: make([]time.Duration, first)}
	s.versions["v2"] = &seen{took: make([]time.Duration, second)}
	return s
}

func TestWhatIsNotRightIsAnError(t *testing.T) {
	failed := seenStep(50, 50, 50)
	failed.failed = []error{errors.New("refused")}
	between := newStep(0, 0)
	between.failed = []error{errors.New("reset")}
	for _, test := range []struct {
		step, between *step
		want          string // empty for no error
	}{
		{seenStep(10, 900, 100), newStep(0, 0), ""},
		{seenStep(10, 909, 91), newStep(0, 0), ""},
		{seenStep(10, 911, 89), newStep(0, 0), "at 10 %: the canary got 8.9 %"},
		{seenStep(100, 20, 980), newStep(0, 0), "at 100 %: the canary got 98.0 %"},
		{failed, newStep(0, 0), "at 50 %: 1 requests failed, the first with: refused"},
		{seenStep(0, 10, 0), between, "reset"},
	} {
		s := &stage{config: Config{Out: io.Discard}, caller: &caller{between: test.between}, steps: []*step{test.step}, live: []time.Duration{1}}
		err := s.judge()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("want %q, got %v", test.want, err)
		}
	}
}

func TestQuantiles(t *testing.T) {
	for _, test := range []struct{ n, p50, p99 int }{{1, 1, 1}, {2, 1, 2}, {100, 50, 99}, {101, 51, 100}, {1000, 500, 990}} {
		sorted := make([]time.Duration, test.n)
		for i := range sorted {
			sorted[i] = time.Duration(i + 1)
		}
		if p50, p99 := quantile(sorted, 50), quantile(sorted, 99); int(p50) != test.p50 || int(p99) != test.p99 {
			t.Errorf("of %d: p50 %d, p99 %d", test.n, p50, p99)
		}
	}
}

func TestTwoToursHaveRangesOfTheirOwn(t *testing.T) {
	first, err := freeRange(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	second, err := freeRange(os.Getpid() + 1)
	if err != nil {
		t.Fatal(err)
	}
	if first == second && first != (netip.Prefix{}) {
		t.Errorf("both have %s", first)
	}
}
