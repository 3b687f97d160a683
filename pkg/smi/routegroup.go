package smi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/pkg/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// DecodeHTTPRouteGroup reads an HTTPRouteGroup of any version: matches at the
// top of the object or in its spec, and headers as a list of objects or as one.
//
// Matches are alternatives, so one that cannot be read is left out as a whole,
// with a problem that names the field: the group then stands for fewer
// requests, never for more. A match with a field that is not known cannot be
// read, for that field may be a misspelt condition. A group whose matches are
// no list is an error, with only Ref read.
func DecodeHTTPRouteGroup(object *unstructured.Unstructured) (mesh.RouteGroupInput, error) {
	h, err := head(object, SpecsGroup, HTTPRouteGroup)
	group := mesh.RouteGroupInput{Ref: h.ref}
	if err != nil {
		return group, err
	}
	path, body, err := body(object.Object, "matches")
	if err != nil {
		return group, err
	}
	if path != "" {
		if err := only(path, body, "matches"); err != nil {
			return group, err
		}
	}
	path = join(path, "matches")
	matches, err := list(path, body["matches"])
	if err != nil {
		return group, err
	}
	if len(matches) == 0 {
		group.Problems = append(group.Problems, malformed(h.ref, "%s is empty; the group stands for no request", path))
	}
	for i, item := range matches {
		match, err := requestMatch(index(path, i), item)
		if err != nil {
			group.Problems = append(group.Problems, malformed(h.ref, "%v; the match is left out", err))
			continue
		}
		group.Matches = append(group.Matches, match)
	}
	return group, nil
}

func requestMatch(path string, value any) (mesh.RequestMatch, error) {
	var match mesh.RequestMatch
	fields, err := object(path, value)
	if err != nil {
		return match, err
	}
	if err := only(path, fields, "name", "pathRegex", "methods", "headers"); err != nil {
		return match, err
	}
	if match.Name, err = text(path+".name", fields["name"]); err != nil {
		return match, err
	}
	if match.Path, err = optional(path+".pathRegex", fields["pathRegex"]); err != nil {
		return match, err
	}
	if match.Methods, err = methods(path+".methods", fields["methods"]); err != nil {
		return match, err
	}
	match.Headers, err = headers(path+".headers", fields["headers"])
	return match, err
}

// knownMethods are the methods that the specification lists beside "*".
const knownMethods = "GET HEAD PUT POST DELETE CONNECT OPTIONS TRACE PATCH"

// methods reads methods; none stands for any.
func methods(path string, value any) ([]string, error) {
	names, err := texts(path, value)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if name != "*" && !slices.Contains(strings.Fields(knownMethods), name) {
			return nil, wrong(index(path, i), name, "* or one of "+knownMethods)
		}
	}
	if slices.Contains(names, "*") {
		return nil, nil
	}
	return names, nil
}

// headers reads both forms that there are: the list of the CRDs, whose objects
// have one key each, and the object of the specification's text.
func headers(path string, value any) ([]mesh.HeaderMatch, error) {
	if fields, ok := value.(map[string]any); ok {
		return headerFields(path, fields)
	}
	items, err := list(path, value)
	if err != nil {
		return nil, wrong(path, value, "a list or an object")
	}
	var all []mesh.HeaderMatch
	for i, item := range items {
		path := index(path, i)
		fields, err := object(path, item)
		if err != nil {
			return nil, err
		}
		if len(fields) == 0 {
			return nil, fmt.Errorf("%s is empty", path)
		}
		some, err := headerFields(path, fields)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// headerFields are the headers of one object, by name.
func headerFields(path string, fields map[string]any) ([]mesh.HeaderMatch, error) {
	var out []mesh.HeaderMatch
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !token(name) {
			return nil, fmt.Errorf("%s has the name %q; want a header's name", path, shorten(name))
		}
		value, ok := fields[name].(string)
		if !ok {
			return nil, wrong(path+"."+shorten(name), fields[name], "a string")
		}
		out = append(out, mesh.HeaderMatch{Name: strings.ToLower(name), Value: value})
	}
	return out, nil
}

// token tells whether s may be a field name (RFC 9110, §5.6.2).
func token(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) < 0
}
