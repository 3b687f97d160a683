package control_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// source is a control.Source driven by the test.
type source struct {
	changes chan mesh.Change
	fail    error
}

func newSource() *source { return &source{changes: make(chan mesh.Change)} }

func (s *source) Run(ctx context.Context, emit func(mesh.Change)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c, open := <-s.changes:
			if !open {
				return s.fail
			}
			emit(c)
		}
	}
}

func pod(n int) mesh.Change {
	return mesh.Change{Apply: func(in *mesh.Inputs) {
		in.Pods[mesh.Name{Namespace: "shop", Name: fmt.Sprint(n)}] = mesh.PodInput{IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(n)})}}
	}}
}

// start runs a Loop over the sources inside a synctest bubble; every published
// Snapshot goes to the returned channel.
func start(t *testing.T, config control.Config, sources ...*source) (*control.Loop, chan *control.Snapshot) {
	t.Helper()
	published := make(chan *control.Snapshot, 100)
	for _, s := range sources {
		config.Sources = append(config.Sources, s)
	}
	config.Publish = func(s *control.Snapshot) { published <- s }
	loop := control.New(config)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return loop, published
}

func TestNothingIsPublishedBeforeEverySourceIsSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newSource(), newSource()
		loop, published := start(t, control.Config{}, first, second)
		first.changes <- pod(1)
		first.changes <- mesh.Change{Synced: true}
		time.Sleep(time.Minute)
		if loop.Latest() != nil || len(published) != 0 {
			t.Fatal("published before the second source was synced")
		}
		second.changes <- mesh.Change{Synced: true}
		if s := <-published; s.Generation != 1 || s.Changes != 3 || len(s.Mesh.Workloads) != 1 {
			t.Errorf("first snapshot: generation %d, %d changes, %d workloads; want 1, 3, 1", s.Generation, s.Changes, len(s.Mesh.Workloads))
		}
	})
}

func TestABurstIsOneRebuildAndAStreamIsNotPutOffForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		_, published := start(t, control.Config{Quiet: 10 * time.Millisecond, Longest: 100 * time.Millisecond}, s)
		s.changes <- mesh.Change{Synced: true}
		<-published
		begin := time.Now()
		for n := range 5 {
			s.changes <- pod(n)
		}
		if got := <-published; len(got.Mesh.Workloads) != 5 || time.Since(begin) != 10*time.Millisecond {
			t.Errorf("burst: %d workloads after %v; want 5 after 10ms", len(got.Mesh.Workloads), time.Since(begin))
		}
		begin = time.Now()
		for n := range 40 {
			s.changes <- pod(n)
			time.Sleep(5 * time.Millisecond)
		}
		if first := <-published; first.Built.Sub(begin) > 105*time.Millisecond {
			t.Errorf("a stream of changes put a rebuild off for %v", first.Built.Sub(begin))
		}
	})
}

func TestFrontendsAreComputedFromTheInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		name := mesh.Name{Namespace: "shop", Name: "orders"}
		_, published := start(t, control.Config{Frontends: func(in *mesh.Inputs) map[mesh.Name]mesh.Frontend {
			out := map[mesh.Name]mesh.Frontend{}
			for name := range in.Services {
				out[name] = mesh.Frontend{}
			}
			return out
		}}, s)
		s.changes <- mesh.Change{Synced: true, Apply: func(in *mesh.Inputs) { in.Services[name] = mesh.ServiceInput{} }}
		if got := <-published; len(got.Mesh.Services) != 1 || got.Mesh.Services[0].Name != name {
			t.Errorf("services %v; want %v", got.Mesh.Services, name)
		}
	})
}

func TestASourceThatFailsStopsTheLoop(t *testing.T) {
	failing := newSource()
	failing.fail = errors.New("no such folder")
	close(failing.changes)
	loop := control.New(control.Config{Sources: []control.Source{failing, newSource()}})
	if err := loop.Run(t.Context()); !errors.Is(err, failing.fail) {
		t.Errorf("error %v; want %v", err, failing.fail)
	}
}
