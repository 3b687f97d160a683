package main

import (
	"context"
	"sync"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// board collects the problems of the controller's parts.
type board struct {
	changed chan struct{} // holds one

	mu   sync.Mutex // guards said
	said map[string][]mesh.Problem
}

func newBoard() *board {
	return &board{changed: make(chan struct{}, 1), said: map[string][]mesh.Problem{}}
}

// put replaces what one part says. The problems are not edited afterwards.
func (b *board) put(part string, problems []mesh.Problem) {
	b.mu.Lock()
	b.said[part] = problems
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// all are the problems of all parts.
func (b *board) all() []mesh.Problem {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []mesh.Problem
	for _, problems := range b.said {
		out = append(out, problems...)
	}
	return mesh.SortProblems(out)
}

// tellAgain is how long what could not be told waits at most.
const tellAgain = 30 * time.Second

// tell gives all problems to a function whenever they change, and from time to
// time, until the context ends.
func (b *board) tell(ctx context.Context, to func(context.Context, []mesh.Problem)) {
	again := time.NewTicker(tellAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.changed:
		case <-again.C:
		}
		to(ctx, b.all())
	}
}
