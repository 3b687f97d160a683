// Package control owns the inputs of the mesh: one goroutine takes the changes
// of the sources, waits for a moment of quiet, rebuilds everything and publishes
// the result once.
//
//	source ──change──► Loop (Inputs) ──quiet 10 ms, at most 100 ms──► mesh.Build, route.Compile ──► Publish
//
// Nothing is published before every source has given its first full picture.
package control

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
	"golang.org/x/sync/errgroup"
)

// Source tells changes to emit until the context ends. emit blocks while the
// loop is busy and is safe for concurrent use. A Source sets Synced on exactly
// one change, and returns an error only where going on is pointless.
type Source interface {
	Run(ctx context.Context, emit func(mesh.Change)) error
}

// Snapshot is one publication: a Mesh, the Table compiled from it, and which
// rebuild they are.
type Snapshot struct {
	Generation uint64 // 1 for the first
	Changes    uint64 // how many changes it includes
	Built      time.Time
	// Took is how long Build and Compile needed.
	Took  time.Duration
	Mesh  *mesh.Mesh
	Table *route.Table
}

// Config of a Loop. Sources is required; every other zero value works.
type Config struct {
	Sources []Source
	// Access is who may call whom where no namespace says otherwise.
	Access mesh.AccessSettings
	// Own is what is Weft itself, so that no call is led there.
	Own mesh.OwnSettings
	// Frontends, where set, computes Inputs.Frontends before each build (local
	// mode). It runs on the loop's goroutine.
	Frontends func(*mesh.Inputs) map[mesh.Name]mesh.Frontend
	// Publish is called with each Snapshot in turn, on the loop's goroutine.
	Publish func(*Snapshot)
	// Quiet is how long no change must come before a rebuild (default 10 ms),
	// Longest how long changes may put a rebuild off (default 100 ms).
	Quiet, Longest time.Duration
}

// Loop is the owner of the Inputs. Make it with New, run it with Run.
type Loop struct {
	config  Config
	changes chan mesh.Change
	latest  atomic.Pointer[Snapshot]
	// compiler is of the goroutine that owns the inputs.
	compiler route.Compiler
}

// New returns a Loop that waits to be run.
func New(config Config) *Loop {
	if config.Quiet == 0 {
		config.Quiet = 10 * time.Millisecond
	}
	if config.Longest == 0 {
		config.Longest = 100 * time.Millisecond
	}
	return &Loop{config: config, changes: make(chan mesh.Change, 128)}
}

// Latest returns the last published Snapshot, nil before the first.
func (l *Loop) Latest() *Snapshot { return l.latest.Load() }

// Run runs the sources and rebuilds until the context ends or a source fails.
// It returns after every source has returned.
func (l *Loop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	emit := func(c mesh.Change) {
		select {
		case l.changes <- c:
		case <-ctx.Done():
		}
	}
	for _, source := range l.config.Sources {
		group.Go(func() error { return source.Run(ctx, emit) })
	}
	group.Go(func() error { l.own(ctx); return nil })
	return group.Wait()
}

// own is the goroutine that owns the Inputs.
func (l *Loop) own(ctx context.Context) {
	in := mesh.NewInputs()
	in.Access, in.Own = l.config.Access, l.config.Own
	waiting := len(l.config.Sources)
	var taken uint64
	for {
		select {
		case <-ctx.Done():
			return
		case change := <-l.changes:
			waiting -= take(in, change)
			taken += 1 + l.settle(ctx, in, &waiting)
		}
		if waiting == 0 && ctx.Err() == nil {
			l.publish(in, taken)
		}
	}
}

// take applies a change and returns how many sources it completes: 0 or 1.
func take(in *mesh.Inputs, change mesh.Change) int {
	if change.Apply != nil {
		change.Apply(in)
	}
	if change.Synced {
		return 1
	}
	return 0
}

// settle takes further changes until none has come for Quiet, or Longest has
// passed, and returns how many it took.
func (l *Loop) settle(ctx context.Context, in *mesh.Inputs, waiting *int) (taken uint64) {
	quiet, longest := time.NewTimer(l.config.Quiet), time.NewTimer(l.config.Longest)
	defer quiet.Stop()
	defer longest.Stop()
	for {
		select {
		case change := <-l.changes:
			*waiting -= take(in, change)
			taken++
			quiet.Reset(l.config.Quiet)
		case <-quiet.C:
			return taken
		case <-longest.C:
			return taken
		case <-ctx.Done():
			return taken
		}
	}
}

func (l *Loop) publish(in *mesh.Inputs, taken uint64) {
	start := time.Now()
	if l.config.Frontends != nil {
		in.Frontends = l.config.Frontends(in)
	}
	m := mesh.Build(in)
	snapshot := &Snapshot{Generation: 1, Changes: taken, Mesh: m, Table: l.compiler.Compile(m)}
	if last := l.latest.Load(); last != nil {
		snapshot.Generation = last.Generation + 1
	}
	snapshot.Built = time.Now()
	snapshot.Took = snapshot.Built.Sub(start)
	if l.config.Publish != nil {
		l.config.Publish(snapshot)
	}
	l.latest.Store(snapshot)
}
