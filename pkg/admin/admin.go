// Package admin is the HTTP API by which a person and the system look at a
// running Weft:
//
//	/livez         200 while the process answers
//	/readyz        200 when every part is ready, else 503 and which part is not
//	/metrics       Prometheus text or OpenMetrics
//	/api/table     what is routed, as JSON (a Table)
//	/api/problems  what is wrong, as a JSON array of mesh.Problem
//	/api/status    what the process is at, as JSON (a Status)
//	/api/services/{namespace}/{name}
//	               all that is known of one Service, as JSON (a Service)
//	/api/workloads who the live pods are, as a JSON array of mesh.Workload
//	/api/explain   what would become of a call, as JSON (an Explained)
//	/api/tap       requests as they end, one JSON object (a Tapped) per line
//	/api/traffic   who called whom lately (telemetry.Traffic), ?t= up to 1m, default 30s
//
// The node, the controller and local mode serve the same Handler, each with the
// functions it has. The API only reads.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/weft-mesh/weft/pkg/control"
	"github.com/weft-mesh/weft/pkg/mesh"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Config of a Handler. A nil function or Gatherer leaves its path out; without
// Parts, /readyz is always 200. The functions must be safe for concurrent use.
type Config struct {
	// Parts are asked in turn by /readyz.
	Parts []Part
	// Metrics is what /metrics shows.
	Metrics prometheus.Gatherer
	// Latest is the Snapshot that /api/table shows; nil before the first.
	Latest func() *control.Snapshot
	// Version of the program, and how long the watch of each kind has been
	// broken (nil where nothing is watched); with Latest, /api/status shows them.
	Version string
	Stale   func() map[string]time.Duration
	// Problems is what /api/problems shows.
	Problems func() []mesh.Problem
	// States is what the proxy has seen of endpoints. With Latest and Problems,
	// it is what /api/services shows.
	States func([]netip.AddrPort) []upstream.State
	// Explain is what the proxy would do with a call; with Latest, it is what
	// /api/explain shows.
	Explain func(upstream.Question) (upstream.Explanation, bool)
	// Tap is what /api/tap watches.
	Tap *telemetry.Tap
	// Traffic is what /api/traffic shows: what was carried within a window.
	Traffic func(window time.Duration) telemetry.Traffic
}

// Part is something that must be ready before the whole is.
type Part struct {
	Name string
	// Ready returns nil when the part is ready, else why it is not.
	Ready func() error
}

// Table is the answer of /api/table.
type Table struct {
	Generation uint64          `json:"generation"` // 1 for the first
	Changes    uint64          `json:"changes"`    // of the sources, in this rebuild
	Built      time.Time       `json:"built"`
	Services   []*mesh.Service `json:"services"`
}

// Handler serves the API.
func Handler(config Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", ready(config.Parts))
	if config.Metrics != nil {
		mux.Handle("GET /metrics", metrics(config.Metrics))
	}
	if config.Latest != nil {
		mux.Handle("GET /api/table", table(config.Latest))
		mux.Handle("GET /api/status", status(config))
		mux.Handle("GET /api/workloads", workloads(config.Latest))
	}
	if config.Problems != nil {
		mux.HandleFunc("GET /api/problems", func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, append([]mesh.Problem{}, config.Problems()...)) // never null
		})
	}
	if config.States != nil {
		mux.Handle("GET /api/services/{namespace}/{name}", services{config.Latest, config.States, config.Problems})
	}
	if config.Explain != nil {
		mux.Handle("GET /api/explain", explain{config.Latest, config.Explain})
	}
	if config.Tap != nil {
		mux.Handle("GET /api/tap", tap(config.Tap))
	}
	if config.Traffic != nil {
		mux.Handle("GET /api/traffic", traffic(config.Traffic))
	}
	return mux
}

// noTable is the answer before the first Snapshot.
const noTable = "there is no table yet"

func traffic(of func(time.Duration) telemetry.Traffic) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		window := 30 * time.Second
		if t := r.URL.Query().Get("t"); t != "" {
			var err error
			if window, err = time.ParseDuration(t); err != nil || window <= 0 {
				http.Error(w, "t="+t+": takes a duration such as 30s, up to "+telemetry.LongestWindow.String(), http.StatusBadRequest)
				return
			}
		}
		writeJSON(w, of(window))
	}
}

func ready(parts []Part) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status, text := http.StatusOK, "ok\n"
		for _, part := range parts {
			if err := part.Ready(); err != nil {
				if status == http.StatusOK {
					status, text = http.StatusServiceUnavailable, ""
				}
				text += fmt.Sprintf("%s: %v\n", part.Name, err)
			}
		}
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
}

func table(latest func() *control.Snapshot) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s := latest()
		if s == nil {
			http.Error(w, noTable, http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, Table{
			Generation: s.Generation, Changes: s.Changes, Built: s.Built,
			Services: append([]*mesh.Service{}, s.Mesh.Services...),
		})
	}
}

func workloads(latest func() *control.Snapshot) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s := latest()
		if s == nil {
			http.Error(w, noTable, http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, append([]*mesh.Workload{}, s.Mesh.Workloads...))
	}
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// The only failure is a client that is gone.
	_ = encoder.Encode(value)
}
