package explain

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/pkg/mesh"
)

// The addresses of the test's range: pods, where Services are listened for, and
// one that is no pod's.
const (
	pods       = 6
	firstMesh  = 100
	podPort    = 9000
	meshPort   = 8080
	noPod      = 50
	namespaces = 2
)

// world makes random meshes over fixed pods.
type world struct {
	*rand.Rand
	base [3]byte // of the range
}

func (w *world) address(last int) netip.Addr {
	return netip.AddrFrom4([4]byte{w.base[0], w.base[1], w.base[2], byte(last)})
}

func namespace(i int) string { return []string{"shop", "lobby"}[i%namespaces] }

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

// some returns each of several with an even chance.
func some[T any](w *world, from ...T) (out []T) {
	for _, one := range from {
		if w.IntN(2) == 0 {
			out = append(out, one)
		}
	}
	return out
}

func (w *world) service() string { return pick(w, "a", "b", "c") }

// inputs are those of a random mesh.
func (w *world) inputs() *mesh.Inputs {
	in := mesh.NewInputs()
	for i := range pods {
		name := mesh.Name{Namespace: namespace(i), Name: fmt.Sprint("pod", i)}
		in.Pods[name] = mesh.PodInput{IPs: []netip.Addr{w.address(i + 1)}, ServiceAccount: pick(w, "red", "blue"), OwnerKind: "Pod", OwnerName: name.Name, Created: time.Unix(int64(i), 0)}
	}
	for i := range namespaces {
		ns := namespace(i)
		in.Namespaces[ns] = mesh.NamespaceInput{
			Ref:         mesh.Ref{Kind: "Namespace", Name: ns},
			Annotations: map[string]string{mesh.AnnotationAccess: pick(w, "off", "audit", "enforce", "enforce", "slip")},
		}
		for j, service := range []string{"a", "b", "c"} {
			w.meshed(in, mesh.Name{Namespace: ns, Name: service}, firstMesh+3*i+j)
		}
		for j := range 2 {
			w.rules(in, ns, fmt.Sprint("group", j), fmt.Sprint("ports", j))
		}
		for j := range 3 {
			w.split(in, ns, fmt.Sprint("split", j))
			w.target(in, ns, fmt.Sprint("target", j))
		}
	}
	return in
}

func (w *world) meshed(in *mesh.Inputs, name mesh.Name, last int) {
	in.Services[name] = mesh.ServiceInput{
		Ref:   mesh.Ref{Kind: "Service", Namespace: name.Namespace, Name: name.Name},
		Ports: []mesh.ServicePort{{Name: "http", Number: 80}}, Affinity: w.IntN(4) == 0,
	}
	slice := mesh.SliceInput{Service: name, Ports: []mesh.SlicePort{{Name: "http", Number: podPort}}}
	for i := range pods {
		if namespace(i) == name.Namespace && w.IntN(3) > 0 {
			slice.Endpoints = append(slice.Endpoints, mesh.SliceEndpoint{Address: w.address(i + 1), Ready: true, Serving: true, Pod: fmt.Sprint("pod", i)})
		}
	}
	in.Slices[name] = slice
	in.Frontends[name] = mesh.Frontend{
		Addresses: []netip.Addr{w.address(last)},
		Ports:     []mesh.FrontendPort{{Number: 80, Listen: netip.AddrPortFrom(w.address(last), meshPort)}},
	}
}

func (w *world) rules(in *mesh.Inputs, ns, group, ports string) {
	g := mesh.RouteGroupInput{Ref: mesh.Ref{Kind: "HTTPRouteGroup", Namespace: ns, Name: group}}
	for i := range 1 + w.IntN(2) {
		g.Matches = append(g.Matches, mesh.RequestMatch{
			Name: fmt.Sprint("m", i), Path: pick(w, "", "/admin", "/admin/.*", "/a?", ".*", "(", "/[a-z]+$"),
			Methods: some(w, "GET", "POST"),
			Headers: pick(w, nil, []mesh.HeaderMatch{{Name: "x", Value: pick(w, "1", "[0-9]", ".*")}}),
		})
	}
	in.RouteGroups[mesh.Name{Namespace: ns, Name: group}] = g
	in.TCPRoutes[mesh.Name{Namespace: ns, Name: ports}] = mesh.PortRouteInput{
		Ref: mesh.Ref{Kind: "TCPRoute", Namespace: ns, Name: ports}, Ports: some[uint16](w, 80, podPort, 1),
	}
}

func (w *world) split(in *mesh.Inputs, ns, name string) {
	s := mesh.SplitInput{Ref: mesh.Ref{Kind: "TrafficSplit", Namespace: ns, Name: name}, Created: time.Unix(int64(w.IntN(3)), 0), Root: w.service()}
	for _, service := range some(w, "a", "b", "c", "gone") {
		s.Backends = append(s.Backends, mesh.SplitBackend{Service: service, Weight: int64(w.IntN(3)) * 1000})
	}
	for _, group := range some(w, "group0", "group1") {
		s.Matches = append(s.Matches, mesh.Ref{Kind: "HTTPRouteGroup", Namespace: ns, Name: group})
	}
	in.Splits[mesh.Name{Namespace: ns, Name: name}] = s
}

func (w *world) target(in *mesh.Inputs, ns, name string) {
	t := mesh.TargetInput{
		Ref: mesh.Ref{Kind: "TrafficTarget", Namespace: ns, Name: name}, Port: pick[uint16](w, 0, 0, 80, podPort, 1),
		Destination: mesh.Subject{Kind: "ServiceAccount", Namespace: pick(w, ns, ns, ""), Name: pick(w, "red", "blue")},
	}
	for _, account := range some(w, "red", "blue") {
		t.Sources = append(t.Sources, mesh.Subject{Kind: "ServiceAccount", Namespace: pick(w, "shop", "lobby"), Name: account})
	}
	t.Rules = some(w,
		mesh.TargetRule{Kind: "HTTPRouteGroup", Name: "group0", Matches: pick(w, nil, []string{"m0"}, []string{"m1"})},
		mesh.TargetRule{Kind: "HTTPRouteGroup", Name: "group1"},
		mesh.TargetRule{Kind: "TCPRoute", Name: "ports0"})
	in.Targets[mesh.Name{Namespace: ns, Name: name}] = t
}

// call is one request.
type call struct {
	from         int // the last byte of the address
	to           mesh.Name
	method, path string
	x            string // a header; empty for none
}

func (w *world) call() call {
	c := call{from: 1 + w.IntN(pods), to: mesh.Name{Namespace: namespace(w.IntN(namespaces)), Name: w.service()}}
	if w.IntN(200) == 0 {
		c.from = noPod // rarely: in enforce a caller that nobody knows is waited for
	}
	c.method = pick(w, "GET", "GET", "POST", "DELETE")
	c.path = pick(w, "/", "/a", "/admin", "/admin/x", "/%61dmin", "/a/../admin", "//admin", "/a%2fb", "/a%5cb", "/Admin?x=/a")
	c.x = pick(w, "", "1", "7", "seven")
	return c
}
