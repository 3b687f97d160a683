package upstream

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/route"
)

// lot draws objects of access by a seed.
type lot struct{ *rand.Rand }

func pick[T any](l lot, from ...T) T { return from[l.IntN(len(from))] }

func (l lot) some(names ...string) (out []string) {
	for _, n := range names {
		if l.IntN(2) == 0 {
			out = append(out, n)
		}
	}
	return out
}

func ref(kind, name string) mesh.Ref {
	return mesh.Ref{Kind: kind, Namespace: "shop", Name: name}
}

func inShop(name string) mesh.Name { return mesh.Name{Namespace: "shop", Name: name} }

// inputs are a Service of each transport with pods of two accounts, in enforce,
// and rules that were drawn.
func (l lot) inputs() *mesh.Inputs {
	in := mesh.NewInputs()
	in.Access.Mode = mesh.AccessEnforce
	for i, name := range []string{"web", "other", "orders", "stock"} {
		in.Pods[inShop(name)] = mesh.PodInput{
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, byte(i)})}, ServiceAccount: name, Labels: map[string]string{"app": name},
		}
	}
	for _, transport := range []mesh.Transport{mesh.TCP, mesh.UDP} {
		name := inShop(transport.String())
		in.Services[name] = mesh.ServiceInput{Ref: ref("Service", name.Name), Ports: []mesh.ServicePort{{Number: 80, Transport: transport}}}
		in.Frontends[name] = mesh.Frontend{Ports: []mesh.FrontendPort{{Number: 80, Transport: transport, Listen: listen.Listen}}}
		in.Slices[name] = mesh.SliceInput{Service: name, Ports: []mesh.SlicePort{{Number: 8080, Transport: transport}}}
	}
	l.rules(in)
	for i := range 1 + l.IntN(4) {
		name := fmt.Sprint("target-", i)
		in.Targets[inShop(name)] = l.target(name)
	}
	return in
}

func (l lot) rules(in *mesh.Inputs) {
	for _, name := range []string{"a", "b"} {
		group := mesh.RouteGroupInput{Ref: ref("HTTPRouteGroup", name)}
		for _, match := range l.some("x", "y", "z") {
			group.Matches = append(group.Matches, mesh.RequestMatch{
				Name: match, Path: pick(l, "", "/a", "/a/.*", "/b$", "/[ab]", "("), Methods: l.some("GET", "PUT"),
				Headers: pick(l, nil, []mesh.HeaderMatch{{Name: "x-user", Value: pick(l, "anne", "a.*", "[")}}),
			})
		}
		in.RouteGroups[inShop(name)] = group
		in.TCPRoutes[inShop(name)] = mesh.PortRouteInput{Ref: ref("TCPRoute", name), Ports: pick(l, nil, []uint16{80}, []uint16{8080, 1}, []uint16{1})}
		in.UDPRoutes[inShop(name)] = mesh.PortRouteInput{Ref: ref("UDPRoute", name), Ports: pick(l, nil, []uint16{80}, []uint16{1})}
		in.Bindings[inShop(name)] = mesh.BindingInput{Ref: ref("IdentityBinding", name), ServiceAccount: pick(l, "", "web", "orders"), PodLabels: pick(l, nil, map[string]string{"app": "other"})}
	}
}

func (l lot) target(name string) mesh.TargetInput {
	t := mesh.TargetInput{Ref: ref("TrafficTarget", name), Destination: l.subject("orders", "stock"), Port: pick[uint16](l, 0, 0, 0, 80, 8080, 1)}
	for range 1 + l.IntN(2) {
		t.Rules = append(t.Rules, mesh.TargetRule{
			Kind: pick(l, "HTTPRouteGroup", "HTTPRouteGroup", "TCPRoute", "TCPRoute", "UDPRoute", "Other"), Name: pick(l, "a", "a", "b", "b", "gone"), Matches: l.some("x", "y", "gone"),
		})
	}
	for range 1 + l.IntN(2) {
		t.Sources = append(t.Sources, l.subject("web", "other"))
	}
	return t
}

func (l lot) subject(accounts ...string) mesh.Subject {
	if l.IntN(5) == 0 {
		return mesh.Subject{Kind: pick(l, "IdentityBinding", "Group"), Namespace: "shop", Name: pick(l, "a", "b", "gone")}
	}
	return mesh.Subject{Kind: "ServiceAccount", Namespace: pick(l, "shop", "shop", "shop", ""), Name: pick(l, accounts...)}
}

// verdicts tells for each call whether it is allowed.
func verdicts(in *mesh.Inputs) map[string]bool {
	out := map[string]bool{}
	requests := map[string]route.Request{"connection": nil}
	for _, path := range []string{"/a", "/a/1", "/b", "/b/1", "/c", "/a/../b"} {
		for _, user := range []string{"", "anne", "eve"} {
			for _, method := range []string{"GET", "PUT", "POST"} {
				q := asked{method: method, path: path}
				if user != "" {
					q.headers = map[string][]string{"x-user": {user}}
				}
				requests[method+" "+path+" "+user] = q
			}
		}
	}
	for _, destination := range []string{"orders", "stock"} {
		for _, transport := range []mesh.Transport{mesh.TCP, mesh.UDP} {
			name := inShop(transport.String())
			slice := in.Slices[name]
			slice.Endpoints = []mesh.SliceEndpoint{{Address: in.Pods[inShop(destination)].IPs[0], Ready: true}}
			in.Slices[name] = slice
		}
		snapshot, _ := new(Set).Bind(route.Compile(mesh.Build(in)))
		for _, source := range []string{"web", "other", "stock"} {
			caller := Caller{Address: in.Pods[inShop(source)].IPs[0]}
			for what, request := range requests {
				d := caller.Decide(snapshot, snapshot.Route(listen), request)
				out[source+" "+destination+" TCP "+what] = d.Cluster != nil
			}
			udp := Key{Listen: listen.Listen, Transport: mesh.UDP}
			out[source+" "+destination+" UDP"] = caller.Decide(snapshot, snapshot.Route(udp), nil).Cluster != nil
		}
	}
	return out
}

