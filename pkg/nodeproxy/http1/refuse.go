package http1

import (
	"net/http"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// refusal is an answer of the proxy itself.
type refusal struct {
	reason upstream.Reason
	status int // 0 means what the reason says
	what   string
	close  bool
	// retryAfter is how long the client should wait; 0 says nothing.
	retryAfter time.Duration
}

// refuse answers instead of an endpoint: status, reason and a line that says
// what happened to whom.
func (c *conn) refuse(x *exchange, r refusal) {
	if r.status == 0 {
		r.status = r.reason.Status()
	}
	where := "the mesh"
	if x.route != nil {
		where = x.route.Port.Service.Name + "." + x.route.Port.Service.Namespace
	}
	c.engine.config.Log.Debug().Str("reason", string(r.reason)).Str("service", where).Stringer("client", c.client).Msg(r.what)
	x.closing = r.close || !x.whole || x.request.Close() || c.engine.draining.Load() || c.half && x.up.r == x.up.w
	content := "weft: " + where + ": " + r.what + " (" + string(r.reason) + ")\n"
	x.down.out = appendRefusal(x.down.out, r, len(content), x.closing)
	if !x.request.Head() {
		x.down.out = append(x.down.out, content...)
	}
	c.count(x, r.status, r.reason)
	x.down.since = c.now
	c.state = answered
}

// appendRefusal appends the head of a refusal.
func appendRefusal(b []byte, r refusal, length int, closing bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(append(b, ' '), http.StatusText(r.status)...)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nWeft-Reason: "...)
	b = append(append(b, r.reason...), "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(length), 10)
	if r.retryAfter > 0 {
		b = append(append(b, "\r\nRetry-After: "...), upstream.RetryAfter(r.retryAfter)...)
	}
	if closing {
		b = append(b, "\r\nConnection: close"...)
	}
	return append(b, "\r\n\r\n"...)
}
