package main

import (
	"fmt"
	"reflect"

	"github.com/weft-mesh/weft/pkg/annotations"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// policyLines writes what of a policy differs from the defaults, as one would
// annotate it.
func policyLines(p *mesh.Policy) (out []string) {
	if p == nil {
		return nil
	}
	value, usual := reflect.ValueOf(*p), reflect.ValueOf(mesh.DefaultPolicy())
	for i := range value.NumField() {
		is := value.Field(i).Interface()
		if !reflect.DeepEqual(is, usual.Field(i).Interface()) {
			out = append(out, fmt.Sprintf("%s: %v", annotations.Name(value.Type().Field(i).Name), is))
		}
	}
	return out
}
