package kube

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// WatchStatus is how it stands with the watch of one kind.
type WatchStatus struct {
	Kind   string
	Synced bool // the first list was told
	// LastSeen is when the API server last spoke of the kind: a list, an event,
	// a watch that began, or a bookmark, which it sends about once a minute.
	// Zero if it never did.
	LastSeen time.Time
	// Err is why there is no watch now; empty while there is one.
	Err string
}

// status is a WatchStatus that a feed writes and others read.
type status struct {
	log    zerolog.Logger
	failed func(kind string, err error) // as ClusterConfig says; nil for nobody

	mu  sync.Mutex // guards now
	now WatchStatus
}

func newStatus(kind string, log zerolog.Logger) *status {
	return &status{log: log.With().Str("kind", kind).Logger(), now: WatchStatus{Kind: kind}}
}

func (s *status) get() WatchStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// well records that the API server spoke.
func (s *status) well() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.LastSeen = time.Now()
	if s.now.Err != "" {
		s.now.Err = ""
		s.log.Info().Msg("the API server is back")
	}
}

// list records that a list was told.
func (s *status) list() {
	s.well()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Synced = true
}

// ill records that it did not. Only the first of several errors is logged as a
// warning.
func (s *status) ill(err error) {
	if s.failed != nil {
		s.failed(s.get().Kind, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	event := s.log.Debug()
	if s.now.Err == "" {
		event = s.log.Warn()
	}
	event.Err(err).Msg("no watch; what was last read stays")
	s.now.Err = err.Error()
}
