package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests counts the HTTP requests of one caller to one backend. Its series
// are looked up once, so that counting takes no lock and no memory. A nil
// *Requests counts nothing.
type Requests struct {
	proxy    *Proxy
	call     Call
	protocol string
	byCode   [600]atomic.Pointer[requestSeries]
}

// requestSeries are those of one status.
type requestSeries struct {
	requests  prometheus.Counter
	durations prometheus.Observer
}

// Requests returns what counts the requests of a call. protocol is http, http2
// or grpc.
func (p *Proxy) Requests(c Call, protocol string) *Requests {
	if p == nil {
		return nil
	}
	return &Requests{proxy: p, call: c, protocol: protocol}
}

// Count counts one request as Proxy.Request does.
func (r *Requests) Count(code int, took time.Duration) {
	if r == nil {
		return
	}
	if code < 100 || code > 599 {
		code = 0
	}
	s := r.byCode[code].Load()
	if s == nil {
		values := r.call.values(r.protocol, codeLabel(code))
		s = &requestSeries{
			requests:  r.proxy.requests.WithLabelValues(values...),
			durations: r.proxy.durations.WithLabelValues(values...),
		}
		r.byCode[code].Store(s)
	}
	s.requests.Inc()
	s.durations.Observe(float64(took) / float64(time.Millisecond))
}
