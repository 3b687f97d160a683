package kube

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// piece is one object as the Inputs keep it. It is never edited.
type piece interface {
	put(in *mesh.Inputs, name mesh.Name)
	drop(in *mesh.Inputs, name mesh.Name)
}

// reading is what an object, or a file, came to when it was read.
type reading struct {
	ref     mesh.Ref
	piece   piece         // nil where there is nothing to keep
	problem *mesh.Problem // nil where nothing is wrong
	stay    bool          // the piece that was read before stays
}

// malformed is the reading of an object that cannot be read.
func malformed(ref mesh.Ref, err error) reading {
	return reading{ref: ref, stay: true, problem: &mesh.Problem{
		Object: ref, Reason: mesh.Malformed, Message: err.Error() + "; what was read of it before stays in effect",
	}}
}

// key identifies an object, whatever the version that it is read in.
type key struct {
	group, kind string // group is empty for the core kinds
	name        mesh.Name
}

func keyOf(ref mesh.Ref) key {
	group, _, ok := strings.Cut(ref.APIVersion, "/")
	if !ok {
		group = ""
	}
	return key{group: group, kind: ref.Kind, name: mesh.Name{Namespace: ref.Namespace, Name: ref.Name}}
}

// held is what stands of one object.
type held struct {
	piece   piece
	problem *mesh.Problem
}

// ledger knows what a source has told of each object, so that only differences
// are told. It has one owner.
type ledger struct{ held map[key]held }

func newLedger() *ledger { return &ledger{held: map[key]held{}} }

// edit is one difference.
type edit struct {
	key           key
	before, after held
}

// change is the edits as one step, nil for none.
func change(edits []edit) func(*mesh.Inputs) {
	if len(edits) == 0 {
		return nil
	}
	return func(in *mesh.Inputs) {
		for _, e := range edits {
			e.apply(in)
		}
	}
}

func (e edit) apply(in *mesh.Inputs) {
	if e.before.piece != nil {
		e.before.piece.drop(in, e.key.name)
	}
	if e.after.piece != nil {
		e.after.piece.put(in, e.key.name)
	}
	if e.before.problem != nil {
		delete(in.Problems, e.before.problem.Object)
	}
	if e.after.problem != nil {
		in.Problems[e.after.problem.Object] = *e.after.problem
	}
}

// put records a reading.
func (l *ledger) put(r reading) []edit {
	k := keyOf(r.ref)
	before := l.held[k]
	after := held{piece: r.piece, problem: r.problem}
	if r.stay {
		after.piece = before.piece
	}
	return l.set(k, before, after)
}

// drop records that an object is gone.
func (l *ledger) drop(k key) []edit { return l.set(k, l.held[k], held{}) }

func (l *ledger) set(k key, before, after held) []edit {
	if reflect.DeepEqual(before, after) {
		return nil
	}
	if after == (held{}) {
		delete(l.held, k)
	} else {
		l.held[k] = after
	}
	return []edit{{key: k, before: before, after: after}}
}

// replace records all readings that there are; what is not among them is gone.
func (l *ledger) replace(readings []reading) []edit {
	present := make(map[key]bool, len(readings))
	for i := range readings {
		present[keyOf(readings[i].ref)] = true
	}
	var edits []edit
	for k := range l.held {
		if !present[k] {
			edits = append(edits, l.drop(k)...)
		}
	}
	for _, r := range readings {
		edits = append(edits, l.put(r)...)
	}
	return edits
}

// interner lets equal strings share their memory. It forgets all when it is
// full, so that names that are long gone do not pile up.
type interner map[string]string

const mostInterned = 4096

func (in interner) of(s string) string {
	if known, ok := in[s]; ok {
		return known
	}
	if len(in) >= mostInterned {
		clear(in)
	}
	s = strings.Clone(s)
	in[s] = s
	return s
}

// labelSets lets pods with equal labels, as those of one ReplicaSet are, share
// one set that nobody edits. It forgets all when it is full.
type labelSets map[string]map[string]string

func (sets labelSets) of(labels map[string]string, names interner) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	id := fmt.Sprintf("%q", labels) // sorted by name
	if known, ok := sets[id]; ok {
		return known
	}
	if len(sets) >= mostInterned {
		clear(sets)
	}
	set := make(map[string]string, len(labels))
	for name, value := range labels {
		set[names.of(name)] = names.of(value)
	}
	sets[id] = set
	return set
}

// zoneSets lets endpoints that hints mean for the same zones share one list that
// nobody edits. It forgets all when it is full.
type zoneSets map[string][]string

func (sets zoneSets) of(zones []string) []string {
	id := strings.Join(zones, ",")
	if known, ok := sets[id]; ok {
		return known
	}
	if len(sets) >= mostInterned {
		clear(sets)
	}
	sets[id] = zones
	return zones
}
