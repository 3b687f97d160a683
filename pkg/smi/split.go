package smi

import (
	"fmt"

	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// DecodeTrafficSplit reads a TrafficSplit of any version.
//
// A weight may be a whole number, a decimal or a quantity ("500m"). Fields are
// read whatever the version: all versions are stored under one schema.
//
// An object that would send traffic where nobody asked for it, if it were read
// in part, is an error that names the field, with only Ref and Created read: a
// weight that is no weight (its share would fall to another backend) and a
// match that names nothing (fewer matches mean more traffic). Where the author
// left something out, the rest is kept and SplitInput.Problems tells it: a
// backend without service is dropped, one without weight has weight 0.
func DecodeTrafficSplit(object *unstructured.Unstructured) (mesh.SplitInput, error) {
	h, err := head(object, SplitGroup, TrafficSplit)
	split := mesh.SplitInput{Ref: h.ref, Created: h.created}
	if err != nil {
		return split, err
	}
	d := decoder{split: &split}
	if err := d.spec(object.Object["spec"]); err != nil {
		return mesh.SplitInput{Ref: h.ref, Created: h.created}, err
	}
	return split, nil
}

// decoder fills one SplitInput.
type decoder struct{ split *mesh.SplitInput }

// problem tells of a field that was left out.
func (d decoder) problem(format string, args ...any) {
	d.split.Problems = append(d.split.Problems, malformed(d.split.Ref, format, args...))
}

func (d decoder) spec(value any) error {
	spec, err := object("spec", value)
	if err != nil {
		return err
	}
	if d.split.Root, err = text("spec.service", spec["service"]); err != nil {
		return err
	}
	if err := d.backends(spec["backends"]); err != nil {
		return err
	}
	return d.matches(spec["matches"])
}

func (d decoder) backends(value any) error {
	list, err := list("spec.backends", value)
	if err != nil {
		return err
	}
	for i, item := range list {
		if err := d.backend(fmt.Sprintf("spec.backends[%d]", i), item); err != nil {
			return err
		}
	}
	return nil
}

func (d decoder) backend(path string, value any) error {
	backend, err := object(path, value)
	if err != nil {
		return err
	}
	weight, written := backend["weight"]
	written = written && weight != nil
	var thousandths int64
	if written {
		if thousandths, err = parseWeight(weight); err != nil {
			return fmt.Errorf("%s.weight: %w", path, err)
		}
	}
	if name := backend["service"]; name == nil || name == "" {
		d.problem("%s.service is missing; the backend is left out and its share goes to the others", path)
		return nil
	}
	name, err := text(path+".service", backend["service"])
	if err != nil {
		return err
	}
	if !written {
		d.problem("%s.weight is missing; the backend gets no traffic", path)
	}
	d.split.Backends = append(d.split.Backends, mesh.SplitBackend{Service: name, Weight: thousandths})
	return nil
}

// matches keeps what the split refers to, in its own namespace. APIVersion is
// the apiGroup as written, mostly none: a split names no version.
func (d decoder) matches(value any) error {
	list, err := list("spec.matches", value)
	if err != nil {
		return err
	}
	for i, item := range list {
		path := fmt.Sprintf("spec.matches[%d]", i)
		match, err := object(path, item)
		if err != nil {
			return err
		}
		ref := mesh.Ref{Namespace: d.split.Ref.Namespace}
		if ref.Kind, err = text(path+".kind", match["kind"]); err != nil {
			return err
		}
		if ref.Name, err = text(path+".name", match["name"]); err != nil {
			return err
		}
		ref.APIVersion, _ = match["apiGroup"].(string)
		d.split.Matches = append(d.split.Matches, ref)
	}
	return nil
}
