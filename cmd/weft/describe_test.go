package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/reach"
)

// A kubeconfig that a flag names is asked, whatever the environment says.
func TestTheFlagSaysWhichMeshIsAsked(t *testing.T) {
	t.Setenv("WEFT_ADMIN", "127.0.0.1:1")
	for _, command := range [][]string{{"check"}, {"describe", "orders.shop"}, {"edges"}} {
		err := run(t.Context(), append(command, "--kubeconfig=/nowhere"), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "/nowhere") {
			t.Errorf("weft %s: %v; want the kubeconfig missed", command, err)
		}
	}
}

// What is no admin API is told so, with what to do.
func TestWhatIsNoAdminAPIIsSaid(t *testing.T) {
	for why, answer := range map[string]http.HandlerFunc{
		": invalid character 'o' looking for beginning of value": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
		", but a port of the mesh: weft: nothing is ready": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Weft-Reason", "no-endpoints")
			http.Error(w, "weft: nothing is ready", http.StatusServiceUnavailable)
		},
	} {
		server := httptest.NewServer(answer)
		defer server.Close()
		at := server.Listener.Addr().String()
		err := run(t.Context(), []string{"describe", "orders.shop", "--admin", at}, io.Discard)
		want := "the mesh at " + at + " could not be asked: what answers there is no admin API of Weft" + why + "; does weft local run, with this --admin.address?"
		if err == nil || err.Error() != want {
			t.Errorf("error %v; want %s", err, want)
		}
	}
}

// The answers of several proxies become one picture: load adds up, the worst of
// what was seen counts, who lags behind or cannot be asked is named.
func TestDescribePutsTheAnswersOfAllProxiesTogether(t *testing.T) {
	one, two := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80")
	now := time.Now()
	answer := func(node string, built time.Time, states ...upstream.State) reach.Answer[admin.Service] {
		port := &mesh.Port{Number: 80, Protocol: mesh.HTTP, Listen: netip.MustParseAddrPort("[::]:10017")}
		v := admin.Service{Generation: 7, Built: built, Service: &mesh.Service{Name: mesh.Name{Namespace: "shop", Name: "orders"}, Ports: []*mesh.Port{port}}}
		for _, s := range states {
			port.Endpoints = append(port.Endpoints, mesh.Endpoint{Address: s.Address})
			v.Endpoints = append(v.Endpoints, admin.Endpoint{State: s})
		}
		return reach.Answer[admin.Service]{Proxy: &reach.Proxy{Name: "weft-" + node, Node: node}, Value: v}
	}
	all := []reach.Answer[admin.Service]{
		answer("a", now.Add(-time.Second), upstream.State{Address: one, Load: 2, LatencyMs: 3}, upstream.State{Address: two}),
		answer("b", now, upstream.State{Address: one, Load: 3, LatencyMs: 1}, upstream.State{Address: two, Failures: 4, Resting: true}),
		answer("c", now.Add(-time.Hour), upstream.State{Address: one, Load: 10}),
		{Proxy: &reach.Proxy{Name: "weft-d", Node: "d"}, Err: errors.New("no answer within 5s")},
	}
	target := mesh.Ref{Kind: "TrafficTarget", Namespace: "shop", Name: "reads"}
	all[1].Value.Access = []admin.Access{
		{Account: mesh.Name{Namespace: "shop", Name: "orders"}, Mode: mesh.AccessEnforce, Grants: []*mesh.Grant{{
			Origin: target, Sources: []mesh.Principal{mesh.Account("front", "web")}, Requests: true, Matches: []*mesh.RequestMatch{{Methods: []string{"GET"}, Path: "/a"}},
		}}},
		{Account: mesh.Name{Namespace: "shop", Name: "spare"}, Mode: mesh.AccessEnforce},
	}
	d := describe(all[:3], all)
	d.Name = "orders.shop.mesh"
	var out strings.Builder
	if err := d.print(&console.Printer{Out: &out}); err != nil {
		t.Fatal(err)
	}
	want := `orders.shop.mesh is Service shop/orders at no address yet

Port 80: http, mesh port 10017
    SHARE  BACKEND  ENDPOINT     POD  SINCE  STATE                LOAD  LATENCY
           orders   10.0.0.1:80  -    -      ok                     15   3.0 ms
           orders   10.0.0.2:80  -    -      refuses connections     0        -

Access
  service account shop/orders (enforce): nobody may do anything but what follows
    front/web may: GET path /a, by TrafficTarget shop/reads
  service account shop/spare (enforce): nobody may call it: no TrafficTarget names it

Proxies
    NODE  PROXY   TABLE  SINCE  SEES IT SO
    a     weft-a  7      1s     yes
    b     weft-b  7      0s     yes
    c     weft-c  7      60m    no, it lags behind
    d     weft-d  0      -      could not be asked: no answer within 5s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestServicesAreNamedAsPeopleDo(t *testing.T) {
	orders := mesh.Name{Namespace: "shop", Name: "orders"}
	for text, want := range map[string]struct {
		name mesh.Name
		port uint16
	}{
		"orders.shop": {orders, 0}, "shop/orders": {orders, 0}, "orders.shop.mesh:80": {orders, 80},
		"orders.shop.svc.cluster.local": {orders, 0}, "shop/orders:8080": {orders, 8080},
		"orders": {}, "": {}, "orders.": {}, "/orders": {}, "orders.shop:": {}, "orders.shop:0": {}, "orders.shop:http": {}, "a/b/c": {}, "Orders.shop": {},
	} {
		name, port, err := parseService(text)
		if name != want.name || port != want.port || (err != nil) != (want.name == mesh.Name{}) || err != nil && !errors.Is(err, errUsage) {
			t.Errorf("%q: %v %d %v", text, name, port, err)
		}
	}
}

// A proxy that fails is told beside the answers of the others; where none
// answers, why.
func TestSilentProxiesAreToldAndNoneIsAnError(t *testing.T) {
	at := func(node string, err error) reach.Answer[int] {
		return reach.Answer[int]{Proxy: &reach.Proxy{Name: "weft-" + node, Node: node}, Err: err}
	}
	silent, unknown := errors.New("no answer"), &reach.HTTPError{Status: 404, Text: "no Service shop/x is meshed"}
	for _, test := range []struct {
		answers []reach.Answer[int]
		good    int
		want    string
	}{
		{[]reach.Answer[int]{at("a", nil), at("b", silent)}, 1, ""},
		{[]reach.Answer[int]{at("a", unknown), at("b", silent)}, 0, "no Service shop/x is meshed"},
		{[]reach.Answer[int]{at("a", silent)}, 0, "the proxy of node a (weft-a) could not be asked: no answer; docs/cli.md lists the rights that asking needs"},
	} {
		good, err := answered(test.answers)
		if len(good) != test.good || (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%d, %v; want %d, %q", len(good), err, test.good, test.want)
		}
	}
}
