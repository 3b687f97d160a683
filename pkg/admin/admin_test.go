package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func expect(t *testing.T, h http.Handler, path string, wantStatus int, wantBody string) {
	t.Helper()
	if status, body := get(h, path); status != wantStatus || body != wantBody {
		t.Errorf("%s: %d %q; want %d %q", path, status, body, wantStatus, wantBody)
	}
}

func TestReadyNamesThePartsThatAreNot(t *testing.T) {
	failing := errors.New("no table yet")
	h := admin.Handler(admin.Config{Parts: []admin.Part{
		{Name: "table", Ready: func() error { return failing }},
		{Name: "drain", Ready: func() error { return nil }},
		{Name: "dns", Ready: func() error { return failing }},
	}})
	expect(t, h, "/livez", http.StatusOK, "ok\n")
	expect(t, h, "/readyz", http.StatusServiceUnavailable, "table: no table yet\ndns: no table yet\n")
	failing = nil
	expect(t, h, "/readyz", http.StatusOK, "ok\n")
}

func TestTableShowsTheLatestSnapshot(t *testing.T) {
	var latest *control.Snapshot
	h := admin.Handler(admin.Config{Latest: func() *control.Snapshot { return latest }})
	expect(t, h, "/api/table", http.StatusServiceUnavailable, "there is no table yet\n")
	latest = &control.Snapshot{Generation: 1, Mesh: &mesh.Mesh{}}
	if _, body := get(h, "/api/table"); !strings.Contains(body, `"services": []`) {
		t.Errorf("a mesh of nothing: %s", body)
	}
	orders := mesh.Name{Namespace: "shop", Name: "orders"}
	endpoints := []mesh.Endpoint{{Address: netip.MustParseAddrPort("10.0.0.1:8080")}}
	services := []*mesh.Service{{
		Name: orders, Addresses: []netip.Addr{netip.MustParseAddr("127.77.0.1")},
		Ports: []*mesh.Port{{
			Name: "web", Number: 80, Protocol: mesh.HTTP, Listen: netip.MustParseAddrPort("127.77.0.1:80"), Endpoints: endpoints,
			Routes: []*mesh.Route{{Origin: mesh.Ref{Kind: "TrafficSplit", Namespace: "shop", Name: "orders"},
				Backends: []mesh.Backend{{Service: orders, Weight: 1000, Endpoints: endpoints}}}},
		}},
	}}
	built := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	latest = &control.Snapshot{Generation: 7, Changes: 3, Built: built, Mesh: &mesh.Mesh{Services: services}}
	_, body := get(h, "/api/table")
	var got admin.Table
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	want := admin.Table{Generation: 7, Changes: 3, Built: built, Services: services}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestProblemsAreAlwaysAnArray(t *testing.T) {
	var problems []mesh.Problem
	h := admin.Handler(admin.Config{Problems: func() []mesh.Problem { return problems }})
	expect(t, h, "/api/problems", http.StatusOK, "[]\n")
	problems = []mesh.Problem{{Object: mesh.Ref{Kind: "Service", Namespace: "shop", Name: "orders"}, Reason: mesh.BadAnnotation, Message: "m"}}
	_, body := get(h, "/api/problems")
	var got []mesh.Problem
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(problems, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNotGivenIsNotServed(t *testing.T) {
	h := admin.Handler(admin.Config{})
	for _, path := range []string{"/metrics", "/api/table", "/api/problems", "/"} {
		if status, _ := get(h, path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	expect(t, h, "/readyz", http.StatusOK, "ok\n")
}

func TestServerAnswersUntilItsContextEnds(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "answer"}, func() float64 { return 42 }))
	server, err := admin.Listen("127.0.0.1:0", admin.Handler(admin.Config{Metrics: reg}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	request, _ := http.NewRequest(http.MethodGet, "http://"+server.Addr().String()+"/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if !strings.Contains(string(body), "answer 42.0\n") || !strings.HasSuffix(string(body), "# EOF\n") {
		t.Errorf("not OpenMetrics: %s", body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := transport.RoundTrip(request); err == nil {
		t.Error("still answering")
	}
}

func TestATakenAddressIsAnError(t *testing.T) {
	first, err := admin.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := admin.Listen(first.Addr().String(), nil); err == nil || !strings.Contains(err.Error(), first.Addr().String()) {
		t.Errorf("error %v", err)
	}
}
