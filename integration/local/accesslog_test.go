package local

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTheAccessLogOfRequestsAndConnections: standard output has a line for each
// when it is over.
func TestTheAccessLogOfRequestsAndConnections(t *testing.T) {
	p, own := documented(t, "--accessLog.mode=all", "--accessLog.format=json")
	p.serveShop(own)
	p.callOnce(own)
	p.askVault(own)
	missing := map[string]string{
		"orders": "http 200  shop/web 0 2",
		"users":  "http 503 no-endpoints lobby/guest 0 70",
		"vault":  "tcp closed  shop/web 5 5",
	}
	deadline := time.After(patience)
	for len(missing) > 0 {
		var text string
		select {
		case text = <-p.lines:
		case <-deadline:
			t.Fatalf("not within %s: lines of %v", patience, missing)
		}
		line := struct {
			Protocol, Connection, Reason, Source, Service string
			Status, RequestBytes, ResponseBytes           int
		}{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		end := line.Connection
		if end == "" {
			end = fmt.Sprint(line.Status)
		}
		got := fmt.Sprint(line.Protocol, " ", end, " ", line.Reason, " ", line.Source, " ", line.RequestBytes, " ", line.ResponseBytes)
		service := strings.TrimSuffix(line.Service, ".shop")
		if want, ok := missing[service]; !ok || got != want {
			t.Errorf("%s: got %q, want %q", service, got, want)
		}
		delete(missing, service)
	}
}
