package main

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/reach"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// What several proxies counted adds up: counts, rates of windows of their own
// lengths, and latencies as if one had seen them all.
func TestCountsOfAllProxiesAddUp(t *testing.T) {
	row := func(seconds float64, success, failure uint64, latencies telemetry.Latencies) counted {
		return counted{telemetry.Row{
			Call:    telemetry.Call{Service: "orders", Namespace: "shop", Protocol: "http"},
			Success: success, Failure: failure, Latencies: latencies,
		}, seconds}
	}
	fast, slow := telemetry.Latencies{{Bucket: 100, Count: 90}}, telemetry.Latencies{{Bucket: 200, Count: 10}}
	tcp := counted{telemetry.Row{Call: telemetry.Call{Service: "orders", Namespace: "shop", Protocol: "tcp"}, Open: 7}, 10}
	sums := grouped([]counted{row(10, 85, 5, fast), row(5, 10, 0, slow), tcp}, (&statCommand{Kind: "svc"}).key)
	sum := sums[mesh.Name{Namespace: "shop", Name: "orders"}]
	m := sum.measured()
	if len(sums) != 1 || m.Success == nil || math.Abs(*m.Success-0.95) > 1e-9 || math.Abs(m.RPS-11) > 1e-9 || m.TCP != 7 {
		t.Errorf("%d sums, %+v", len(sums), m)
	}
	if m.P50Ms <= 0 || m.P99Ms <= m.P50Ms || m.P95Ms != m.P99Ms {
		t.Errorf("latencies %v %v %v", m.P50Ms, m.P95Ms, m.P99Ms)
	}
	none := (&stats{}).measured()
	if cells := none.cells(&console.Printer{}); cells[0] != "-" || cells[2] != "-" || cells[5] != "0" {
		t.Errorf("without calls: %q", cells)
	}
	tcp.Success = 3
	connections := grouped([]counted{tcp}, (&statCommand{Kind: "svc"}).key)[mesh.Name{Namespace: "shop", Name: "orders"}].measured()
	if cells := connections.cells(&console.Printer{}); cells[0] != "100.00 %" || cells[2] != "-" || cells[4] != "-" {
		t.Errorf("of connections alone: %q", cells)
	}
}

func TestFromAndToNameWorkloadsPodsAccountsAndNamespaces(t *testing.T) {
	call := telemetry.Call{
		Source:      telemetry.Workload{Namespace: "shop", Name: "web", Pod: "web-1", Account: "browser"},
		Destination: telemetry.Workload{Namespace: "bank", Name: "orders-v1", Pod: "orders-v1-x"},
		Service:     "orders", Namespace: "shop",
	}
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"", "", true},
		{"shop", "", true}, {"shop/web", "", true}, {"shop/web-1", "", true}, {"shop/browser", "", true},
		{"bank", "", false}, {"shop/orders", "", false}, {"shop/", "", false},
		{"", "bank", true}, {"", "bank/orders-v1", true}, {"", "bank/orders-v1-x", true}, {"", "shop/orders", true},
		{"", "shop/users", false}, {"shop", "shop", true}, {"", "web", false},
	} {
		if got := (&Window{From: test.from, To: test.to}).means(&call); got != test.want {
			t.Errorf("--from=%s --to=%s: %v", test.from, test.to, got)
		}
	}
}

// What reached nothing was called all the same: the Service's namespace counts it.
func TestCallsThatReachNoPodCountForTheNamespaceOfTheirService(t *testing.T) {
	refused := counted{telemetry.Row{Call: telemetry.Call{
		Source: telemetry.Workload{Namespace: "lobby", Name: "guest"}, Service: "users", Namespace: "shop",
	}, Failure: 2}, 10}
	for to, namespace := range map[string]string{"": "shop", "shop": "lobby", "shop/users": "lobby"} {
		c := &statCommand{Kind: "ns", Window: Window{To: to}}
		if name, ok := c.key(&refused); !c.means(&refused.Call) || !ok || name != (mesh.Name{Name: namespace}) {
			t.Errorf("--to=%s: counted for %q, %v", to, name, ok)
		}
	}
}

func TestAnEdgeTellsEndpointsThatAreNoPodsFromNone(t *testing.T) {
	for want, call := range map[string]telemetry.Call{
		"-":              {},
		"users (no pod)": {Backend: "users"},
		"shop/users-v1":  {Backend: "users", Destination: telemetry.Workload{Namespace: "shop", Name: "users-v1"}},
	} {
		if e, _ := edgeOf(&counted{telemetry.Row{Call: call}, 1}); e.To != want {
			t.Errorf("%+v: %q; want %q", call, e.To, want)
		}
	}
}

