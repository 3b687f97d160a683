package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/weft-mesh/weft/internal/pace"
)

// descriptions are the metrics of a Proxy's Flows, and the bounds of histograms.
type descriptions struct {
	requests, took, first, received, sent     *prometheus.Desc
	opened, closed, tcpSent, tcpReceived      *prometheus.Desc
	sessions, datagrams, series, seriesLimits *prometheus.Desc
	tcpRefused, udpRefused                    *prometheus.Desc

	times, sizes []float64 // the upper bounds of the buckets but the last
}

func describe() descriptions {
	outcome := callLabels("response_code", "grpc_response_status", "response_flags")
	desc := func(name, help string, labels []string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	times, sizes := timeBounds(), sizeBounds()
	return descriptions{
		times: times[:], sizes: sizes[:],
		requests: desc("weft_requests_total", "HTTP requests by their answer; 499 where the client left first.", outcome),
		took:     desc("weft_request_duration_milliseconds", "How long HTTP requests took, from their headers to the end of the answer.", outcome),
		first:    desc("weft_request_first_byte_milliseconds", "How long endpoints took to begin their answer, from when one was chosen.", outcome),
		received: desc("weft_request_bytes", "Bytes of request bodies.", outcome),
		sent:     desc("weft_response_bytes", "Bytes of answers' bodies.", outcome),

		opened:      desc("weft_tcp_connections_opened_total", "Relayed TCP connections that reached an endpoint.", callLabels()),
		closed:      desc("weft_tcp_connections_closed_total", "Relayed TCP connections that have ended.", callLabels()),
		tcpSent:     desc("weft_tcp_sent_bytes_total", "Bytes relayed from endpoints to clients.", callLabels()),
		tcpReceived: desc("weft_tcp_received_bytes_total", "Bytes relayed from clients to endpoints.", callLabels()),

		tcpRefused: desc("weft_tcp_connections_refused_total", "TCP connections that were refused or reached no endpoint.", callLabels("response_flags")),
		udpRefused: desc("weft_udp_sessions_refused_total", "UDP sessions that were refused: one for each datagram that was dropped so.", callLabels("response_flags")),

		sessions:  desc("weft_udp_sessions", "Open UDP sessions: one per client address and port.", callLabels()),
		datagrams: desc("weft_udp_datagrams_total", "Relayed UDP datagrams.", callLabels("direction")),

		series:       desc("weft_series", "Label sets of calls that are told apart.", nil),
		seriesLimits: desc("weft_series_limit", "How many may be; what is over it is counted as other.", nil),
	}
}

// Describe names the metrics.
func (p *Proxy) Describe(out chan<- *prometheus.Desc) {
	d := &p.shown
	for _, desc := range []*prometheus.Desc{
		d.requests, d.took, d.first, d.received, d.sent, d.opened, d.closed, d.tcpSent, d.tcpReceived,
		d.sessions, d.datagrams, d.series, d.seriesLimits, d.tcpRefused, d.udpRefused,
	} {
		out <- desc
	}
}

// series is what one label set of requests shows, or of refused connections.
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
	d, turns := &p.shown, pace.Start()
	for set, s := range requests {
		if refused := d.refused(set.call.Protocol); refused != nil {
			out <- prometheus.MustNewConstMetric(refused, prometheus.CounterValue, float64(s.count()), set.call.values(flagsLabel(set.reason))...)
			continue
		}
		values := set.call.values(codeLabel(int(set.code)), grpcLabel(set.grpc), flagsLabel(set.reason))
		labels := prometheus.MakeLabelPairs(d.took, values) // those of all five
		out <- prometheus.MustNewConstMetric(d.requests, prometheus.CounterValue, float64(s.count()), values...)
		out <- &histogram{&turns, d.took, labels, d.times, s.took[:], s.sums[0]}
		out <- &histogram{&turns, d.first, labels, d.times, s.first[:], s.sums[1]}
		out <- &histogram{&turns, d.received, labels, d.sizes, s.received[:], s.sums[2]}
		out <- &histogram{&turns, d.sent, labels, d.sizes, s.sent[:], s.sums[3]}
	}
	for call, c := range relayed {
		d.connections(out, &call, c)
	}
	out <- prometheus.MustNewConstMetric(d.series, prometheus.GaugeValue, float64(rows))
	out <- prometheus.MustNewConstMetric(d.seriesLimits, prometheus.GaugeValue, float64(p.most))
}

// refused is what counts connections or sessions that were refused; nil for
// requests, which have outcomes of their own.
func (d *descriptions) refused(protocol string) *prometheus.Desc {
	switch protocol {
	case "tcp":
		return d.tcpRefused
	case "udp":
		return d.udpRefused
	}
	return nil
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

// count is how many there were.
func (s *series) count() (n uint64) {
	for _, in := range s.took {
		n += in
	}
	return n
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

// histogram is one as it is shown. The library's own has labels and a map of
// buckets for each, which together were most of what a scrape took.
type histogram struct {
	turns  *pace.Pace // of who gathers
	desc   *prometheus.Desc
	labels []*dto.LabelPair // sorted; those of several
	bounds []float64
	counts []uint64 // one more than bounds; in the buckets alone
	sum    float64
}

// Desc is what it is called.
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write tells the buckets and the sum. Requests go on meanwhile: a scrape takes
// turns with them.
func (h *histogram) Write(out *dto.Metric) error {
	h.turns.Breathe()
	buckets, sums, n := make([]dto.Bucket, len(h.bounds)), make([]uint64, len(h.bounds)), uint64(0)
	shown := make([]*dto.Bucket, len(h.bounds))
	for i := range h.bounds {
		n += h.counts[i]
		sums[i] = n
		buckets[i].UpperBound, buckets[i].CumulativeCount = &h.bounds[i], &sums[i]
		shown[i] = &buckets[i]
	}
	n += h.counts[len(h.bounds)]
	out.Label, out.Histogram = h.labels, &dto.Histogram{SampleCount: &n, SampleSum: &h.sum, Bucket: shown}
	return nil
}
