package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// descriptions are the metrics of a Proxy's Flows.
type descriptions struct {
	requests, took, first, received, sent     *prometheus.Desc
	opened, closed, tcpSent, tcpReceived      *prometheus.Desc
	sessions, datagrams, series, seriesLimits *prometheus.Desc
}

func describe() descriptions {
	outcome := callLabels("response_code", "grpc_response_status", "response_flags")
	desc := func(name, help string, labels []string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return descriptions{
		requests: desc("weft_requests_total", "HTTP requests by their answer; 499 where the client left first.", outcome),
		took:     desc("weft_request_duration_milliseconds", "How long HTTP requests took, from their headers to the end of the answer.", outcome),
		first:    desc("weft_request_first_byte_milliseconds", "How long endpoints took to begin their answer, from when one was chosen.", outcome),
		received: desc("weft_request_bytes", "Bytes of request bodies.", outcome),
		sent:     desc("weft_response_bytes", "Bytes of answers' bodies.", outcome),

		opened:      desc("weft_tcp_connections_opened_total", "Relayed TCP connections that reached an endpoint.", callLabels()),
		closed:      desc("weft_tcp_connections_closed_total", "Relayed TCP connections that have ended.", callLabels()),
		tcpSent:     desc("weft_tcp_sent_bytes_total", "Bytes relayed from endpoints to clients.", callLabels()),
		tcpReceived: desc("weft_tcp_received_bytes_total", "Bytes relayed from clients to endpoints.", callLabels()),

		sessions:  desc("weft_udp_sessions", "Open UDP sessions: one per client address and port.", callLabels()),
		datagrams: desc("weft_udp_datagrams_total", "Relayed UDP datagrams.", callLabels("direction")),

		series:       desc("weft_series", "Label sets of calls that are told apart.", nil),
		seriesLimits: desc("weft_series_limit", "How many may be; what is over it is counted as other.", nil),
	}
}

// Describe names the metrics.
func (p *Proxy) Describe(out chan<- *prometheus.Desc) {
	d := describe()
	for _, desc := range []*prometheus.Desc{
		d.requests, d.took, d.first, d.received, d.sent, d.opened, d.closed, d.tcpSent, d.tcpReceived,
		d.sessions, d.datagrams, d.series, d.seriesLimits,
	} {
		out <- desc
	}
}

// series is what one label set of requests shows.
type series struct {
	took, first    [timeBuckets + 1]uint64
	received, sent [sizeBuckets + 1]uint64
	sums           [4]float64 // of the four, in this order
}

// labelSet tells label sets apart.
type labelSet struct {
	call Call
	outcome
}

// connections is what one label set of connections shows.
type connections struct{ opened, closed, sent, received uint64 }

// Collect sums up the Flows of each label set and tells them.
func (p *Proxy) Collect(out chan<- prometheus.Metric) {
	requests, relayed, rows := p.sum()
	d := describe()
	bounds := newBounds()
	for set, s := range requests {
		labels := set.call.values(codeLabel(int(set.code)), grpcLabel(set.grpc), flagsLabel(set.reason))
		count := uint64(0)
		for _, n := range s.took {
			count += n
		}
		out <- prometheus.MustNewConstMetric(d.requests, prometheus.CounterValue, float64(count), labels...)
		out <- histogram(d.took, bounds.times, s.took[:], s.sums[0], labels)
		out <- histogram(d.first, bounds.times, s.first[:], s.sums[1], labels)
		out <- histogram(d.received, bounds.sizes, s.received[:], s.sums[2], labels)
		out <- histogram(d.sent, bounds.sizes, s.sent[:], s.sums[3], labels)
	}
	for call, c := range relayed {
		d.connections(out, &call, c)
	}
	out <- prometheus.MustNewConstMetric(d.series, prometheus.GaugeValue, float64(rows))
	out <- prometheus.MustNewConstMetric(d.seriesLimits, prometheus.GaugeValue, float64(p.most))
}

// connections tells those of one Call.
func (d *descriptions) connections(out chan<- prometheus.Metric, call *Call, c *connections) {
	tell := func(desc *prometheus.Desc, kind prometheus.ValueType, n uint64, more ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, float64(n), call.values(more...)...)
	}
	if call.Protocol == "udp" {
		tell(d.sessions, prometheus.GaugeValue, c.opened-c.closed)
		tell(d.datagrams, prometheus.CounterValue, c.sent, "sent")
		tell(d.datagrams, prometheus.CounterValue, c.received, "received")
		return
	}
	tell(d.opened, prometheus.CounterValue, c.opened)
	tell(d.closed, prometheus.CounterValue, c.closed)
	tell(d.tcpSent, prometheus.CounterValue, c.sent)
	tell(d.tcpReceived, prometheus.CounterValue, c.received)
}

// sum adds up what the Flows of each label set have counted.
func (p *Proxy) sum() (map[labelSet]*series, map[Call]*connections, int) {
	p.looking.Lock() // so that no Flow moves into another meanwhile
	defer p.looking.Unlock()
	requests, relayed := map[labelSet]*series{}, map[Call]*connections{}
	for _, f := range p.all() {
		call := f.call.labelled()
		if closed := f.closed.Load(); f.opened.Load() > 0 {
			c := of(relayed, call)
			c.closed += closed
			c.opened += f.opened.Load()
			c.sent += f.sent.Load()
			c.received += f.received.Load()
		}
		f.each(func(c *cell, l *lane) { of(requests, labelSet{call, c.outcome}).add(l) })
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return requests, relayed, p.rows
}

// of is the value of a key, made where there is none.
func of[K comparable, V any](all map[K]*V, key K) *V {
	v := all[key]
	if v == nil {
		v = new(V)
		all[key] = v
	}
	return v
}

func (s *series) add(l *lane) {
	for i := range s.took {
		s.took[i] += l.took.counts[i].Load()
		s.first[i] += l.first.counts[i].Load()
	}
	for i := range s.sent {
		s.received[i] += l.received.counts[i].Load()
		s.sent[i] += l.sent.counts[i].Load()
	}
	s.sums[0] += float64(l.took.sum.Load()) / float64(time.Millisecond)
	s.sums[1] += float64(l.first.sum.Load()) / float64(time.Millisecond)
	s.sums[2] += float64(l.received.sum.Load())
	s.sums[3] += float64(l.sent.sum.Load())
}

// bounds are the upper bounds of the buckets but the last.
type bounds struct{ times, sizes []float64 }

func newBounds() bounds {
	times, sizes := timeBounds(), sizeBounds()
	return bounds{times[:], sizes[:]}
}

func histogram(desc *prometheus.Desc, bounds []float64, counts []uint64, sum float64, labels []string) prometheus.Metric {
	buckets, n := make(map[float64]uint64, len(bounds)), uint64(0)
	for i, bound := range bounds {
		n += counts[i]
		buckets[bound] = n
	}
	n += counts[len(bounds)]
	return prometheus.MustNewConstHistogram(desc, n, sum, buckets, labels...)
}
