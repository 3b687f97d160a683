package kube

import (
	"fmt"

	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// store is what a reflector fills: it trims each object at once, so that nobody
// holds the whole, and tells what differs. All its methods are called by the
// goroutine of its feed.
type store struct {
	group, kind string
	trimmer     *trimmer
	ledger      *ledger
	status      *status
	emit        func(mesh.Change)
	heed        func(edits []edit, first bool) // is told each difference; nil for nobody
	first       func()                         // called once, after the first list was told
	listed      bool
}

// Transformer has the reflector trim objects while a list still streams in.
func (s *store) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return s.read(object) }
}

func (s *store) read(object any) (reading, error) {
	switch o := object.(type) {
	case reading:
		return o, nil
	case metav1.Object:
		return s.trimmer.read(o), nil
	}
	return reading{}, fmt.Errorf("%T is no object of the API", object)
}

func (s *store) tell(edits []edit) {
	if s.heed != nil {
		s.heed(edits, !s.listed)
	}
	if apply := change(edits); apply != nil {
		s.emit(mesh.Change{Apply: apply})
	}
}

// Add records an object that appeared or changed.
func (s *store) Add(object any) error {
	r, err := s.read(object)
	if err == nil {
		s.tell(s.ledger.put(r))
	}
	return err
}

// Update records an object that changed.
func (s *store) Update(object any) error { return s.Add(object) }

// Delete records that an object is gone. Of one that vanished unseen
// (cache.DeletedFinalStateUnknown) only the name counts.
func (s *store) Delete(object any) error {
	k := key{group: s.group, kind: s.kind}
	if unseen, ok := object.(cache.DeletedFinalStateUnknown); ok {
		namespace, name, err := cache.SplitMetaNamespaceKey(unseen.Key)
		if err != nil {
			return err
		}
		k.name = mesh.Name{Namespace: namespace, Name: name}
	} else {
		o, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		k.name = mesh.Name{Namespace: o.GetNamespace(), Name: o.GetName()}
	}
	s.tell(s.ledger.drop(k))
	return nil
}

// Replace records a full list.
func (s *store) Replace(objects []any, _ string) error {
	readings := make([]reading, len(objects))
	for i, object := range objects {
		var err error
		if readings[i], err = s.read(object); err != nil {
			return err
		}
	}
	s.tell(s.ledger.replace(readings))
	s.status.list()
	if !s.listed {
		s.listed = true
		s.first()
	}
	return nil
}

// clear records that there are none.
func (s *store) clear() {
	// An empty list has nothing in it that Replace could refuse.
	_ = s.Replace(nil, "")
}

// Resync does nothing: what was told stands.
func (s *store) Resync() error { return nil }

// UpdateResourceVersion is how the reflector tells of every event and bookmark.
func (s *store) UpdateResourceVersion(string) { s.status.well() }
