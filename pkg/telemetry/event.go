package telemetry

import (
	"net/netip"
	"time"
)

// Event is one request that is over, or a TCP connection or UDP session that has
// opened or is over: what an access log and a trace are made of.
type Event struct {
	*Note
	Call
	Outcome
	// Port is that of the Service, Access what the annotation weft.mesh/access-log
	// says of it; empty for nothing.
	Port   uint16
	Access string
	// Client is who called; Tries are the endpoints that were tried, in turn, of a
	// connection or session the last.
	Client netip.Addr
	Tries  []Attempt
	// Connection says more of a connection or session; nil for a request.
	Connection *ConnectionEvent
}

// What an Event of a TCP connection or UDP session tells.
const (
	Opened  = "opened"  // it has just reached its endpoint; its Outcome is empty yet
	Closed  = "closed"  // both sides have ended it, or a session was idle
	Broken  = "broken"  // it was broken off: both sides of a connection were reset
	Refused = "refused" // it never opened
)

// ConnectionEvent is what an Event says only of a TCP connection or UDP session.
type ConnectionEvent struct {
	State string // Opened, Closed, Broken or Refused
	// ClientPort tells it from others of the same client.
	ClientPort uint16
}

// Attempt is one endpoint that was tried, and since when.
type Attempt struct {
	Endpoint netip.AddrPort
	Began    time.Time
}

// Note is what is kept of a request while it runs, where somebody wants an Event.
type Note struct {
	Began                         time.Time
	Method, Path, Host, UserAgent string
	RequestID                     string // x-request-id
	TraceParent                   string // W3C trace context
	B3, B3TraceID, B3SpanID       string // Zipkin's, as one field or as several
	B3Sampled                     string
}

// Request is what a Note is made of.
type Request interface {
	Method() []byte
	Path() []byte
	Header(name string, i int) (value []byte, ok bool)
}

// Noted are the fields that a Note holds.
func Noted() []string {
	return []string{"host", "user-agent", "x-request-id", "traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled"}
}

// Sink takes Events. It must not wait.
type Sink interface {
	// Wants tells whether the calls of a port are of interest; access is what its
	// annotation weft.mesh/access-log says, empty for nothing.
	Wants(access string) bool
	Take(*Event)
}

// Events passes what has become of requests, or of connections, on to sinks. A nil
// *Events, and one without sinks, passes nothing, and costs nothing.
type Events struct{ sinks []Sink }

// NewEvents returns Events for sinks, nil for none.
func NewEvents(sinks ...Sink) *Events {
	if len(sinks) == 0 {
		return nil
	}
	return &Events{sinks}
}

// Want tells whether the calls of a port are of interest to anybody.
func (e *Events) Want(access string) bool {
	if e == nil {
		return false
	}
	for _, s := range e.sinks {
		if s.Wants(access) {
			return true
		}
	}
	return false
}

// NewNote keeps what is wanted of a request that begins.
func NewNote(r Request) *Note {
	header := func(name string) string {
		value, _ := r.Header(name, 0)
		return string(value)
	}
	return &Note{
		Began: time.Now(), Method: string(r.Method()), Path: string(r.Path()), Host: header("host"),
		UserAgent: header("user-agent"), RequestID: header("x-request-id"), TraceParent: header("traceparent"),
		B3: header("b3"), B3TraceID: header("x-b3-traceid"), B3SpanID: header("x-b3-spanid"), B3Sampled: header("x-b3-sampled"),
	}
}

// Pass gives an Event to the sinks that want it.
func (e *Events) Pass(event *Event) {
	for _, s := range e.sinks {
		if s.Wants(event.Access) {
			s.Take(event)
		}
	}
}
