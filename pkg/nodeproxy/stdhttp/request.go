package stdhttp

import (
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// request shows rules what they look at.
type request struct{ *http.Request }

// Method is the request's method.
func (r request) Method() []byte { return []byte(r.Request.Method) }

// Path is the path as the endpoint gets it, without the query.
func (r request) Path() []byte {
	if path, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(path, "/") || path == "*" {
		return []byte(path)
	}
	if path := r.URL.EscapedPath(); path != "" {
		return []byte(path)
	}
	return []byte("/")
}

// Header returns the i-th field of a name in lower case, among those that are
// passed on.
func (r request) Header(name string, i int) (value []byte, ok bool) {
	values := r.Request.Header[textproto.CanonicalMIMEHeaderKey(name)]
	switch {
	case name == "host":
		values = []string{r.Host}
	case name == "x-forwarded-for", httpguts.HeaderValuesContainsToken(r.Request.Header["Connection"], name):
		values = nil
	}
	if i >= len(values) {
		return nil, false
	}
	return []byte(values[i]), true
}
