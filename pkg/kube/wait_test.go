package kube

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is what control.Source asks for.
type source interface {
	Run(ctx context.Context, emit func(mesh.Change)) error
}

// watcher applies a source's changes as the loop of package control does.
type watcher struct {
	t *testing.T

	mu      sync.Mutex // guards what follows
	in      *mesh.Inputs
	synced  int
	changed chan struct{} // closed and made anew with each change
}

// follow runs a source until the test ends.
func follow(t *testing.T, s source) *watcher {
	t.Helper()
	w := &watcher{t: t, in: mesh.NewInputs(), changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx, w.take) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *watcher) take(c mesh.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Apply != nil {
		c.Apply(w.in)
	}
	if c.Synced {
		w.synced++
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits for the inputs to be as asked.
func (w *watcher) until(what string, ok func(*mesh.Inputs) bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		done, changed := w.synced == 1 && ok(w.in), w.changed
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("waited in vain for: %s; the inputs are %+v", what, w.in)
		}
	}
}

// has tells whether the inputs have the Services and no others.
func has(names ...string) func(*mesh.Inputs) bool {
	return func(in *mesh.Inputs) bool {
		for _, n := range names {
			if _, ok := in.Services[name(n)]; !ok {
				return false
			}
		}
		return len(in.Services) == len(names)
	}
}

// hasProblem tells whether there is one problem, on the object and with the reason.
func hasProblem(object, reason string) func(*mesh.Inputs) bool {
	return func(in *mesh.Inputs) bool {
		for ref, p := range in.Problems {
			if ref.String() == object && p.Reason == reason {
				return len(in.Problems) == 1
			}
		}
		return false
	}
}

func all(conditions ...func(*mesh.Inputs) bool) func(*mesh.Inputs) bool {
	return func(in *mesh.Inputs) bool {
		for _, c := range conditions {
			if !c(in) {
				return false
			}
		}
		return true
	}
}
