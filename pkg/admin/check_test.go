package admin_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// A Service that is not meshed for what is wrong with its object is told so, and
// why, to all who ask for it.
func TestWhyAServiceIsNotMeshedIsSaid(t *testing.T) {
	problem := func(name string) mesh.Problem {
		return mesh.Problem{Object: mesh.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: name}, Reason: mesh.Malformed, Message: "spec.ports: want a list"}
	}
	snapshot := &control.Snapshot{Mesh: &mesh.Mesh{
		Services: []*mesh.Service{{Name: mesh.Name{Namespace: "shop", Name: "users"}}},
		Problems: []mesh.Problem{problem("orders"), problem("other")},
	}}
	h := admin.Handler(admin.Config{
		Latest: func() *control.Snapshot { return snapshot }, Problems: func() []mesh.Problem { return nil },
		States:  func([]netip.AddrPort) []upstream.State { return nil },
		Explain: func(upstream.Question) (upstream.Explanation, bool) { return upstream.Explanation{}, false },
	})
	for _, path := range []string{"/api/services/shop/orders", "/api/explain?to=shop/orders"} {
		expect(t, h, path, http.StatusNotFound, "Service shop/orders is not meshed: Malformed: spec.ports: want a list\n")
	}
	expect(t, h, "/api/services/shop/none", http.StatusNotFound, "no Service shop/none is meshed; namespace shop has users\n")
}

// What the data plane would refuse to read, or no request can have, is not
// explained nor waited for, but told.
func TestWhatNoRequestCanBeIsRefused(t *testing.T) {
	orders := &mesh.Service{Name: mesh.Name{Namespace: "shop", Name: "orders"}, Ports: []*mesh.Port{{Number: 80, Protocol: mesh.HTTP}}}
	snapshot := &control.Snapshot{Mesh: &mesh.Mesh{Services: []*mesh.Service{orders}}}
	asked := 0
	h := admin.Handler(admin.Config{
		Latest: func() *control.Snapshot { return snapshot },
		Explain: func(upstream.Question) (upstream.Explanation, bool) {
			asked++
			return upstream.Explanation{Listen: netip.MustParseAddrPort("127.0.0.1:80")}, true
		},
		Tap: &telemetry.Tap{},
	})
	for path, bad := range map[string]map[string][]string{
		"/api/explain?to=shop/orders&": {
			"method": {"", "G T", "GET\r\n", "TRACE", "CONNECT"},
			"path":   {"", "orders", "/a b", "/a#b", "*", "http://other/", "/ HTTP/1.1\r\nx: y\r\n"},
			"header": {"", "accept", ": x", "a b: c", "a : c", "a: b\r\nc: d", "a: \x00", "host: a b"},
		},
		"/api/tap?": {
			"method": {"x y", "x\r\n"}, "path": {"orders", "/a?b=c"}, "status": {"abc", "6x", "6xx", "99", "999", "5x", "xx", "5xxx", "0xx", "-50"},
		},
	} {
		for name, values := range bad {
			for _, value := range values {
				status, said := get(h, path+url.Values{name: {value}}.Encode())
				if status != http.StatusBadRequest || !strings.HasPrefix(said, name+"="+value+": takes ") {
					t.Errorf("%s %s %q: %d %q", path, name, value, status, said)
				}
			}
		}
	}
	if asked > 0 {
		t.Errorf("%d times the data plane was asked", asked)
	}
	good := url.Values{"method": {"OPTIONS"}, "path": {"*"}, "header": {"Host: orders", "accept:text/html", "x: "}}
	if status, said := get(h, "/api/explain?to=shop/orders&"+good.Encode()); status != http.StatusOK {
		t.Errorf("what can be: %d %s", status, said)
	}
	for _, query := range []url.Values{{}, {"status": {"503"}}, {"status": {"5xx"}}, {"method": {"QUERY"}, "path": {"/a"}}, {"method": {"TRACE"}}} {
		if err := admin.CheckTap(query); err != nil {
			t.Errorf("%v: %v", query, err)
		}
	}
}
