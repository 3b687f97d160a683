// Package annotations reads the annotations of Services and Namespaces: it
// decodes the traffic policies among them, by paerser, into mesh.Policies, and
// puts the annotations of Traefik Mesh into Weft's words.
//
//	policies := annotations.Policies(ref, service.Annotations)
//	input.Annotations = annotations.Own(service.Annotations)
//
// The annotation weft.mesh/retry-attempts is the field RetryAttempts of
// mesh.Policy; weft.mesh/retry-attempts.8080 and weft.mesh/retry-attempts.http
// hold for one port. A value that is not taken is a problem and leaves that one
// policy as it was.
package annotations

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/traefik/paerser/parser"
	"github.com/weft-mesh/weft/pkg/mesh"
)

// Prefix begins the annotations that Weft reads.
const Prefix = "weft.mesh/"

// Own returns the annotations that Weft reads, with those of Traefik Mesh
// in Weft's words where Weft's own do not say the same; nil for none.
func Own(all map[string]string) map[string]string {
	out := translated(all)
	for name, value := range all {
		if strings.HasPrefix(name, Prefix) {
			out[name] = value
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Policies decodes what annotations say of traffic policies. ref is the object
// that has them.
func Policies(ref mesh.Ref, all map[string]string) mesh.Policies {
	own := Own(all)
	d := decoder{ref: ref, fields: fields(), all: all}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		d.annotation(strings.TrimPrefix(name, Prefix), own[name])
	}
	d.refuseForeign()
	return d.out
}

// Name is the annotation, without its prefix, of a field of mesh.Policy:
// RetryAttempts is retry-attempts, TLSCaSecret tls-ca-secret.
func Name(field string) string {
	var b strings.Builder
	digit := false
	for i, r := range field {
		begins := unicode.IsUpper(r) && !(i > 0 && unicode.IsUpper(rune(field[i-1])) && i+1 < len(field) && unicode.IsUpper(rune(field[i+1])))
		if i > 0 && (begins || unicode.IsDigit(r) && !digit) {
			b.WriteByte('-')
		}
		digit = unicode.IsDigit(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// fields are the indices of mesh.Policy's fields by annotation.
func fields() map[string]int {
	out := map[string]int{}
	t := reflect.TypeFor[mesh.Policy]()
	for i := range t.NumField() {
		out[Name(t.Field(i).Name)] = i
	}
	return out
}

// others are the annotations of Weft that are no policies, and the kind of
// object that each is read of.
func others() map[string]string {
	return map[string]string{"protocol": "Service", "access": "Namespace", "guard": "Namespace", "guard-allow": "Namespace"}
}

// decoder is the scratch of one decoding.
type decoder struct {
	ref    mesh.Ref
	fields map[string]int
	all    map[string]string // as they were written
	out    mesh.Policies
}

func (d *decoder) problem(format string, args ...any) {
	d.out.Problems = append(d.out.Problems, mesh.Problem{Object: d.ref, Reason: mesh.BadAnnotation, Message: fmt.Sprintf(format, args...)})
}

// annotation decodes one, whose prefix is off.
func (d *decoder) annotation(full, value string) {
	name, port, ofPort := strings.Cut(full, ".")
	index, known := d.fields[name]
	if !known {
		d.other(name, full)
		return
	}
	var into mesh.PolicyInput
	switch {
	case ofPort:
		into = d.out.Ports[port]
	case d.out.All != nil:
		into = *d.out.All
	}
	if err := set(&into, index, value); err != nil {
		d.problem("%s is %q; %v; this policy stays at its default", d.written(full), value, err)
		return
	}
	into.Said = append(into.Said, d.written(full))
	if !ofPort {
		d.out.All = &into
		return
	}
	if d.out.Ports == nil {
		d.out.Ports = map[string]mesh.PolicyInput{}
	}
	d.out.Ports[port] = into
}

// other tells where an annotation that is no policy takes no effect.
func (d *decoder) other(name, full string) {
	switch kind, known := others()[name]; {
	case !known:
		d.problem("%s%s is not an annotation of Weft; it takes no effect", Prefix, full)
	case kind != d.ref.Kind:
		d.problem("%s takes effect on a %s only, not on a %s", d.written(full), kind, d.ref.Kind)
	case full != name:
		d.problem("%s%s takes no effect: %s%s is for all ports", Prefix, full, Prefix, name)
	}
}

// set decodes a value into one field.
func set(into *mesh.PolicyInput, index int, value string) error {
	field := reflect.TypeFor[mesh.Policy]().Field(index)
	var one mesh.Policy
	if err := parser.Decode(map[string]string{"weft." + field.Name: value}, &one, "weft"); err != nil {
		return fmt.Errorf("it takes %s", takes(field.Type))
	}
	if err := check(field.Name, &one); err != nil {
		return err
	}
	reflect.ValueOf(&into.Policy).Elem().Field(index).Set(reflect.ValueOf(one).Field(index))
	into.Set = append(into.Set, index)
	return nil
}

// takes says in words what a field takes.
func takes(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 250ms, 5s or 1m"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	}
	return "text"
}
