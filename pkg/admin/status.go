package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"time"

	"github.com/weft-mesh/weft/pkg/control"
)

// Status is the answer of /api/status: what a process is at.
type Status struct {
	Version    string    `json:"version"`
	Generation uint64    `json:"generation"`
	Built      time.Time `json:"built"`
	Services   int       `json:"services"`
	// Digest is the same in all processes that route alike.
	Digest string `json:"digest"`
	// StaleSeconds is how long the watch of each kind has been broken.
	StaleSeconds map[string]float64 `json:"staleSeconds,omitempty"`
}

// status tells what the process is at. The digest is computed when it is asked
// for, so that a rebuild does not pay for it.
func status(config Config) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s := config.Latest()
		if s == nil {
			http.Error(w, noTable, http.StatusServiceUnavailable)
			return
		}
		out := Status{Version: config.Version, Generation: s.Generation, Built: s.Built, Services: len(s.Mesh.Services), Digest: digest(s)}
		if config.Stale != nil {
			out.StaleSeconds = map[string]float64{}
			for kind, d := range config.Stale() {
				out.StaleSeconds[kind] = d.Seconds()
			}
		}
		writeJSON(w, out)
	}
}

// digest is a hash of all that is routed by.
func digest(s *control.Snapshot) string {
	hash := sha256.New()
	// What a Mesh holds can be written as JSON; a hash takes everything.
	_ = json.NewEncoder(hash).Encode([]any{s.Mesh.Services, s.Mesh.Workloads, s.Mesh.Access})
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
