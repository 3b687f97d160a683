package telemetry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Proxy counts what a node proxy carries. A nil *Proxy is valid and counts
// nothing. No label is ever taken from the bytes of a request. Its methods are
// safe for concurrent use.
type Proxy struct {
	refusals  *prometheus.CounterVec
	listeners *prometheus.GaugeVec
	denials   *prometheus.CounterVec
	limits    limits
	shown     descriptions
	most      int
	live      func() Living
	lanes     uint32
	next      atomic.Uint32 // lanes given so far

	denying sync.Mutex // guards what follows
	denied  map[Denial]prometheus.Counter

	mu    sync.RWMutex // guards what follows
	flows map[Call]*Flow
	rows  int

	looking  sync.Mutex // guards what follows, and what Flows keep of the past; taken before mu
	retiring []*Flow
	ticks    uint64
	ticked   time.Time // the last one, or the start
}

// ProxyConfig says what a Proxy keeps. Every zero value works.
type ProxyConfig struct {
	// Series bounds the label sets that are told apart: callers, destinations
	// and outcomes, by pods where they are known; and, by itself, those of calls
	// that are not allowed. What is over it is counted as other. Zero means
	// 10,000.
	Series int
	// Live says what is there now; without it no series are dropped.
	Live func() Living
}

// DefaultSeries is how many label sets a Proxy tells apart.
const DefaultSeries = 10_000

// NewProxy registers the metrics of a proxy. It panics where reg has them already.
func NewProxy(reg prometheus.Registerer, config ProxyConfig) *Proxy {
	if config.Series == 0 {
		config.Series = DefaultSeries
	}
	p := &Proxy{
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_refusals_total", Help: "Calls that Weft refused or that broke off, by reason.",
		}, []string{"reason"}),
		listeners: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "weft_listeners", Help: "Open listening addresses.",
		}, []string{"transport"}),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weft_access_denied_total", Help: "Calls that no TrafficTarget allows: refused where the mode is enforce, only told where it is audit.",
		}, denialLabels()),
		limits: timeLimits(), shown: describe(), most: config.Series, live: config.Live, lanes: lanes(),
		flows: map[Call]*Flow{}, denied: map[Denial]prometheus.Counter{}, ticked: time.Now(),
	}
	reg.MustRegister(p.refusals, p.listeners, p.denials, p)
	return p
}

// Lane returns the lane for a new connection.
func (p *Proxy) Lane() Lane {
	if p == nil {
		return 0
	}
	return Lane(p.next.Add(1) & (p.lanes - 1))
}

// Connection counts a relayed TCP connection that opens, and returns what
// counts its bytes and its end.
func (p *Proxy) Connection(c Call) *Connection {
	return &Connection{flow: p.Flow(c).begin()}
}

// Connection counts one relayed TCP connection, or a UDP session in datagrams. A
// nil one counts nothing.
type Connection struct{ flow *Flow }

// begin counts a connection. A Flow with an open one is not retired.
func (f *Flow) begin() *Flow {
	if f != nil {
		f.opened.Add(1)
	}
	return f
}

// Sent counts bytes from the endpoint to the client.
func (c *Connection) Sent(bytes int64) {
	if c != nil && c.flow != nil {
		c.flow.sent.Add(uint64(bytes))
	}
}

// Received counts bytes from the client to the endpoint.
func (c *Connection) Received(bytes int64) {
	if c != nil && c.flow != nil {
		c.flow.received.Add(uint64(bytes))
	}
}

// Close counts the end of the connection. It must be called once.
func (c *Connection) Close() {
	if c != nil && c.flow != nil {
		c.flow.closed.Add(1)
	}
}

// NotOpened counts a TCP connection or UDP session that was refused, with the
// reason that Refused counts it by.
func (p *Proxy) NotOpened(c Call, reason string) { p.Flow(c).refuse(reason) }

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
