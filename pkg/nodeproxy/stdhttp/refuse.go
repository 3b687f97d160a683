package stdhttp

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/weft-mesh/weft/pkg/nodeproxy/upstream"
)

// broken answers a request that got no answer from an endpoint.
func broken(_ http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r)
	if x.endpoint == nil || x.out.status == 0 {
		x.refuse(x.reasonOf(err), err.Error())
		return
	}
	// The answer has begun: all that is left is to break it off.
	panic(http.ErrAbortHandler)
}

// reasonOf tells whose fault an error is.
func (x *exchange) reasonOf(err error) upstream.Reason {
	refused, dial, malformed := refusedError{}, (*upstream.DialError)(nil), malformedError{}
	switch {
	case x.in.Context().Err() != nil:
		return upstream.ClientGone
	case errors.As(err, &refused):
		return refused.reason
	case errors.As(err, &dial):
		return dial.Reason()
	case errors.As(err, &malformed):
		return upstream.UpstreamMalformed
	case gone(x.request.failed()):
		return upstream.ClientGone
	case x.request.failed() != nil:
		return upstream.BadRequest
	case nonsense(err):
		return upstream.UpstreamMalformed
	}
	return upstream.UpstreamReset
}

// nonsense tells an endpoint that does not speak HTTP from one that broke off.
// The standard library has no types for it.
func nonsense(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return false
	}
	said := err.Error()
	return strings.Contains(said, "malformed") || strings.Contains(said, "transport connection broken")
}

// gone tells a client that left from one that sends nonsense.
func gone(err error) bool {
	var network net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// refuse answers instead of an endpoint: status, reason and a line that says
// what happened to whom. A gRPC client gets a status that it understands.
func (x *exchange) refuse(reason upstream.Reason, what string) {
	x.reason = reason
	where := "the mesh"
	if x.route != nil {
		where = x.route.Port.Service.Name + "." + x.route.Port.Service.Namespace
	}
	x.engine.config.Log.Debug().Str("reason", string(reason)).Str("service", where).Stringer("client", x.client).Msg(what)
	h := x.out.Header()
	h.Set("Weft-Reason", string(reason))
	if reason == upstream.NoRoute || x.in.ProtoMajor == 1 && (reason == upstream.MethodRefused || reason == upstream.BadRequest) {
		h.Set("Connection", "close")
	}
	if isGRPC(x.in) {
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(reason.GRPC(0)))
		h.Set("Grpc-Message", grpcEscape("weft: "+where+": "+what))
		x.out.WriteHeader(http.StatusOK)
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	x.out.WriteHeader(reason.Status())
	_, _ = io.WriteString(x.out, "weft: "+where+": "+what+" ("+string(reason)+")\n")
}

// grpcEscape writes a grpc-message: printable ASCII but the percent sign as it
// is, other bytes as %XX (gRPC over HTTP/2, "Responses").
func grpcEscape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
