package http2

import (
	"bytes"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// asked is what the rules of a port look at, and what a request says of it. A
// port without rules asks for nothing, and nothing is kept.
type asked struct {
	any     bool
	names   []string // of fields, in lower case
	noted   []string // of further fields, for the access log
	method  []byte
	target  []byte
	fields  []askedField
	content []byte // of the fields
}

type askedField struct {
	name     string
	itself   bool // it has that name, and not one that is alike
	from, to int  // in content
}

// ask makes the next request keep what the rules of its route look at, and what
// is noted of it.
func (m *message) ask(r *upstream.Route, noted bool) {
	a := &m.asked
	a.any, a.names, a.noted = noted, nil, nil
	if noted {
		a.noted = telemetry.Noted()
	}
	if r != nil && r.Port.Reads.Requests {
		a.any, a.names = true, r.Port.Reads.Headers
	}
	a.method, a.target, a.fields, a.content = a.method[:0], a.target[:0], a.fields[:0], a.content[:0]
}

// take keeps the value of a pseudo-header.
func (a *asked) take(b []byte, f *hpack.Field) []byte {
	if a.any {
		b = append(b[:0], f.Value...)
	}
	return b
}

// header keeps a field that is asked for. What is not passed on as it came says
// nothing.
func (a *asked) header(f *hpack.Field) {
	if len(a.names)+len(a.noted) == 0 || f.Class == hpack.ForwardedFor || f.Class == hpack.Reserved || f.Class == hpack.Never {
		return
	}
	name, ok := a.wants(f.Name)
	if !ok {
		return
	}
	from := len(a.content)
	a.content = append(a.content, f.Value...)
	a.fields = append(a.fields, askedField{name: name, itself: string(f.Name) == name, from: from, to: len(a.content)})
}

// wants tells whether a field is asked for or noted, by its name or one alike.
func (a *asked) wants(field []byte) (name string, ok bool) {
	for _, names := range [][]string{a.names, a.noted} {
		for _, known := range names {
			if string(field) == known {
				return known, true
			}
			if !ok && alike(field, known) {
				name, ok = known, true
			}
		}
	}
	return name, ok
}

// alike tells whether two names are one where an underscore is a dash.
func alike[T []byte | string](a T, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && !(dash(a[i]) && dash(b[i])) {
			return false
		}
	}
	return true
}

func dash(c byte) bool { return c == '-' || c == '_' }

// Method is the request's method.
func (m *message) Method() []byte { return m.asked.method }

// Path is the path of the target as it came, without the query.
func (m *message) Path() []byte {
	path, _, _ := bytes.Cut(m.asked.target, question)
	return path
}

var question = []byte("?")

// Header returns the i-th field of a name that is asked for. "host" is the
// authority, or Host where there is none. A field that many servers cannot tell
// from it, x_user beside x-user, is one more of them; by itself it is none.
func (m *message) Header(name string, i int) (value []byte, ok bool) {
	if name == "host" && m.has(hpack.Authority) {
		return m.authority, i == 0
	}
	itself := false
	for _, f := range m.asked.fields {
		if !alike(f.name, name) {
			continue
		}
		itself = itself || f.itself && f.name == name
		if i == 0 {
			value, ok = m.asked.content[f.from:f.to], true
		}
		i--
	}
	return value, ok && itself
}
