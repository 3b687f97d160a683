package stdhttp

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
	"github.com/weft-mesh/weft/pkg/telemetry"
)

// exchange is one request on its way, decided by one Snapshot for life.
type exchange struct {
	engine   *Engine
	conn     *conn
	in       *http.Request
	out      *writer
	snapshot *upstream.Snapshot
	route    *upstream.Route
	client   netip.Addr
	started  time.Time

	cluster  *upstream.Cluster  // nil until one was chosen
	endpoint *upstream.Endpoint // the one that is busy with it; nil for none
	pool     *pool              // that of endpoint
	request  *body              // what the client sends
	response *body              // what the endpoint answers
	reason   upstream.Reason    // why it was refused or broke off; empty for neither
}

// exchangeKey is the context key of a request's *exchange.
type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange)
}

// handler returns the entry of all requests.
func (e *Engine) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      roundTripper{e},
		BufferPool:     &buffers{},
		ErrorLog:       log.New(debugLog{e.config.Log}, "", 0),
		ErrorHandler:   broken,
		ModifyResponse: answer,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := e.begin(w, r)
		defer x.end()
		if x.route == nil {
			x.refuse(upstream.NoRoute, "this port leads to no Service any more")
			return
		}
		if reason, what := judge(r); reason != "" {
			x.refuse(reason, what)
			return
		}
		caller := upstream.Caller{Address: x.client}
		decision := caller.Decide(x.snapshot, x.route, request{r})
		if x.cluster = decision.Cluster; x.cluster == nil {
			x.refuse(decision.Reason, decision.What)
			return
		}
		if expectsContinue(r) {
			w.WriteHeader(http.StatusContinue)
		}
		ctx := context.WithValue(r.Context(), exchangeKey{}, x)
		proxy.ServeHTTP(x.out, r.WithContext(ctx))
	})
}

func (e *Engine) begin(w http.ResponseWriter, r *http.Request) *exchange {
	e.serving.Add(1)
	c := r.Context().Value(connKey{}).(*conn)
	x := &exchange{engine: e, conn: c, in: r, started: time.Now(), snapshot: e.config.Current(), client: c.client}
	x.out = &writer{ResponseWriter: w, goodbye: e.drains.Load}
	x.route = x.snapshot.Route(c.at)
	x.request = &body{ReadCloser: r.Body}
	r.Body = x.request
	// An answer may begin before the request ends, also in HTTP/1.
	_ = http.NewResponseController(w).EnableFullDuplex()
	return x
}

// end settles what the exchange used and counts it, also when the handler
// panics: http.ErrAbortHandler is how an answer is broken off, and any other
// panic becomes it, so that only this request is lost.
func (x *exchange) end() {
	defer x.engine.serving.Done()
	if x.endpoint != nil {
		x.endpoint.Release()
		x.pool.leave()
	}
	panicked := recover()
	if panicked != nil && panicked != http.ErrAbortHandler { //nolint:errorlint // a panic value
		x.reason = upstream.Internal
		x.engine.config.Log.Error().Interface("panic", panicked).Bytes("stack", debug.Stack()).Msg("a request failed by a fault of the proxy")
	}
	x.count(panicked != nil)
	if panicked != nil {
		panic(http.ErrAbortHandler)
	}
}

// count tells the metrics what became of the exchange.
func (x *exchange) count(aborted bool) {
	if aborted && x.reason == "" {
		x.reason = upstream.ClientGone
		if x.response.failed() != nil && x.in.Context().Err() == nil {
			x.reason = upstream.UpstreamReset
		}
	}
	metrics := x.engine.config.Metrics
	if x.reason != "" {
		metrics.Refused(string(x.reason))
	}
	if x.route == nil {
		return
	}
	code := x.out.status
	if x.reason == upstream.ClientGone {
		code = upstream.StatusClientGone
	}
	metrics.Request(x.label(), protocolOf(x.in), code, time.Since(x.started))
}

func (x *exchange) label() telemetry.Call {
	source, service := x.snapshot.Source(x.client), x.route.Port.Service
	call := telemetry.Call{
		SourceWorkload: source.Name, SourceNamespace: source.Namespace,
		Service: service.Name, Namespace: service.Namespace,
	}
	if x.cluster != nil {
		call.Backend = x.cluster.Service.Name
	}
	return call
}

// protocolOf names what a request speaks, for a label.
func protocolOf(r *http.Request) string {
	switch {
	case isGRPC(r):
		return "grpc"
	case r.ProtoMajor == 2:
		return "http2"
	}
	return "http"
}

// expectsContinue tells whether an HTTP/1 client waits to be told to send its
// body. It is told at once, by the proxy (RFC 9110 §10.1.1): net/http would do so
// on the first read of the body, and may write that into an early hint of the
// endpoint, which another goroutine passes on.
func expectsContinue(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoAtLeast(1, 1) && r.ContentLength != 0 && r.Header.Get("Expect") != ""
}

func isGRPC(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// answer looks at a response before it is passed on.
func answer(res *http.Response) error {
	x := exchangeOf(res.Request)
	if res.StatusCode < 100 || res.StatusCode > 999 {
		return malformedError{"its status is " + res.Status}
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		if !upgrades(x.in) || !strings.EqualFold(res.Header.Get("Upgrade"), "websocket") {
			return malformedError{"it switches to a protocol that nobody asked for"}
		}
		return nil
	}
	x.response = &body{ReadCloser: res.Body}
	res.Body = x.response
	return nil
}

// body remembers the last error but the end. The transport reads on its own
// goroutine.
type body struct {
	io.ReadCloser
	err atomic.Pointer[error]
}

// failed returns the error; nil for none.
func (b *body) failed() error {
	if b == nil || b.err.Load() == nil {
		return nil
	}
	return *b.err.Load()
}

// Read reads on.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err.Store(&err)
	}
	return n, err
}

// buffers lends what bodies are copied with.
type buffers struct{ pool sync.Pool }

// Get lends a buffer.
func (b *buffers) Get() []byte {
	if found, ok := b.pool.Get().(*[]byte); ok {
		return *found
	}
	return make([]byte, 32<<10)
}

// Put takes it back.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
