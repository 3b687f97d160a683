package smi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// longest is how much of a value an error repeats, in bytes.
const longest = 64

// identity is who an object is.
type identity struct {
	ref     mesh.Ref
	created time.Time
}

// head reads who an object is. It is an error if it is none of the kind, in a
// version that Weft reads.
func head(object *unstructured.Unstructured, group, kind string) (identity, error) {
	if object == nil || object.Object == nil {
		return identity{}, errors.New("the object is empty")
	}
	h := identity{
		ref: mesh.Ref{
			APIVersion: object.GetAPIVersion(), Kind: object.GetKind(),
			Namespace: object.GetNamespace(), Name: object.GetName(), UID: string(object.GetUID()),
		},
		created: object.GetCreationTimestamp().UTC(),
	}
	known, _ := Lookup(group, kind)
	is := object.GroupVersionKind()
	if is.Group != group || is.Kind != kind || !slices.Contains(known.Versions, is.Version) {
		return h, fmt.Errorf("apiVersion %q, kind %q: want a %s of %s in a version of %v",
			shorten(h.ref.APIVersion), shorten(h.ref.Kind), kind, group, known.Versions)
	}
	return h, nil
}

// malformed is the problem of a part of an object that was left out.
func malformed(ref mesh.Ref, format string, args ...any) mesh.Problem {
	return mesh.Problem{Object: ref, Reason: mesh.Malformed, Message: fmt.Sprintf(format, args...)}
}

// body finds the object that holds an object's fields, and its path: spec or,
// where one of the fields stands at the top as the first versions have it, the
// whole. Either shape may come under any version, for an API server that
// converts between versions only changes the apiVersion. Both at once are an
// error, for it is not clear which of them counts.
func body(whole map[string]any, fields ...string) (path string, body map[string]any, err error) {
	atTop := slices.IndexFunc(fields, func(f string) bool { return whole[f] != nil })
	if whole["spec"] == nil {
		if atTop >= 0 {
			return "", whole, nil
		}
		return "spec", nil, nil
	}
	if body, err = object("spec", whole["spec"]); err != nil {
		return "", nil, err
	}
	if atTop < 0 {
		return "spec", body, nil
	}
	if len(body) > 0 {
		return "", nil, fmt.Errorf("spec and %s are both there, and only one of them can count", fields[atTop])
	}
	return "", whole, nil
}

// join is the path of a field of the object at path.
func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// index is the path of an item of the list at path.
func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// only is an error if the object at path has another field than these. To pass
// over a field that was meant to restrict, perhaps misspelt, would widen what
// the object stands for.
func only(path string, object map[string]any, fields ...string) error {
	for _, field := range slices.Sorted(maps.Keys(object)) {
		if object[field] != nil && !slices.Contains(fields, field) {
			return fmt.Errorf("%s is not known; want only %v here", join(path, shorten(field)), fields)
		}
	}
	return nil
}

// port reads the field at path as a port number.
func port(path string, value any) (uint16, error) {
	number := int64(0)
	switch n := value.(type) {
	case int64:
		number = n
	case float64:
		if n >= 1 && n <= 65535 && n == float64(int64(n)) {
			number = int64(n)
		}
	}
	if number < 1 || number > 65535 {
		return 0, wrong(path, value, "a port, a number from 1 to 65535")
	}
	return uint16(number), nil
}

// texts reads the field at path as a list of strings that are not empty.
func texts(path string, value any) ([]string, error) {
	items, err := list(path, value)
	if err != nil || len(items) == 0 {
		return nil, err
	}
	out := make([]string, len(items))
	for i, item := range items {
		if out[i], err = text(index(path, i), item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// object reads the field at path as an object.
func object(path string, value any) (map[string]any, error) {
	if m, ok := value.(map[string]any); ok && m != nil {
		return m, nil
	}
	return nil, wrong(path, value, "an object")
}

// list reads the field at path as a list; absent and null are the empty list.
func list(path string, value any) ([]any, error) {
	if value == nil {
		return nil, nil
	}
	if l, ok := value.([]any); ok {
		return l, nil
	}
	return nil, wrong(path, value, "a list")
}

// text reads the field at path as a string that is not empty.
func text(path string, value any) (string, error) {
	switch s, ok := value.(string); {
	case !ok:
		return "", wrong(path, value, "a string")
	case s == "":
		return "", fmt.Errorf("%s is empty", path)
	default:
		return s, nil
	}
}

// optional reads the field at path as a string; absent and null are "".
func optional(path string, value any) (string, error) {
	if value == nil {
		return "", nil
	}
	if s, ok := value.(string); ok {
		return s, nil
	}
	return "", wrong(path, value, "a string")
}

// wrong says what stands at path instead of what is wanted.
func wrong(path string, value any, want string) error {
	if value == nil {
		return fmt.Errorf("%s is missing; want %s", path, want)
	}
	return fmt.Errorf("%s is %s; want %s", path, describe(value), want)
}

// describe shows a scalar as it is and says only the type of anything else.
func describe(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("%q", shorten(v))
	default:
		return shorten(fmt.Sprint(v))
	}
}

// shorten keeps an author's typing error from flooding a message.
func shorten(s string) string {
	if len(s) > longest {
		return s[:longest] + "…"
	}
	return s
}
