package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-mesh/weft/internal/console"
	"github.com/weft-mesh/weft/pkg/admin"
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

// compact is JSON without space between its parts.
func compact(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
