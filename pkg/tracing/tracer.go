package tracing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/weft-mesh/weft/pkg/telemetry"
)

// What waits to be sent, how much of it is sent at once, how long it waits for
// more, and how long the collector may take.
const (
	queueLength   = 4096
	batchLength   = 256
	batchPause    = time.Second
	exportTimeout = 5 * time.Second
)

// Config of a Tracer.
type Config struct {
	// Endpoint is the collector: grpc://host:4317 or http://host:4318, by TLS
	// grpcs:// or https://. A path of HTTP is kept; without one it is /v1/traces.
	Endpoint string
	// Sample is how many of 100 requests are recorded of those whose caller has
	// not decided it. A caller's decision is followed.
	Sample int
	// Node names the proxy.
	Node string
	Log  zerolog.Logger
}

// Tracer sends spans. Make it with New, run it with Run.
type Tracer struct {
	config  Config
	export  func(context.Context, []byte) error
	http    *http.Client
	queue   chan telemetry.Event
	dropped prometheus.Counter
	failing bool // the last export failed; Run has it
}

// New registers the counter weft_spans_dropped_total.
func New(reg prometheus.Registerer, config Config) (*Tracer, error) {
	t := &Tracer{
		config: config, queue: make(chan telemetry.Event, queueLength),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weft_spans_dropped_total", Help: "Requests whose spans did not reach the collector.",
		}),
	}
	if err := t.aim(config.Endpoint); err != nil {
		return nil, err
	}
	reg.MustRegister(t.dropped)
	return t, nil
}

// ParseEndpoint reads a Config's Endpoint. The error says what it takes.
func ParseEndpoint(endpoint string) (*url.URL, error) {
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || !slices.Contains([]string{"grpc", "grpcs", "http", "https"}, at.Scheme) {
		return nil, fmt.Errorf("%s: takes grpc://host:4317 or http://host:4318, by TLS grpcs:// or https://", endpoint)
	}
	return at, nil
}

// aim makes the way to an endpoint.
func (t *Tracer) aim(endpoint string) error {
	at, err := ParseEndpoint(endpoint)
	if err != nil {
		return err
	}
	transport := &http.Transport{IdleConnTimeout: time.Minute}
	t.http = &http.Client{Timeout: exportTimeout, Transport: transport}
	if at.Scheme == "http" || at.Scheme == "https" {
		if at.Path == "" || at.Path == "/" {
			at.Path = "/v1/traces"
		}
		t.export = t.overHTTP(at.String())
		return nil
	}
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(at.Scheme == "grpc")
	transport.Protocols.SetHTTP2(at.Scheme == "grpcs")
	at.Scheme = map[string]string{"grpc": "http", "grpcs": "https"}[at.Scheme]
	at.Path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	t.export = t.overGRPC(at.String())
	return nil
}

// Wants is true of every port.
func (t *Tracer) Wants(string) bool { return true }

// Take records a request where it is to be, soon.
func (t *Tracer) Take(e *telemetry.Event) {
	if c := e.Trace(); c.Decided && !c.Sampled || !c.Decided && rand.IntN(100) >= t.config.Sample {
		return
	}
	select {
	case t.queue <- *e:
	default:
		t.dropped.Inc()
	}
}

// Run sends spans until the context ends, and then what still waits.
func (t *Tracer) Run(ctx context.Context) error {
	defer t.http.CloseIdleConnections()
	for {
		batch, over := t.collect(ctx)
		if len(batch) > 0 {
			t.send(context.WithoutCancel(ctx), batch)
		}
		if over && len(batch) == 0 {
			return nil
		}
	}
}

// collect waits for an event, and a moment for more. over tells that the context
// has ended.
func (t *Tracer) collect(ctx context.Context) (batch []telemetry.Event, over bool) {
	var pause <-chan time.Time
	done := ctx.Done()
	for len(batch) < batchLength {
		if over {
			select {
			case e := <-t.queue:
				batch = append(batch, e)
				continue
			default:
				return batch, true
			}
		}
		select {
		case e := <-t.queue:
			if batch = append(batch, e); pause == nil {
				pause = time.After(batchPause)
			}
		case <-pause:
			return batch, false
		case <-done:
			over = true
		}
	}
	return batch, over
}

// send sends a batch. One that the collector does not take is lost, and counted.
func (t *Tracer) send(ctx context.Context, batch []telemetry.Event) {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	message, err := encode(t.config.Node, batch)
	if err == nil {
		err = t.export(ctx, message)
	}
	if err != nil {
		t.dropped.Add(float64(len(batch)))
		if !t.failing {
			t.config.Log.Warn().Err(err).Str("endpoint", t.config.Endpoint).Msg("tracing: the collector takes no spans")
		}
	}
	t.failing = err != nil
}

var errRefused = errors.New("the collector refused the spans")
