package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
	"github.com/weft-mesh/weft/pkg/reach"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// TestTapWritesEveryKindOfLine: requests, and connections and sessions in each of
// their states, as lines and as JSON.
func TestTapWritesEveryKindOfLine(t *testing.T) {
	web := telemetry.Workload{Namespace: "shop", Name: "web"}
	connection := func(state, reason string) admin.Tapped {
		return admin.Tapped{
			Client: "10.0.0.7", ClientPort: 40512, Source: web, Service: "vault", Namespace: "shop", Port: 7000, Backend: "vault",
			Endpoint: "10.0.0.9:9003", Tries: 1, Protocol: "tcp", Connection: state, Reason: reason,
		}
	}
	over := func(state, reason string) admin.Tapped {
		tapped := connection(state, reason)
		tapped.TookMs, tapped.Received, tapped.Sent = 1234.56, 5, 70_000
		return tapped
	}
	session := over("closed", "")
	session.Protocol, session.Source, session.Client = "udp", telemetry.Workload{}, "fd00::7"
	for _, test := range []struct {
		tapped       admin.Tapped
		format, want string
	}{
		{
			admin.Tapped{Source: web, Service: "orders", Namespace: "shop", Port: 80, Protocol: "http", Method: "GET", Path: "/", Status: 200, TookMs: 1.25, Sent: 2, Backend: "orders", Endpoint: "10.0.0.8:9001", Tries: 2}, "",
			"→ GET /  shop/web to orders.shop:80  http\n← 200  1.2 ms  2 bytes  by orders at 10.0.0.8:9001, try 2\n",
		},
		{
			admin.Tapped{Source: web, Service: "orders", Namespace: "shop", Port: 80, Protocol: "http", Method: "GET", Path: "/", Status: 499, Reason: "client-gone", TookMs: 1.25, Backend: "orders", Endpoint: "10.0.0.8:9001", Tries: 1}, "",
			"→ GET /  shop/web to orders.shop:80  http\n← 499  1.2 ms  0 bytes  client-gone: the client left, or fell behind  by orders at 10.0.0.8:9001\n",
		},
		{connection("opened", ""), "", "→ tcp  shop/web (10.0.0.7:40512) to vault.shop:7000  by vault at 10.0.0.9:9003\n"},
		{over("closed", ""), "", "← closed  shop/web (10.0.0.7:40512)  1234.6 ms  5 bytes received, 70000 sent  by vault at 10.0.0.9:9003\n"},
		{over("broken", ""), "", "← broken off  shop/web (10.0.0.7:40512)  1234.6 ms  5 bytes received, 70000 sent  by vault at 10.0.0.9:9003\n"},
		{over("broken", "access-denied"), "", "← broken off: access-denied  shop/web (10.0.0.7:40512)  1234.6 ms  5 bytes received, 70000 sent  by vault at 10.0.0.9:9003\n"},
		{
			connection("refused", "connect-failed"), "",
			"→ tcp  shop/web (10.0.0.7:40512) to vault.shop:7000  by vault at 10.0.0.9:9003\n← refused: connect-failed  shop/web (10.0.0.7:40512)\n",
		},
		{session, "", "← closed  [fd00::7]:40512  1234.6 ms  5 datagrams received, 70000 sent  by vault at 10.0.0.9:9003\n"},
		{admin.Tapped{Missed: 3}, "", "… 3 more came too fast to be shown\n"},
		{
			connection("opened", ""), console.FormatJSON,
			`{"connection":"opened","client":"10.0.0.7","clientPort":40512,"source":{"namespace":"shop","name":"web"},"service":"vault","namespace":"shop","port":7000,"backend":"vault","destination":{},"endpoint":"10.0.0.9:9003","tries":1,"protocol":"tcp"}`,
		},
	} {
		var out bytes.Buffer
		if test.format == "" {
			test.format = console.FormatTable
		}
		new(tapCommand).show(&console.Printer{Out: &out, Format: test.format}, &test.tapped)
		got := out.String()
		if test.format == console.FormatJSON {
			got = compact(t, got)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s %s (- want, + got)\n%s", test.tapped.Connection, test.tapped.Reason, diff)
		}
	}
}

// TestTapGoesOnWhileAProxyIsLeft: one that breaks off is told at once, the others
// are watched on, and the last one's end is the error.
func TestTapGoesOnWhileAProxyIsLeft(t *testing.T) {
	next := make(chan string)
	proxy := func(tell func(http.ResponseWriter, *http.Request)) *reach.Proxy {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			tell(w, r)
		}))
		t.Cleanup(server.Close)
		fleet := reach.Local(server.Listener.Addr().String(), time.Second)
		t.Cleanup(fleet.Close)
		return fleet.Proxies[0]
	}
	lasting := proxy(func(w http.ResponseWriter, r *http.Request) {
		for {
			select {
			case line, more := <-next:
				if !more {
					return
				}
				fmt.Fprintln(w, line)
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	broken := proxy(func(http.ResponseWriter, *http.Request) {})
	// What is told, as it comes.
	heard, says := io.Pipe()
	told := bufio.NewReader(heard)
	line := func(want string) {
		t.Helper()
		if got, err := told.ReadString('\n'); err != nil || got != want+"\n" {
			t.Errorf("told %q, %v; want %q", got, err, want)
		}
	}
	tap := func(count int) chan error {
		w := watching{command: &tapCommand{Count: count}, what: "orders.shop", out: &console.Printer{Out: says}, errors: says}
		done := make(chan error, 1)
		go func() { done <- w.run(t.Context(), []*reach.Proxy{lasting, broken}, "/api/tap") }()
		line("weft: " + where(broken) + " told no more: unexpected EOF")
		return done
	}
	done := tap(1)
	next <- `{"connection":"refused"}`
	line("→   :0 to .:0")
	line("← refused  :0")
	if err := <-done; err != nil {
		t.Errorf("enough was shown: %v", err)
	}
	done = tap(1)
	close(next)
	if err, want := <-done, where(lasting)+" told no more: unexpected EOF"; err == nil || err.Error() != want {
		t.Errorf("none is left: %v; want %s", err, want)
	}
}

// TestTapSaysOnceThatItHasBegun: to a person, when every proxy has answered.
func TestTapSaysOnceThatItHasBegun(t *testing.T) {
	var told bytes.Buffer
	w := watching{what: "orders.shop", errors: &told, person: true, asked: 4}
	for _, err := range []error{nil, io.EOF, nil, nil} {
		if told.Len() > 0 {
			t.Errorf("told too soon: %s", &told)
		}
		w.answered(err)
	}
	if want := "watching orders.shop on 3 proxies\n"; told.String() != want {
		t.Errorf("%q; want %q", &told, want)
	}
}

// compact is JSON without space between its parts.
func compact(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
