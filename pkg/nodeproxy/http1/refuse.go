package http1

import (
	"net/http"
	"strconv"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// refusal is an answer of the proxy itself.
type refusal struct {
	reason upstream.Reason
	status int // 0 means what the reason says
	what   string
	close  bool
}

// refuse answers instead of an endpoint: status, reason and a line that says
// what happened to whom. It returns true where the connection ends with it.
func (c *conn) refuse(x *exchange, r refusal) (over bool) {
	if r.status == 0 {
		r.status = r.reason.Status()
	}
	where := "the mesh"
	if x.route != nil {
		where = x.route.Port.Service.Name + "." + x.route.Port.Service.Namespace
	}
	c.engine.config.Log.Debug().Str("reason", string(r.reason)).Str("service", where).Stringer("client", c.client).Msg(r.what)
	x.closing = r.close || !x.whole.Load() || x.request.Close() || c.engine.draining.Load() || c.half.Load() && x.r == x.w
	content := "weft: " + where + ": " + r.what + " (" + string(r.reason) + ")\n"
	x.pending = appendRefusal(x.pending, r, len(content), x.closing)
	if !x.request.Head() {
		x.pending = append(x.pending, content...)
	}
	c.count(x, r.status, r.reason)
	x.outcome = complete
	if c.send2(x, nil); x.outcome == gone {
		return true
	}
	c.out.enter(busy, x.now)
	if x.closing {
		c.next = (*conn).linger
	}
	return x.closing
}

// appendRefusal appends the head of a refusal.
func appendRefusal(b []byte, r refusal, length int, closing bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(append(b, ' '), http.StatusText(r.status)...)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nWeft-Reason: "...)
	b = append(append(b, r.reason...), "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(length), 10)
	if closing {
		b = append(b, "\r\nConnection: close"...)
	}
	return append(b, "\r\n\r\n"...)
}
