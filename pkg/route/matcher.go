package route

import (
	"slices"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// Request is what rules look at of an HTTP request. What it returns is read
// only, and until the next request.
type Request interface {
	// Method is the method as it was written.
	Method() []byte
	// Path is the path of the target as it was written: without the query,
	// "*" for the server as a whole.
	Path() []byte
	// Header returns the i-th field of a name in lower case, from 0 on, among
	// those that are passed on. "host" is the host that the request names,
	// wherever it stands.
	Header(name string, i int) (value []byte, ok bool)
}

// Matcher is a compiled mesh.RequestMatch.
type Matcher struct {
	path    *pattern // nil for any
	methods []string // nil for any
	headers []header
}

type header struct {
	name  string
	value *pattern
}

// matches tells whether the Matcher holds for a request whose path is in its
// plain form. Of a header that comes more than once each value must match: who
// reads the request may look at any of them.
func (m *Matcher) matches(r Request, path []byte) bool {
	if m.path != nil && (path == nil || !m.path.match(path)) {
		return false
	}
	if m.methods != nil {
		method := r.Method()
		if !slices.ContainsFunc(m.methods, func(s string) bool { return string(method) == s }) {
			return false
		}
	}
	for i := range m.headers {
		if !m.headers[i].matches(r) {
			return false
		}
	}
	return true
}

func (h *header) matches(r Request) bool {
	for i := 0; ; i++ {
		value, ok := r.Header(h.name, i)
		if !ok {
			return i > 0
		}
		if !h.value.match(value) {
			return false
		}
	}
}

// same tells whether two Matchers, perhaps of two Tables, were written alike.
func (m *Matcher) same(o *Matcher) bool {
	return m == o || (m.path == nil) == (o.path == nil) && (m.path == nil || m.path.text == o.path.text) &&
		slices.Equal(m.methods, o.methods) &&
		slices.EqualFunc(m.headers, o.headers, func(a, b header) bool { return a.name == b.name && a.value.text == b.value.text })
}

// anyOf returns the first Matcher that holds, nil for none.
func anyOf(matchers []*Matcher, r Request, path []byte) *Matcher {
	for _, m := range matchers {
		if m.matches(r, path) {
			return m
		}
	}
	return nil
}

// matcher compiles a match; nil for one that can never hold. A match that is
// shared is compiled once.
func (c *compilation) matcher(m *mesh.RequestMatch) *Matcher {
	if done, ok := c.matchers[m]; ok {
		return done
	}
	out := c.compileMatch(m)
	c.matchers[m] = out
	return out
}

func (c *compilation) compileMatch(m *mesh.RequestMatch) *Matcher {
	out := &Matcher{methods: m.Methods}
	if m.Path != "" {
		if out.path = c.expressions.compile(m.Path, false); out.path == nil {
			return nil
		}
	}
	for _, h := range m.Headers {
		value := c.expressions.compile(h.Value, true)
		if value == nil {
			return nil
		}
		out.headers = append(out.headers, header{name: h.Name, value: value})
	}
	return out
}

func (c *compilation) all(matches []*mesh.RequestMatch) []*Matcher {
	out := make([]*Matcher, 0, len(matches))
	for _, m := range matches {
		if compiled := c.matcher(m); compiled != nil {
			out = append(out, compiled)
		}
	}
	return out
}

// Reads says what the rules of a port look at.
type Reads struct {
	// Requests is true where they look at more than who calls.
	Requests bool
	// Paths is true where they look at paths.
	Paths bool
	// Headers are the fields they look at, in lower case, sorted.
	Headers []string
}

func (r *Reads) add(matchers []*Matcher) {
	for _, m := range matchers {
		r.Requests = true
		r.Paths = r.Paths || m.path != nil
		for _, h := range m.headers {
			if at, known := slices.BinarySearch(r.Headers, h.name); !known {
				r.Headers = slices.Insert(r.Headers, at, h.name)
			}
		}
	}
}

// join adds what others look at.
func (r *Reads) join(o *Reads) {
	r.Requests, r.Paths = r.Requests || o.Requests, r.Paths || o.Paths
	for _, name := range o.Headers {
		if at, known := slices.BinarySearch(r.Headers, name); !known {
			r.Headers = slices.Insert(r.Headers, at, name)
		}
	}
}
