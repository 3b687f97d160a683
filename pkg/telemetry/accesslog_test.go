package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// event is one of which everything is known.
func event() telemetry.Event {
	began := time.Date(2026, 11, 26, 12, 0, 0, 1000, time.UTC)
	return telemetry.Event{
		Note: &telemetry.Note{
			Began: began, Method: "GET", Path: "/a\n\"b\"", Host: "orders.shop.mesh", UserAgent: "curl/8", RequestID: "r-1",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		},
		Call:    canary("grpc"),
		Outcome: telemetry.Outcome{Code: 200, GRPC: telemetry.GRPC(14), Reason: "upstream-reset", Took: 12345678, First: 2 * time.Millisecond, Received: 10, Sent: 20},
		Port:    80, Client: netip.MustParseAddr("10.0.0.1"),
		Tries: []telemetry.Attempt{{Endpoint: netip.MustParseAddrPort("10.0.0.8:8080"), Began: began}, {Endpoint: netip.MustParseAddrPort("10.0.0.9:8080"), Began: began}},
	}
}

// connection is the same of a TCP connection or UDP session that ended so.
func connection(protocol, state, reason string) telemetry.Event {
	e := event()
	e.Note, e.Call, e.Outcome = &telemetry.Note{Began: e.Began}, canary(protocol), telemetry.Outcome{Reason: reason, Took: time.Millisecond, Received: 10, Sent: 20}
	e.Tries, e.Connection = e.Tries[1:], &telemetry.ConnectionEvent{State: state, ClientPort: 40512}
	return e
}

// logged is what an access log writes of events.
func logged(t *testing.T, config telemetry.AccessLogConfig, events ...telemetry.Event) string {
	t.Helper()
	var out bytes.Buffer
	config.Out = &out
	log := telemetry.NewAccessLog(prometheus.NewRegistry(), config)
	for _, e := range events {
		if log.Wants(e.Access) {
			log.Take(&e)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Run(ctx); err != nil { // what waits is written at the end
		t.Error(err)
	}
	return out.String()
}

func TestALineSaysEverything(t *testing.T) {
	got := logged(t, telemetry.AccessLogConfig{Mode: telemetry.LogAll}, event())
	const want = `{"time":"2026-11-26T12:00:00.000001Z","method":"GET","path":"/a\n\"b\"","host":"orders.shop.mesh","protocol":"grpc","status":200,"grpcStatus":"14",` +
		`"reason":"upstream-reset","client":"10.0.0.1","source":"front/web","sourcePod":"web-1","service":"orders.shop","port":80,"backend":"orders-v2",` +
		`"destination":"shop/orders-v2","destinationPod":"orders-v2-1","endpoint":"10.0.0.9:8080","tries":2,"durationMs":12.345,"firstByteMs":2,` +
		`"requestBytes":10,"responseBytes":20,"userAgent":"curl/8","requestId":"r-1","traceId":"0af7651916cd43dd8448eb211c80319c"}` + "\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if text := logged(t, telemetry.AccessLogConfig{Mode: telemetry.LogAll, Text: true}, event()); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "2026-11-26T12:00:00.000001Z backend=orders-v2 ") {
		t.Errorf("as text: %q", text)
	}
}

func TestALineOfAConnectionSaysEverything(t *testing.T) {
	for protocol, amounts := range map[string]string{"tcp": `"requestBytes":10,"responseBytes":20`, "udp": `"requestDatagrams":10,"responseDatagrams":20`} {
		got := logged(t, telemetry.AccessLogConfig{Mode: telemetry.LogAll}, connection(protocol, telemetry.Opened, ""), connection(protocol, telemetry.Broken, "access-denied"))
		want := `{"time":"2026-11-26T12:00:00.000001Z","protocol":"` + protocol + `","connection":"broken","reason":"access-denied","client":"10.0.0.1","clientPort":40512,` +
			`"source":"front/web","sourcePod":"web-1","service":"orders.shop","port":80,"backend":"orders-v2",` +
			`"destination":"shop/orders-v2","destinationPod":"orders-v2-1","endpoint":"10.0.0.9:8080","durationMs":1,` + amounts + "}\n"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEveryFieldOfTheAccessLogIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/access-log.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| field |")
	line := map[string]any{} // of all of them the fields
	for _, e := range []telemetry.Event{event(), connection("tcp", telemetry.Closed, ""), connection("udp", telemetry.Closed, "")} {
		if err := json.Unmarshal([]byte(logged(t, telemetry.AccessLogConfig{Mode: telemetry.LogAll}, e)), &line); err != nil {
			t.Fatal(err)
		}
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-zA-Z]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(line)), documented); diff != "" {
		t.Errorf("fields of a line (-) and of docs/access-log.md (+):\n%s", diff)
	}
}

