package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The reasons of the problems that a Writer finds.
const (
	NameTaken  = "NameTaken"  // an object that is not Weft's has the name that one of Weft's needs
	NotWritten = "NotWritten" // the API server refuses an object of Weft's
)

const (
	mostWriters   = 8 // writes under way at once
	firstDelay    = 50 * time.Millisecond
	longestDelay  = 10 * time.Second
	failuresToSay = 3 // failures in a row before the object's author hears of them
)

// ErrTaken says that an object that is not ours has the name of one of ours.
var ErrTaken = errors.New("an object that is not Weft's has this name")

// Job is one object to write, or one question to ask before.
type Job struct {
	ID    string   // kind and name
	About mesh.Ref // whom to tell about failures; without a kind nobody
	Do    func(ctx context.Context) error
}

// Writer does the jobs of each pass, a few at once. What fails is put off, for
// longer each time, and stops no other. Make it with NewWriter.
type Writer struct {
	name   string
	log    zerolog.Logger
	failed atomic.Uint64

	mu       sync.Mutex // guards the fields below
	failures map[string]*failure
	seen     map[string]bool // the jobs of this pass
}

// failure is a job that did not succeed when it was last tried.
type failure struct {
	about mesh.Ref
	err   error
	times int
	due   time.Time
}

// NewWriter returns a Writer whose log lines begin with a name.
func NewWriter(name string, log zerolog.Logger) *Writer {
	return &Writer{name: name, log: log, failures: map[string]*failure{}}
}

// Failed counts the jobs that failed, each time that they did.
func (w *Writer) Failed() uint64 { return w.failed.Load() }

// Begin starts a pass.
func (w *Writer) Begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = map[string]bool{}
}

// Run does the jobs that are due and returns when they are done.
func (w *Writer) Run(ctx context.Context, jobs []Job) {
	var group errgroup.Group
	group.SetLimit(mostWriters)
	for _, j := range jobs {
		if ctx.Err() != nil || !w.due(j.ID) {
			continue
		}
		group.Go(func() error { w.note(ctx, &j, j.Do(ctx)); return nil })
	}
	_ = group.Wait() // the functions return no error
}

func (w *Writer) due(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[id] = true
	f := w.failures[id]
	return f == nil || !time.Now().Before(f.due)
}

func (w *Writer) note(ctx context.Context, j *Job, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.failures, j.ID)
		return
	}
	if ctx.Err() != nil {
		return
	}
	w.failed.Add(1)
	f := w.failures[j.ID]
	if f == nil {
		f = &failure{}
		w.failures[j.ID] = f
	}
	delay := min(firstDelay<<min(f.times, 10), longestDelay)
	f.about, f.err, f.times, f.due = j.About, err, f.times+1, time.Now().Add(delay)
	w.log.Warn().Err(err).Str("object", j.ID).Int("failures", f.times).Dur("retry", delay).Msg(w.name + ": not written")
}

// End closes a pass: failures of what is not wanted any more are forgotten. It
// returns what to tell, and when the next job is due (0 for never).
func (w *Writer) End() (problems []mesh.Problem, again time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, f := range w.failures {
		if !w.seen[id] {
			delete(w.failures, id)
			continue
		}
		if wait := max(time.Until(f.due), time.Millisecond); again == 0 || wait < again {
			again = wait
		}
		if p, ok := f.problem(id); ok {
			problems = append(problems, p)
		}
	}
	return problems, again
}

// problem is what the object's author is told: nothing while the failure may
// pass by itself.
func (f *failure) problem(id string) (mesh.Problem, bool) {
	switch {
	case f.about.Kind == "":
	case errors.Is(f.err, ErrTaken):
		return mesh.Problem{Object: f.about, Reason: NameTaken, Message: fmt.Sprintf("%s is not Weft's, which needs that name", id)}, true
	case apierrors.IsInvalid(f.err), apierrors.IsForbidden(f.err), f.times >= failuresToSay && apierrors.ReasonForError(f.err) != "":
		return mesh.Problem{Object: f.about, Reason: NotWritten, Message: fmt.Sprintf("%s cannot be written: %v", id, f.err)}, true
	}
	return mesh.Problem{}, false
}