// breaks spoils one object and says which.
func (l lot) breaks(in *mesh.Inputs) string {
	name := inShop(pick(l, "a", "b"))
	switch l.IntN(8) {
	case 0:
		delete(in.RouteGroups, name)
		return "group gone"
	case 1:
		delete(in.TCPRoutes, name)
		return "TCPRoute gone"
	case 2:
		delete(in.UDPRoutes, name)
		return "UDPRoute gone"
	case 3:
		delete(in.Bindings, name)
		return "binding gone"
	case 4:
		group := in.RouteGroups[name]
		group.Matches = slices.Clone(group.Matches)
		for i := range group.Matches {
			group.Matches[i].Path = pick(l, group.Matches[i].Path, "(", "a{2000}")
		}
		in.RouteGroups[name] = group
		return "group broken"
	case 5:
		group := in.RouteGroups[name]
		group.Matches = slices.Clone(group.Matches)
		if len(group.Matches) > 0 {
			at := l.IntN(len(group.Matches))
			group.Matches[at].Name = "renamed"
			// Without its name a match is still one of "all of the group".
			group.Matches = slices.Delete(group.Matches, at, at+1)
		}
		in.RouteGroups[name] = group
		return "match gone"
	}
	target := inShop("target-0")
	t := in.Targets[target]
	t.Rules, t.Sources = slices.Clone(t.Rules), slices.Clone(t.Sources)
	switch l.IntN(5) {
	case 0:
		delete(in.Targets, target)
		return "target gone"
	case 1:
		t.Destination.Kind = "Broken"
	case 2:
		t.Destination.Namespace = "elsewhere"
	case 3:
		if len(t.Rules) > 0 {
			t.Rules[l.IntN(len(t.Rules))].Kind = "Broken"
		}
	case 4:
		if len(t.Sources) > 0 {
			t.Sources[l.IntN(len(t.Sources))] = mesh.Subject{Kind: "Broken"}
		}
	}
	in.Targets[target] = t
	return "target broken"
}

// Breaking an object never allows what was refused.
func FuzzBreakingNeverAllows(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		l := lot{rand.New(rand.NewPCG(seed, 1))}
		in := l.inputs()
		before := verdicts(in)
		what := l.breaks(in)
		for call, allowed := range verdicts(in) {
			if allowed && !before[call] {
				t.Errorf("%s: %s is allowed now", what, call)
			}
		}
	})
}

// Nothing depends on the order of objects, nor on that of a target's parts or a
// group's matches (B40). And what is drawn is worth it: some calls pass.
func TestOrderDecidesNothing(t *testing.T) {
	passed, refused := 0, 0
	for seed := range uint64(300) {
		l := lot{rand.New(rand.NewPCG(seed, 2))}
		in := l.inputs()
		before := verdicts(in)
		for name, target := range in.Targets {
			target.Rules, target.Sources = slices.Clone(target.Rules), slices.Clone(target.Sources)
			slices.Reverse(target.Rules)
			slices.Reverse(target.Sources)
			in.Targets[name] = target
		}
		for name, group := range in.RouteGroups {
			group.Matches = slices.Clone(group.Matches)
			slices.Reverse(group.Matches)
			in.RouteGroups[name] = group
		}
		in.Targets = maps.Clone(in.Targets)
		if diff := cmp.Diff(before, verdicts(in)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		for _, allowed := range before {
			if allowed {
				passed++
			} else {
				refused++
			}
		}
	}
	if passed < 5000 || refused < 1000 {
		t.Errorf("%d calls pass and %d are refused: too few to show anything", passed, refused)
	}
}

// What is added and is no allow allows nothing: an audit of the kinds that only
// say what is meant or who somebody is.
func TestAddingWhatNobodyNamesAllowsNothing(t *testing.T) {
	for seed := range uint64(100) {
		l := lot{rand.New(rand.NewPCG(seed, 3))}
		in := l.inputs()
		before := verdicts(in)
		in.RouteGroups[inShop("new")] = mesh.RouteGroupInput{Ref: ref("HTTPRouteGroup", "new"), Matches: []mesh.RequestMatch{{Name: "x"}}}
		in.TCPRoutes[inShop("new")] = mesh.PortRouteInput{Ref: ref("TCPRoute", "new")}
		in.UDPRoutes[inShop("new")] = mesh.PortRouteInput{Ref: ref("UDPRoute", "new")}
		in.Bindings[inShop("new")] = mesh.BindingInput{Ref: ref("IdentityBinding", "new"), ServiceAccount: "web"}
		in.Targets[mesh.Name{Namespace: "batch", Name: "new"}] = mesh.TargetInput{
			Ref: mesh.Ref{Kind: "TrafficTarget", Namespace: "batch", Name: "new"}, Destination: mesh.Subject{Kind: "ServiceAccount", Namespace: "shop", Name: "orders"},
			Sources: []mesh.Subject{{Kind: "ServiceAccount", Namespace: "shop", Name: "web"}}, Rules: []mesh.TargetRule{{Kind: "TCPRoute", Name: "new"}},
		}
		if diff := cmp.Diff(before, verdicts(in)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}
