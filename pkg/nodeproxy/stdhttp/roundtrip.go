package stdhttp

import (
	"errors"
	"io"
	"net/http"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// roundTripper sends a request to the endpoint whose turn it is.
type roundTripper struct{ engine *Engine }

// refusedError is a call for which there is nothing to send it to.
type refusedError struct {
	reason upstream.Reason
	what   string
}

// Error says what.
func (e refusedError) Error() string { return e.what }

// malformedError is an answer that is not HTTP.
type malformedError struct{ what string }

// Error says what.
func (e malformedError) Error() string { return e.what }

// RoundTrip tries endpoints until one accepts a connection: nothing was
// delivered before, so any request may be tried again. A connection that was
// used before and dies before its answer begins is the transport's to retry.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r)
	var last error
	if r.Body != nil {
		r.Body = unclosed{r.Body}
	}
	try := x.cluster.Try(x.client)
	for e := try.Next(); e != nil; e = try.Next() {
		r.URL.Host = e.Address.String()
		pool := t.engine.pools.take(e)
		res, err := pool.transport(x.speaksHTTP2()).RoundTrip(r)
		if err == nil {
			try.Answered()
			x.endpoint, x.pool = e, pool
			return res, nil
		}
		pool.leave()
		e.Release()
		last = err
		if refused := (*upstream.DialError)(nil); !errors.As(err, &refused) || r.Context().Err() != nil {
			break
		}
	}
	return nil, last
}

// unclosed keeps a body open for the next try; the server closes it in the end.
type unclosed struct{ io.Reader }

// Close does nothing.
func (unclosed) Close() error { return nil }
