package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// Explained is the answer of /api/explain.
type Explained struct {
	Generation uint64         `json:"generation"`
	To         mesh.Name      `json:"to"`
	Port       uint16         `json:"port"`
	Transport  mesh.Transport `json:"transport"`
	// HTTP is true where the call was taken for a request, not a connection.
	HTTP bool `json:"http"`
	upstream.Explanation
}

// explain answers what would become of a call. The query says which:
//
//	from     an address, or namespace/name of a pod or of a ServiceAccount that
//	         one runs as; empty for somebody who is no pod
//	to       namespace/name of a Service
//	port     of the Service; may be left out where it has one
//	host     of the request, where no header says it
//	method, path, header ("name: value", any number of times)
//	         the request; a port that is not known to speak HTTP is taken to be
//	         asked for a connection where they are missing
type explain struct {
	latest func() *control.Snapshot
	answer func(upstream.Question) (upstream.Explanation, bool)
}

// anyHost is the field that a request must have.
const anyHost = "host: any"

// CheckCall tells what is wrong with method, path and header of a question for
// /api/explain, beginning with the name and the value; nil where a proxy would
// take such a request, or none of them is given.
func CheckCall(query url.Values) error {
	method, path := http.MethodGet, "/"
	if q := query["method"]; len(q) > 0 {
		method = q[0]
	}
	if q := query["path"]; len(q) > 0 {
		path = q[0]
	}
	if readable(method+" / HTTP/1.1", anyHost) != nil {
		return fmt.Errorf("method=%s: takes a token (RFC 9110 §5.6.2) such as GET, but neither CONNECT nor TRACE", method)
	}
	err := readable(method+" "+path+" HTTP/1.1", anyHost)
	if err == nil && !strings.HasPrefix(path, "/") && path != "*" { // an absolute one would name another host
		err = wire.ErrTarget
	}
	if err != nil {
		return fmt.Errorf("path=%s: takes a path that begins with /, escaped as it is sent (RFC 9112 §3.2.1): %w", path, err)
	}
	for _, h := range query["header"] {
		lines := []string{"GET / HTTP/1.1", h}
		if name, _, _ := strings.Cut(h, ":"); !strings.EqualFold(name, "host") {
			lines = append(lines, anyHost)
		}
		if err := readable(lines...); err != nil {
			return fmt.Errorf("header=%s: takes a token, a colon and a value (RFC 9112 §5), such as 'accept: text/html': %w", h, err)
		}
	}
	return nil
}

// readable has the proxies' own parser read the head of a request, whose lines
// must each be one.
func readable(lines ...string) error {
	for _, line := range lines {
		if line == "" || strings.ContainsAny(line, "\r\n") {
			return wire.ErrLineEnd
		}
	}
	_, err := new(wire.Request).Parse([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n"))
	return err
}

// ServeHTTP answers 404 for who or what is not known, 400 for what makes no sense.
func (h explain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.latest()
	if s == nil {
		http.Error(w, noTable, http.StatusServiceUnavailable)
		return
	}
	query := r.URL.Query()
	var to mesh.Name
	_ = to.UnmarshalText([]byte(query.Get("to"))) // what is no name is not meshed
	from, err := source(s.Mesh, query.Get("from"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	service := find(s.Mesh, to)
	if service == nil {
		http.Error(w, notMeshed(s.Mesh, to), http.StatusNotFound)
		return
	}
	if err := CheckCall(query); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	port, err := portOf(service, query.Get("port"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	q := upstream.Question{From: from, To: to, Port: port.Number, Transport: port.Transport}
	if q.Request, err = asked(port, query); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	explanation, ok := h.answer(q)
	if !ok {
		http.Error(w, fmt.Sprintf("port %d of %s has no listening address", port.Number, to), http.StatusNotFound)
		return
	}
	writeJSON(w, Explained{
		Generation: s.Generation, To: to, Port: port.Number, Transport: port.Transport, HTTP: q.Request != nil, Explanation: explanation,
	})
}

// source is the address of a caller.
func source(m *mesh.Mesh, from string) (netip.Addr, error) {
	if address, err := netip.ParseAddr(from); err == nil || from == "" {
		return address, nil
	}
	var name mesh.Name
	_ = name.UnmarshalText([]byte(from)) // what is no name is not found
	at, found := slices.BinarySearchFunc(m.Workloads, name, func(w *mesh.Workload, n mesh.Name) int { return w.Name.Compare(n) })
	if !found {
		at = slices.IndexFunc(m.Workloads, func(w *mesh.Workload) bool {
			return w.Name.Namespace == name.Namespace && w.ServiceAccount == name.Name
		})
	}
	if at < 0 {
		return netip.Addr{}, fmt.Errorf("%s is neither a live pod nor a service account that one runs as; it may be an address, too", from)
	}
	return m.Workloads[at].IPs[0], nil
}

// find returns a meshed Service, nil where there is none of the name.
func find(m *mesh.Mesh, name mesh.Name) *mesh.Service {
	at, found := slices.BinarySearchFunc(m.Services, name, func(s *mesh.Service, n mesh.Name) int { return s.Name.Compare(n) })
	if !found {
		return nil
	}
	return m.Services[at]
}

// portOf finds a port by its number, or the only one.
func portOf(s *mesh.Service, number string) (*mesh.Port, error) {
	var has []string
	for _, p := range s.Ports {
		own := strconv.Itoa(int(p.Number))
		if own == number || number == "" && len(s.Ports) == 1 {
			return p, nil
		}
		has = append(has, own)
	}
	if number == "" {
		return nil, fmt.Errorf("which port of %s? It has %s", s.Name, strings.Join(has, ", "))
	}
	return nil, fmt.Errorf("%s has no port %s; it has %s", s.Name, number, strings.Join(has, ", "))
}

// asked is the request that is meant by a query that CheckCall took, nil for a
// connection.
func asked(port *mesh.Port, query url.Values) (*upstream.Asked, error) {
	method, path, headers := query["method"], query["path"], query["header"]
	said := len(method)+len(path)+len(headers) > 0
	if port.Transport == mesh.UDP || port.Protocol == mesh.Opaque {
		if said {
			return nil, fmt.Errorf("port %d carries no HTTP: neither method, path nor header have a meaning", port.Number)
		}
		return nil, nil
	}
	if port.Protocol == mesh.Detect && !said {
		return nil, nil
	}
	out := &upstream.Asked{Verb: http.MethodGet, Target: "/"}
	if len(method) > 0 {
		out.Verb = method[0]
	}
	if len(path) > 0 {
		out.Target = path[0]
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		out.Fields = append(out.Fields, upstream.Field{Name: strings.ToLower(name), Value: strings.TrimSpace(value)})
	}
	if _, ok := out.Header("host", 0); !ok {
		out.Fields = append(out.Fields, upstream.Field{Name: "host", Value: query.Get("host")})
	}
	return out, nil
}
