package http2

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// refusal says why a request is not passed on.
type refusal struct {
	reason upstream.Reason
	what   string
	status int // 0 means the reason's own
	// retryAfter is how long the client should wait; 0 says nothing.
	retryAfter time.Duration
}

// overLimit refuses a header list that is over the limits.
func (m *message) overLimit() refusal {
	if m.tooLong {
		return refusal{reason: upstream.BadRequest, what: "the request target is too long", status: http.StatusRequestURITooLong}
	}
	return refusal{reason: upstream.BadRequest, what: fmt.Sprintf("the request has more than %d fields or %d bytes of them", m.most.Fields, m.most.HeadBytes), status: http.StatusRequestHeaderFieldsTooLarge}
}

// refuse answers instead of an endpoint: status, reason and a line that says
// what happened to whom. A gRPC client gets a status that it understands. The
// half may be gone afterwards. The caller holds mu.
func (c *conn) refuse(w *work, h *half, no refusal) {
	x := &h.call
	x.waiting, x.reason = false, no.reason
	x.forget()
	where := "the mesh"
	if x.route != nil {
		where = x.route.Port.Service.Name + "." + x.route.Port.Service.Namespace
	}
	c.engine.config.Log.Debug().Str("reason", string(no.reason)).Str("service", where).Stringer("client", c.client.address).Msg(no.what)
	if !h.remoteEnd {
		h.thenReset = true
	}
	if x.grpc {
		x.status, x.grpcStatus = http.StatusOK, no.reason.GRPC(no.status)
		c.head(w, h, fields(
			":status", "200", "content-type", "application/grpc", "grpc-status", strconv.Itoa(x.grpcStatus),
			"grpc-message", grpcEscape("weft: "+where+": "+no.what), "weft-reason", string(no.reason),
		), true)
		return
	}
	if x.status = no.status; x.status == 0 {
		x.status = no.reason.Status()
	}
	body := "weft: " + where + ": " + no.what + " (" + string(no.reason) + ")\n"
	block := fields(
		":status", strconv.Itoa(x.status), "content-type", "text/plain; charset=utf-8", "content-length", strconv.Itoa(len(body)),
		"x-content-type-options", "nosniff", "weft-reason", string(no.reason),
	)
	if no.retryAfter > 0 {
		block = append(block, fields("retry-after", upstream.RetryAfter(no.retryAfter))...)
	}
	c.head(w, h, block, x.headMethod)
	if !x.headMethod {
		c.send(w, h, []byte(body), true)
	}
}

// fields builds a header block of names and values.
func fields(pairs ...string) (block []byte) {
	for i := 0; i < len(pairs); i += 2 {
		block = hpack.AppendField(block, []byte(pairs[i]), []byte(pairs[i+1]))
	}
	return block
}

// grpcEscape writes a grpc-message: printable ASCII but the percent sign as it
// is, other bytes as %XX (gRPC over HTTP/2, "Responses").
func grpcEscape(s string) string {
	const digits = "0123456789ABCDEF"
	var b []byte
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}
