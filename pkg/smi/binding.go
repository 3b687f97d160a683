package smi

import (
	"errors"
	"maps"
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// errBothSchemes follows the specification: the two exclude each other.
var errBothSchemes = errors.New("spec.schemes has a podLabelSelector and a serviceAccount, and only one of them can count")

// DecodeIdentityBinding reads an IdentityBinding. One that cannot be read, or
// says nothing, is an error that names the field, with only Ref read: it is
// nobody. A field that is not known cannot be read, for it may be a misspelt
// restriction.
func DecodeIdentityBinding(whole *unstructured.Unstructured) (mesh.BindingInput, error) {
	h, err := head(whole, AccessGroup, IdentityBinding)
	binding := mesh.BindingInput{Ref: h.ref}
	if err != nil {
		return binding, err
	}
	spec, err := object("spec", whole.Object["spec"])
	if err != nil {
		return binding, err
	}
	if err := only("spec", spec, "schemes"); err != nil {
		return binding, err
	}
	if err := schemes(&binding, spec["schemes"]); err != nil {
		return mesh.BindingInput{Ref: h.ref}, err
	}
	return binding, nil
}

func schemes(binding *mesh.BindingInput, value any) error {
	const path = "spec.schemes"
	fields, err := object(path, value)
	if err != nil {
		return err
	}
	if err := only(path, fields, "podLabelSelector", "spiffeIdentities", "serviceAccount"); err != nil {
		return err
	}
	if selector := fields["podLabelSelector"]; selector != nil {
		if binding.PodLabels, err = podLabels(path+".podLabelSelector", selector); err != nil {
			return err
		}
	}
	if binding.SPIFFE, err = texts(path+".spiffeIdentities", fields["spiffeIdentities"]); err != nil {
		return err
	}
	if binding.ServiceAccount, err = optional(path+".serviceAccount", fields["serviceAccount"]); err != nil {
		return err
	}
	switch {
	case binding.PodLabels != nil && binding.ServiceAccount != "":
		return errBothSchemes
	case binding.PodLabels == nil && binding.ServiceAccount == "" && binding.SPIFFE == nil:
		return wrong(path, value, "at least one scheme")
	}
	return nil
}

// podLabels reads the labels that a pod must have; none at all would be all
// pods by the rules of Kubernetes, which nobody is taken to mean.
func podLabels(path string, value any) (map[string]string, error) {
	selector, err := object(path, value)
	if err != nil {
		return nil, err
	}
	if err := only(path, selector, "matchLabels"); err != nil {
		return nil, err
	}
	path += ".matchLabels"
	fields, err := object(path, selector["matchLabels"])
	if err != nil {
		return nil, err
	}
	if len(fields) == 0 {
		return nil, wrong(path, fields, "at least one label")
	}
	labels := make(map[string]string, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		label, ok := fields[name].(string)
		if !ok {
			return nil, wrong(path+"."+shorten(name), fields[name], "a string")
		}
		labels[name] = label
	}
	return labels, nil
}
