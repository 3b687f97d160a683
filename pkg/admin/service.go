package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// Service is the answer of /api/services/{namespace}/{name}: all that this
// process knows of one Service.
type Service struct {
	Generation uint64        `json:"generation"`
	Built      time.Time     `json:"built"`
	Service    *mesh.Service `json:"service"`
	// Endpoints are those that its ports and routes name, each once, by address.
	Endpoints []Endpoint `json:"endpoints"`
	// Access is who may call those endpoints, by service account; endpoints that
	// are no pods go by the Service's own mode.
	Access []Access `json:"access,omitempty"`
	// Problems are those of the objects of its namespace: a route that could not
	// be put on the Service is not to be found otherwise.
	Problems []mesh.Problem `json:"problems"`
}

// Endpoint is one endpoint with the pod that holds its address, if one does.
type Endpoint struct {
	upstream.State
	Pod            string     `json:"pod,omitempty"`
	ServiceAccount string     `json:"serviceAccount,omitempty"`
	Node           string     `json:"node,omitempty"`
	Zone           string     `json:"zone,omitempty"`
	Since          *time.Time `json:"since,omitempty"` // when the pod was made
}

// Access is who may call the endpoints that run as one service account.
type Access struct {
	Account mesh.Name       `json:"account"`
	Mode    mesh.AccessMode `json:"mode"`
	Grants  []*mesh.Grant   `json:"grants,omitempty"` // those that name the account, or a binding that an endpoint is in
}

// services serves one Service.
type services struct {
	latest   func() *control.Snapshot
	states   func([]netip.AddrPort) []upstream.State
	problems func() []mesh.Problem
}

// ServeHTTP answers 404 with what the namespace has for a Service that is not meshed.
func (h services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.latest()
	if s == nil {
		http.Error(w, noTable, http.StatusServiceUnavailable)
		return
	}
	name := mesh.Name{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	service := find(s.Mesh, name)
	if service == nil {
		http.Error(w, notMeshed(s.Mesh, name), http.StatusNotFound)
		return
	}
	endpoints := map[netip.AddrPort]mesh.Endpoint{}
	for _, port := range service.Ports {
		collect(endpoints, port.Endpoints)
		for _, route := range port.Routes {
			for _, b := range route.Backends {
				collect(endpoints, b.Endpoints)
			}
		}
	}
	writeJSON(w, Service{
		Generation: s.Generation, Built: s.Built, Service: service, Endpoints: h.endpoints(endpoints), Access: accessOf(s.Mesh, endpoints),
		Problems: slices.DeleteFunc(append([]mesh.Problem{}, h.problems()...), func(p mesh.Problem) bool { return p.Object.Namespace != name.Namespace }),
	})
}

func collect(into map[netip.AddrPort]mesh.Endpoint, from []mesh.Endpoint) {
	for _, e := range from {
		into[e.Address] = e
	}
}

// endpoints joins endpoints with what the proxy has seen of them.
func (h services) endpoints(of map[netip.AddrPort]mesh.Endpoint) []Endpoint {
	addresses := make([]netip.AddrPort, 0, len(of))
	for address := range of {
		addresses = append(addresses, address)
	}
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	out := make([]Endpoint, len(addresses))
	for i, state := range h.states(addresses) {
		e := of[state.Address]
		out[i] = Endpoint{State: state, Node: e.Node, Zone: e.Zone}
		if w := e.Workload; w != nil {
			out[i].Pod, out[i].ServiceAccount, out[i].Since = w.Name.Name, w.ServiceAccount, &w.Created
		}
	}
	return out
}

// accessOf says who may call endpoints.
func accessOf(m *mesh.Mesh, endpoints map[netip.AddrPort]mesh.Endpoint) (out []Access) {
	means := map[mesh.Name]map[mesh.Principal]bool{}
	for _, e := range endpoints {
		w := e.Workload
		if w == nil {
			continue
		}
		account := mesh.Name{Namespace: w.Name.Namespace, Name: w.ServiceAccount}
		if means[account] == nil {
			means[account] = map[mesh.Principal]bool{}
			out = append(out, Access{Account: account, Mode: w.Access})
		}
		for _, p := range w.Principals() {
			means[account][p] = true
		}
	}
	slices.SortFunc(out, func(a, b Access) int { return a.Account.Compare(b.Account) })
	for i := range out {
		for _, g := range m.Access.Grants {
			if means[out[i].Account][g.Destination] {
				out[i].Grants = append(out[i].Grants, g)
			}
		}
	}
	return out
}

// notMeshed says what is wrong with the Service, or what could have been meant.
func notMeshed(m *mesh.Mesh, name mesh.Name) string {
	var wrong []string
	for _, p := range m.Problems {
		if p.Object.Kind == "Service" && p.Object.Namespace == name.Namespace && p.Object.Name == name.Name {
			wrong = append(wrong, fmt.Sprintf("Service %s is not meshed: %s: %s", name, p.Reason, p.Message))
		}
	}
	if len(wrong) > 0 {
		return strings.Join(wrong, "\n")
	}
	var others []string
	for _, s := range m.Services {
		if s.Name.Namespace == name.Namespace {
			others = append(others, s.Name.Name)
		}
	}
	const most = 10
	switch {
	case len(others) == 0:
		return fmt.Sprintf("no Service %s is meshed, nor any other of namespace %s", name, name.Namespace)
	case len(others) > most:
		others = append(others[:most], "…")
	}
	return fmt.Sprintf("no Service %s is meshed; namespace %s has %s", name, name.Namespace, strings.Join(others, ", "))
}
