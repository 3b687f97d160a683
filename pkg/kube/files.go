package kube

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// Duplicate is the reason of the problem that an object stands in files twice.
const Duplicate = "Duplicate"

// FilesConfig is what Files need. Paths is required.
type FilesConfig struct {
	// Paths are files, whatever their names, and folders, read with all that is
	// below them: *.yaml, *.yml and *.json. Names that begin with a dot are left
	// out there.
	Paths []string
	// Poll is how often the files are looked at (default 100 ms).
	Poll time.Duration
	Log  zerolog.Logger
}

// Files is a control.Source of objects in YAML and JSON files, as
// `kubectl get -o yaml` prints them. Make it with NewFiles, run it once.
//
// A file holds any number of documents and Lists. Services, EndpointSlices,
// Endpoints, Pods, Namespaces, Secrets (of which only a CA is kept) and the kinds
// of the Service Mesh Interface count; other kinds are passed over, and so is what Weft itself wrote. An object
// without a namespace is in "default". Of an object that stands twice the first
// counts, by path, and the second is a Problem.
//
// A file that cannot be read, as a whole or in one document, is a Problem on
// the Ref{Kind: "File", Name: "path:line"}; what its last readable version held
// stays. The other files go on.
//
// Changes are found by looking at time, size and identity of the files, not by
// a notification of the system: that would lose a file that is replaced by
// renaming, as editors do, and a ConfigMap's, which are links through a folder
// that is replaced. A change is taken when two looks in a row agree on it, so
// that a file is not read half written.
type Files struct {
	config FilesConfig
	known  map[string]*file
	hidden []mesh.Problem // folders that cannot be listed
	ledger *ledger
	parser parser
}

// file is what is known of one file.
type file struct {
	seen     fs.FileInfo // at the last look; nil where there was none
	taken    fs.FileInfo // when it was last read; nil before
	readings []located   // of its last readable version
	broken   []mesh.Problem
}

// NewFiles returns Files that wait to be run.
func NewFiles(config FilesConfig) *Files {
	if config.Poll == 0 {
		config.Poll = 100 * time.Millisecond
	}
	return &Files{
		config: config, known: map[string]*file{}, ledger: newLedger(),
		parser: parser{trimmer: newTrimmer(""), log: config.Log},
	}
}

// Run reads the files, then whatever changes, until the context ends. A path
// that does not exist when it starts is an error; one that vanishes later just
// holds nothing.
func (f *Files) Run(ctx context.Context, emit func(mesh.Change)) error {
	for _, path := range f.config.Paths {
		if _, err := os.Stat(path); err != nil {
			return err // it names the path
		}
	}
	f.look(true)
	emit(mesh.Change{Apply: change(f.ledger.replace(f.merge())), Synced: true})
	ticker := time.NewTicker(f.config.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if !f.look(false) {
			continue
		}
		if apply := change(f.ledger.replace(f.merge())); apply != nil {
			emit(mesh.Change{Apply: apply})
		}
	}
}

// look looks at all files and reads those that changed and have settled, or at
// once. It tells whether anything is new.
func (f *Files) look(atOnce bool) bool {
	found := list(f.config.Paths)
	changed := !slices.Equal(f.hidden, found.hidden)
	f.hidden = found.hidden
	for path := range found.files {
		if f.known[path] == nil {
			f.known[path] = &file{}
		}
	}
	for path, known := range f.known {
		info := found.files[path]
		settled := atOnce || same(info, known.seen)
		known.seen = info
		switch {
		case !settled:
		case info != nil:
			changed = f.take(path, info, known) || changed
		case len(found.hidden) == 0: // it is not merely out of sight
			changed = true
			delete(f.known, path)
		}
	}
	return changed
}

// take reads a file that changed, and tells whether anything is new.
func (f *Files) take(path string, info fs.FileInfo, known *file) bool {
	if same(info, known.taken) {
		return false
	}
	content, err := os.ReadFile(path)
	if err != nil { // its time says nothing of when it can be read: every look tries
		broken := []mesh.Problem{unreadable(path, err)}
		changed := !slices.Equal(known.broken, broken)
		known.broken = broken
		return changed
	}
	known.taken = info
	readings, broken := f.parser.parse(path, content)
	if len(broken) == 0 {
		known.readings = readings
	}
	for i := range broken {
		if len(known.readings) > 0 {
			broken[i].Message += "; what the file held before stays in effect"
		} else {
			broken[i].Message += "; nothing of the file has effect until it can be read"
		}
	}
	known.broken = broken
	return true
}

// merge is all that the files hold, in the order of their paths.
func (f *Files) merge() []reading {
	m := merger{at: map[key]int{}}
	for _, p := range f.hidden {
		m.problem(p)
	}
	for _, path := range slices.Sorted(maps.Keys(f.known)) {
		known := f.known[path]
		for _, p := range known.broken {
			m.problem(p)
		}
		for _, r := range known.readings {
			m.add(r)
		}
	}
	return m.readings
}

// merger collects readings and finds the objects that come twice.
type merger struct {
	readings []reading
	places   []string
	at       map[key]int
}

func (m *merger) problem(p mesh.Problem) {
	m.add(located{place: p.Object.Name, reading: reading{ref: p.Object, problem: &p}})
}

func (m *merger) add(r located) {
	k := keyOf(r.reading.ref)
	first, twice := m.at[k]
	if !twice {
		m.at[k] = len(m.readings)
		m.readings = append(m.readings, r.reading)
		m.places = append(m.places, r.place)
		return
	}
	if m.readings[first].problem == nil {
		ref := m.readings[first].ref
		m.readings[first].problem = &mesh.Problem{
			Object: ref, Reason: Duplicate,
			Message: fmt.Sprintf("%s stands at %s and again at %s; the first counts", ref, m.places[first], r.place),
		}
	}
}