func TestFromAndToTakeNamesOnly(t *testing.T) {
	for _, test := range []struct{ from, to, means string }{
		{"", "", ""}, {"shop", "shop", "shop"}, {"shop/web.1", "shop/orders", "shop/orders"},
		{"", "orders.shop", "shop/orders"}, {"", "orders.shop.mesh", "shop/orders"},
	} {
		w := Window{From: test.from, To: test.to, Time: time.Minute}
		if err := w.check(); err != nil || w.To != test.means {
			t.Errorf("--from=%s --to=%s: %v, to %q", test.from, test.to, err, w.To)
		}
	}
	for _, bad := range []string{"bad/x/y", "shop/", "/orders", "Shop", "a b", "orders.shop:80", "shop/orders:80"} {
		for _, w := range []Window{{From: bad, Time: time.Minute}, {To: bad, Time: time.Minute}} {
			if err := w.check(); !errors.Is(err, errUsage) {
				t.Errorf("%+v: %v", w, err)
			}
		}
	}
}

// proxy is the admin API of a proxy that built its Table then.
func proxy(t *testing.T, built time.Time, services []*mesh.Service, rows ...telemetry.Row) *reach.Proxy {
	t.Helper()
	mux := http.NewServeMux()
	for path, value := range map[string]any{
		"/api/status":    admin.Status{Built: built},
		"/api/table":     admin.Table{Built: built, Services: services},
		"/api/traffic":   telemetry.Traffic{Seconds: 10, Rows: rows},
		"/api/workloads": []*mesh.Workload{{Name: mesh.Name{Namespace: "shop", Name: "web-1"}, OwnerName: "web"}},
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(value) })
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return reach.Local(server.Listener.Addr().String(), time.Minute).Proxies[0]
}

// outage is a mesh of three proxies, of which the first cannot be reached and the
// second lags behind. Nobody serves users, which a TrafficSplit shares out.
func outage(t *testing.T) *reach.Fleet {
	t.Helper()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	name := func(name string) mesh.Name { return mesh.Name{Namespace: "shop", Name: name} }
	users := &mesh.Service{Name: name("users"), Ports: []*mesh.Port{
		{Number: 80, Routes: []*mesh.Route{{
			Origin:   mesh.Ref{Kind: "TrafficSplit", Namespace: "shop", Name: "canary"},
			Backends: []mesh.Backend{{Service: name("users-v1"), Weight: 1}},
		}}},
		{Number: 81},
	}}
	row := telemetry.Row{Call: telemetry.Call{Service: "users", Namespace: "shop", Protocol: "http"}, Failure: 10}
	now := time.Now()
	return &reach.Fleet{Proxies: []*reach.Proxy{
		reach.Local(gone.Listener.Addr().String(), time.Minute).Proxies[0],
		proxy(t, now.Add(-time.Hour), nil),
		proxy(t, now, []*mesh.Service{users}, row),
	}}
}

// A proxy that does not answer, or lags behind, hides nothing; nor does it look
// like no traffic where no backend serves.
func TestOutagesAreShown(t *testing.T) {
	fleet := outage(t)
	routes, err := (&routesCommand{Window: Window{Time: time.Minute}}).rows(t.Context(), fleet, mesh.Name{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	p := console.New(&text, console.FormatTable)
	if err := printRoutes(p, routes); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"svc", "ts"} {
		c := &statCommand{Kind: kind, Window: Window{Time: time.Minute}}
		rows, err := c.rows(t.Context(), fleet)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.print(p, rows); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for line := range strings.Lines(text.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"SERVICE CALLS SHARE BACKEND SUCCESS RPS P50 P95 P99 TCP",
		"users.shop:80 every call 100 % users-v1 - 0.0 - - - 0",
		"users.shop:81 every call 100 % users - 0.0 - - - 0",
		"users.shop unserved calls - - 0.00 % 1.0 - - - 0",
		"NAMESPACE SVC MESHED SUCCESS RPS P50 P95 P99 TCP",
		"shop users yes 0.00 % 1.0 - - - 0",
		"NAMESPACE TS SERVICE BACKEND SHARE SUCCESS RPS P50 P95 P99 TCP",
		"shop canary users users-v1 100 % - 0.0 - - - 0",
		"shop - users - - 0.00 % 1.0 - - - 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c := &statCommand{Kind: "ts", Name: "shop/other", Window: Window{Time: time.Minute}}
	if rows, err := c.rows(t.Context(), fleet); err != nil || len(rows) > 0 {
		t.Errorf("rows of another split: %+v, %v", rows, err)
	}
	if asText := asJSON(routes[2]); strings.Contains(asText, "backend") || strings.Contains(asText, "port") {
		t.Errorf("unserved calls have %s", asText)
	}
}

// Who is nobody is told from who only made no call.
func TestWhoIsNobodyIsSaid(t *testing.T) {
	fleet := outage(t)
	for _, test := range []struct {
		from, to string
		doubts   int
	}{
		{"", "", 0}, {"shop/web", "shop/users", 0}, {"shop", "shop/web-1", 0},
		{"shop/wbe", "shop", 1}, {"", "shop/usres", 1}, {"shp", "lobby", 2}, {"shop/users", "", 1},
	} {
		w := Window{From: test.from, To: test.to}
		if doubts, err := w.doubts(t.Context(), fleet.Proxies[1:]); err != nil || len(doubts) != test.doubts {
			t.Errorf("--from=%s --to=%s: %q, %v", test.from, test.to, doubts, err)
		}
	}
}
