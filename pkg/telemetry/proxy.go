package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Proxy counts what a node proxy carries. A nil *Proxy is valid and counts
// nothing. No label is ever taken from the bytes of a request.
type Proxy struct {
	requests    *prometheus.CounterVec
	durations   *prometheus.HistogramVec
	connections *prometheus.CounterVec
	open        *prometheus.GaugeVec
	sent        *prometheus.CounterVec
	received    *prometheus.CounterVec
	sessions    *prometheus.GaugeVec
	datagrams   *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	listeners   *prometheus.GaugeVec
}

// Call says between whom a request or a connection runs.
type Call struct {
	// SourceWorkload and SourceNamespace are the owner of the calling pod
	// (Deployment, …) and its namespace; empty means unknown.
	SourceWorkload, SourceNamespace string
	// Service and Namespace are the Service that was called.
	Service, Namespace string
	// Backend is the Service that served it, which a split may choose; empty
	// means that none did.
	Backend string
}

// unknown stands where a label has no value: an empty label is a missing one.
const unknown = "unknown"

// callLabels are the labels of a Call.
func callLabels(more ...string) []string {
	return append([]string{
		"reporter", "source_workload", "source_workload_namespace",
		"destination_service", "destination_service_name", "destination_service_namespace", "destination_backend",
	}, more...)
}

func (c *Call) values(more ...string) []string {
	return append([]string{
		"source", orUnknown(c.SourceWorkload), orUnknown(c.SourceNamespace),
		c.Service + "." + c.Namespace, c.Service, c.Namespace, orUnknown(c.Backend),
	}, more...)
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

// NewProxy registers the metrics of a proxy. It panics where reg has them already.
func NewProxy(reg prometheus.Registerer) *Proxy {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "weft_request_duration_milliseconds",
		Help:    "How long HTTP requests took, from their headers to the end of the answer.",
		Buckets: []float64{0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000},
	}, callLabels("request_protocol", "response_code"))
	reg.MustRegister(durations)
	return &Proxy{
		requests:    counter("weft_requests_total", "HTTP requests by their answer; 499 where the client left first.", callLabels("request_protocol", "response_code")...),
		durations:   durations,
		connections: counter("weft_tcp_connections_total", "Relayed TCP connections that reached an endpoint.", callLabels()...),
		open:        gauge("weft_tcp_connections_open", "Relayed TCP connections that are open.", callLabels()...),
		sent:        counter("weft_tcp_sent_bytes_total", "Bytes relayed from endpoints to clients.", callLabels()...),
		received:    counter("weft_tcp_received_bytes_total", "Bytes relayed from clients to endpoints.", callLabels()...),
		sessions:    gauge("weft_udp_sessions", "Open UDP sessions: one per client address and port.", callLabels()...),
		datagrams:   counter("weft_udp_datagrams_total", "Relayed UDP datagrams.", callLabels("direction")...),
		refusals:    counter("weft_refusals_total", "Calls that Weft refused or that broke off, by reason.", "reason"),
		listeners:   gauge("weft_listeners", "Open listening addresses.", "transport"),
	}
}

// Request counts one HTTP request. protocol is http, http2 or grpc; code is the
// status of the answer.
func (p *Proxy) Request(c Call, protocol string, code int, took time.Duration) {
	if p == nil {
		return
	}
	values := c.values(protocol, codeLabel(code))
	p.requests.WithLabelValues(values...).Inc()
	p.durations.WithLabelValues(values...).Observe(float64(took) / float64(time.Millisecond))
}

// codeLabel bounds what an endpoint can make of a label.
func codeLabel(code int) string {
	if code < 100 || code > 599 {
		return unknown
	}
	return strconv.Itoa(code)
}

// Connection counts a relayed TCP connection that opens, and returns what
// counts its bytes and its end.
func (p *Proxy) Connection(c Call) *Connection {
	if p == nil {
		return nil
	}
	values := c.values()
	p.connections.WithLabelValues(values...).Inc()
	open := p.open.WithLabelValues(values...)
	open.Inc()
	return &Connection{
		sent: p.sent.WithLabelValues(values...), received: p.received.WithLabelValues(values...), open: open,
	}
}

// Connection counts one relayed TCP connection. A nil *Connection counts nothing.
type Connection struct {
	sent, received prometheus.Counter
	open           prometheus.Gauge
}

// Sent counts bytes from the endpoint to the client.
func (c *Connection) Sent(bytes int64) {
	if c != nil {
		c.sent.Add(float64(bytes))
	}
}

// Received counts bytes from the client to the endpoint.
func (c *Connection) Received(bytes int64) {
	if c != nil {
		c.received.Add(float64(bytes))
	}
}

// Close counts the end of the connection. It must be called once.
func (c *Connection) Close() {
	if c != nil {
		c.open.Dec()
	}
}

// Session counts a UDP session that opens, and returns what counts its
// datagrams and its end.
func (p *Proxy) Session(c Call) *Session {
	if p == nil {
		return nil
	}
	open := p.sessions.WithLabelValues(c.values()...)
	open.Inc()
	return &Session{
		sent:     p.datagrams.WithLabelValues(c.values("sent")...),
		received: p.datagrams.WithLabelValues(c.values("received")...),
		open:     open,
	}
}

// Session counts one UDP session. A nil *Session counts nothing.
type Session struct {
	sent, received prometheus.Counter
	open           prometheus.Gauge
}

// Sent counts a datagram from the endpoint to the client.
func (s *Session) Sent() {
	if s != nil {
		s.sent.Inc()
	}
}

// Received counts a datagram from the client to the endpoint.
func (s *Session) Received() {
	if s != nil {
		s.received.Inc()
	}
}

// Close counts the end of the session. It must be called once.
func (s *Session) Close() {
	if s != nil {
		s.open.Dec()
	}
}

// Refused counts a call that was refused or broke off. reason is the code that
// the header weft-reason shows.
func (p *Proxy) Refused(reason string) {
	if p != nil {
		p.refusals.WithLabelValues(reason).Inc()
	}
}

// Listeners sets how many listening addresses of a transport are open.
func (p *Proxy) Listeners(transport string, open int) {
	if p != nil {
		p.listeners.WithLabelValues(transport).Set(float64(open))
	}
}
