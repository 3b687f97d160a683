package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http1/wire"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// Tapped is one line of the answer of /api/tap: a request that is over, a TCP
// connection or UDP session that has opened, is over or was refused, or, where
// Missed is not 0, how many of these came too fast.
type Tapped struct {
	Missed      uint64             `json:"missed,omitempty"`
	Began       time.Time          `json:"began,omitzero"`
	Connection  string             `json:"connection,omitempty"` // of a connection or session: opened, closed, broken or refused
	Client      string             `json:"client,omitempty"`
	ClientPort  uint16             `json:"clientPort,omitempty"` // of a connection or session only
	Source      telemetry.Workload `json:"source"`
	Service     string             `json:"service,omitempty"`
	Namespace   string             `json:"namespace,omitempty"`
	Port        uint16             `json:"port,omitempty"`
	Backend     string             `json:"backend,omitempty"`
	Destination telemetry.Workload `json:"destination"`
	Endpoint    string             `json:"endpoint,omitempty"` // that was tried last
	Tries       int                `json:"tries,omitempty"`
	Protocol    string             `json:"protocol,omitempty"`
	Method      string             `json:"method,omitempty"`
	Path        string             `json:"path,omitempty"`
	Status      int                `json:"status,omitempty"`
	Reason      string             `json:"reason,omitempty"` // why Weft refused it or broke it off
	TookMs      float64            `json:"tookMs,omitempty"`
	Received    uint64             `json:"received,omitempty"` // bytes of the request's body, or of the client; datagrams for UDP
	Sent        uint64             `json:"sent,omitempty"`     // the same of the answer, or to the client
}

// tap streams requests as they end, and connections and sessions as they open and
// end, one JSON object per line, until whoever asks leaves. The query says which: service (namespace/name), port, from (namespace, or
// with the name of a workload, a pod or a service account), method, path (what
// it begins with), status (a number, or a class such as 5xx). It answers 400 for
// what no request can be.
func tap(of *telemetry.Tap) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if err := CheckTap(q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		watcher, err := of.Watch(func(e *telemetry.Event) bool {
			return wanted(q.Get("service"), e.Namespace+"/"+e.Service) && wanted(q.Get("port"), strconv.Itoa(int(e.Port))) && e.Source.Is(q.Get("from")) && wanted(q.Get("method"), e.Method) &&
				strings.HasPrefix(e.Path, q.Get("path")) && hasStatus(e.Code, q.Get("status"))
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer of.Stop(watcher)
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Time{}) // the server's own is for whole requests
		w.Header().Set("Content-Type", "application/x-ndjson")
		lines := json.NewEncoder(w)
		// Whoever is gone is noticed by writing.
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for {
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
			if control.Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case e := <-watcher.Events:
				err = lines.Encode(tapped(&e))
			case <-beat.C:
				if missed := watcher.Missed(); missed > 0 {
					err = lines.Encode(Tapped{Missed: missed})
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// CheckTap tells which of method, path and status of a query for /api/tap no
// request can have, beginning with the name and the value; nil where all is well.
func CheckTap(query url.Values) error {
	if method := query.Get("method"); method != "" {
		// One that is not proxied is refused, and told.
		if err := readable(method+" / HTTP/1.1", anyHost); err != nil && !errors.Is(err, wire.ErrMethod) {
			return fmt.Errorf("method=%s: takes a token (RFC 9110 §5.6.2), such as GET", method)
		}
	}
	if path := query.Get("path"); path != "" && path != "*" && (path[0] != '/' || strings.ContainsAny(path, "? ")) {
		return fmt.Errorf("path=%s: takes what a path begins with, without a query, such as /orders", path)
	}
	status := query.Get("status")
	_, err := strconv.Atoi(strings.TrimSuffix(status, "xx"))
	if status != "" && (err != nil || len(status) != 3 || status[0] < '1' || status[0] > '5') {
		return fmt.Errorf("status=%s: takes a status from 100 to 599, such as 503, or a class, such as 5xx", status)
	}
	return nil
}

func wanted(asked, is string) bool { return asked == "" || strings.EqualFold(asked, is) }

// hasStatus tells whether a status is the one asked for, or of its class.
func hasStatus(code int, asked string) bool {
	text := strconv.Itoa(code)
	class, isClass := strings.CutSuffix(asked, "xx")
	return asked == "" || asked == text || isClass && len(text) == 3 && text[:1] == class
}

func tapped(e *telemetry.Event) Tapped {
	t := Tapped{
		Began: e.Began, Client: e.Client.String(), Source: e.Source, Service: e.Service, Namespace: e.Namespace, Port: e.Port,
		Backend: e.Backend, Destination: e.Destination, Tries: len(e.Tries), Protocol: e.Protocol, Method: e.Method, Path: e.Path,
		Status: e.Code, Reason: e.Reason, TookMs: float64(e.Took) / float64(time.Millisecond), Received: e.Received, Sent: e.Sent,
	}
	if c := e.Connection; c != nil {
		t.Connection, t.ClientPort = c.State, c.ClientPort
	}
	if len(e.Tries) > 0 {
		t.Endpoint = e.Tries[len(e.Tries)-1].Endpoint.String()
	}
	return t
}