func TestWhatIsLogged(t *testing.T) {
	fine, failed, refused, grpc := event(), event(), event(), event()
	for i, e := range []*telemetry.Event{&fine, &failed, &refused, &grpc} {
		e.Outcome = telemetry.Outcome{Code: []int{404, 503, 429, 200}[i], Reason: []string{"", "", "rate-limited", ""}[i]}
	}
	grpc.GRPC = telemetry.GRPC(13)
	opened, closed := connection("tcp", telemetry.Opened, ""), connection("tcp", telemetry.Closed, "")
	broken, denied := connection("tcp", telemetry.Broken, ""), connection("udp", telemetry.Refused, "access-denied")
	for _, test := range []struct {
		mode, access string
		sample, want int
	}{
		{telemetry.LogOff, "", 0, 0}, {telemetry.LogAll, "", 0, 7}, {telemetry.LogErrors, "", 0, 5}, {telemetry.LogSampled, "", 0, 5}, {telemetry.LogSampled, "", 100, 7},
		{telemetry.LogOff, telemetry.LogErrors, 0, 5}, {telemetry.LogAll, telemetry.LogOff, 0, 0},
	} {
		events := []telemetry.Event{fine, failed, refused, grpc, opened, closed, broken, denied}
		for i := range events {
			events[i].Access = test.access
		}
		out := logged(t, telemetry.AccessLogConfig{Mode: test.mode, Sample: test.sample}, events...)
		if n := strings.Count(out, "\n"); n != test.want {
			t.Errorf("%+v: %d lines: %s", test, n, out)
		}
	}
}

// TestASlowLogSlowsNobody: what cannot be written is dropped and counted.
func TestASlowLogSlowsNobody(t *testing.T) {
	registry := prometheus.NewRegistry()
	log := telemetry.NewAccessLog(registry, telemetry.AccessLogConfig{Mode: telemetry.LogAll, Out: &bytes.Buffer{}})
	e := event()
	for range 10_000 { // nobody writes
		log.Take(&e)
	}
	want := fmt.Sprintf("# HELP weft_access_log_dropped_total Lines of the access log that were not written because too many waited.\n# TYPE weft_access_log_dropped_total counter\nweft_access_log_dropped_total %d\n", 10_000-8192)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestTraceContexts(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, test := range []struct {
		note telemetry.Note
		want string // trace, span, decided, sampled
	}{
		{telemetry.Note{TraceParent: "00-" + trace + "-" + span + "-01"}, trace + " " + span + " true true"},
		{telemetry.Note{TraceParent: "00-" + trace + "-" + span + "-00"}, trace + " " + span + " true false"},
		{telemetry.Note{TraceParent: "cc-" + trace + "-" + span + "-01-what-comes"}, trace + " " + span + " true true"},
		{telemetry.Note{TraceParent: "00-" + trace + "-" + span + "-01-what-comes"}, "none"},
		{telemetry.Note{TraceParent: "ff-" + trace + "-" + span + "-01"}, "none"},
		{telemetry.Note{TraceParent: "00-" + strings.ToUpper(trace) + "-" + span + "-01"}, "none"},
		{telemetry.Note{TraceParent: "00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, "none"},
		{telemetry.Note{TraceParent: "00-" + trace}, "none"},
		{telemetry.Note{B3: trace + "-" + span + "-1-05e3ac9a4f6e3b90"}, trace + " " + span + " true true"},
		{telemetry.Note{B3: span + "-" + span}, strings.Repeat("0", 16) + span + " " + span + " false false"},
		{telemetry.Note{B3: "0"}, "none"},
		{telemetry.Note{B3TraceID: trace, B3SpanID: span, B3Sampled: "0"}, trace + " " + span + " true false"},
		{telemetry.Note{B3TraceID: trace, B3SpanID: span}, trace + " " + span + " false false"},
		{telemetry.Note{B3TraceID: trace}, "none"},
		{telemetry.Note{}, "none"},
	} {
		c := test.note.Trace()
		got := fmt.Sprintf("%x %x %v %v", c.TraceID, c.SpanID, c.Decided, c.Sampled)
		if c == (telemetry.TraceContext{}) {
			got = "none"
		}
		if got != test.want {
			t.Errorf("%+v: %s; want %s", test.note, got, test.want)
		}
	}
}
