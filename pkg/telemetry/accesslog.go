package telemetry

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// What an access log holds: all, what failed or was refused, or a random share
// of all and that.
const (
	LogOff     = "off"
	LogAll     = "all"
	LogErrors  = "errors"
	LogSampled = "sampled"
)

// queueLength is how many events may wait to be written.
const queueLength = 8192

// AccessLog writes a line for each request, TCP connection and UDP session that
// is over. It is a Sink; lines that cannot be written at once wait, and are
// dropped and counted where too many do. Make it with NewAccessLog, run it with
// Run.
type AccessLog struct {
	mode    string
	sample  int
	log     zerolog.Logger
	queue   chan *Event // pointers: a log that is off takes no memory for lines
	dropped prometheus.Counter
}

// AccessLogConfig says what is logged, and how.
type AccessLogConfig struct {
	// Mode is LogOff, LogAll, LogErrors or LogSampled where a Service says nothing.
	Mode string
	// Sample is how many of 100 LogSampled takes beside the errors.
	Sample int
	// Out takes the lines; Text makes them text instead of JSON.
	Out  io.Writer
	Text bool
}

// NewAccessLog registers the counter weft_access_log_dropped_total.
func NewAccessLog(reg prometheus.Registerer, config AccessLogConfig) *AccessLog {
	out := config.Out
	if config.Text {
		out = zerolog.ConsoleWriter{Out: config.Out, NoColor: true, TimeFormat: time.RFC3339Nano, PartsOrder: []string{zerolog.TimestampFieldName}}
	}
	a := &AccessLog{
		mode: config.Mode, sample: config.Sample, log: zerolog.New(out), queue: make(chan *Event, queueLength),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weft_access_log_dropped_total", Help: "Lines of the access log that were not written because too many waited.",
		}),
	}
	reg.MustRegister(a.dropped)
	return a
}

// modeOf is the mode of a port.
func (a *AccessLog) modeOf(access string) string {
	if access == "" {
		return a.mode
	}
	return access
}

// Wants tells whether anything of a port is logged.
func (a *AccessLog) Wants(access string) bool { return a.modeOf(access) != LogOff }

// Take writes a line, soon. What has only opened gets one when it is over.
func (a *AccessLog) Take(e *Event) {
	connection := e.Connection != nil
	if connection && e.Connection.State == Opened {
		return
	}
	if fine := e.Reason == "" && (connection && e.Connection.State == Closed || !connection && !e.Failed()); fine {
		switch a.modeOf(e.Access) {
		case LogErrors:
			return
		case LogSampled:
			if rand.IntN(100) >= a.sample {
				return
			}
		}
	}
	line := *e
	select {
	case a.queue <- &line:
	default:
		a.dropped.Inc()
	}
}

// Run writes until the context ends, and then what still waits.
func (a *AccessLog) Run(ctx context.Context) error {
	for {
		select {
		case e := <-a.queue:
			a.write(e)
		case <-ctx.Done():
			for {
				select {
				case e := <-a.queue:
					a.write(e)
				default:
					return nil
				}
			}
		}
	}
}

// write writes one line. Each field stands in docs/access-log.md.
func (a *AccessLog) write(e *Event) {
	out := a.log.Log().Str("time", e.Began.UTC().Format("2006-01-02T15:04:05.000000Z"))
	optional := func(name, value string) {
		if value != "" {
			out.Str(name, value)
		}
	}
	c := e.Connection
	if c == nil {
		out.Str("method", e.Method).Str("path", e.Path).Str("host", e.Host).Str("protocol", e.Protocol).Int("status", e.Code)
		optional("grpcStatus", grpcLabel(e.GRPC))
	} else {
		out.Str("protocol", e.Protocol).Str("connection", c.State)
	}
	optional("reason", e.Reason)
	out.Stringer("client", e.Client)
	if c != nil {
		out.Uint16("clientPort", c.ClientPort)
	}
	optional("source", e.Source.text())
	optional("sourcePod", e.Source.Pod)
	out.Str("service", e.Service+"."+e.Namespace).Uint16("port", e.Port)
	optional("backend", e.Backend)
	optional("destination", e.Destination.text())
	optional("destinationPod", e.Destination.Pod)
	if n := len(e.Tries); n > 0 {
		out.Stringer("endpoint", e.Tries[n-1].Endpoint)
		if c == nil {
			out.Int("tries", n)
		}
	}
	out.Float64("durationMs", ms(e.Took))
	if e.First > 0 {
		out.Float64("firstByteMs", ms(e.First))
	}
	unit := "Bytes"
	if e.Protocol == "udp" {
		unit = "Datagrams"
	}
	out.Uint64("request"+unit, e.Received).Uint64("response"+unit, e.Sent)
	optional("userAgent", e.UserAgent)
	optional("requestId", e.RequestID)
	optional("traceId", e.Trace().text())
	out.Send()
}

func ms(d time.Duration) float64 { return float64(d/time.Microsecond) / 1000 }

// text is namespace/name, empty for nobody known.
func (w *Workload) text() string {
	if w.Name == "" {
		return ""
	}
	return w.Namespace + "/" + w.Name
}
