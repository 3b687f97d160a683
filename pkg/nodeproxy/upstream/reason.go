package upstream

import (
	"net/http"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/pkg/policy"
)

// Reason says why a call was refused. It is one stable word, the same in the
// header weft-reason, in the metric and in the log.
type Reason string

// The reasons of this version.
const (
	NoRoute           Reason = "no-route"           // the port is no longer in the Table
	NoBackend         Reason = "no-backend"         // the route has no backend that takes traffic
	NoEndpoints       Reason = "no-endpoints"       // nothing is ready to serve the port
	Loop              Reason = "loop"               // all endpoints of the Service are the mesh itself
	ConnectFailed     Reason = "connect-failed"     // no endpoint accepted a connection
	UpstreamTimeout   Reason = "upstream-timeout"   // no endpoint answered a connection attempt, or took or answered the request, in time
	TLSFailed         Reason = "tls-failed"         // no endpoint has proved to be the Service, or TLS could not be agreed
	UpstreamReset     Reason = "upstream-reset"     // the endpoint broke off before or within its answer
	UpstreamMalformed Reason = "upstream-malformed" // the endpoint's answer is not HTTP
	ClientGone        Reason = "client-gone"        // the client left before its answer was complete
	BadRequest        Reason = "bad-request"        // the request is malformed
	MethodRefused     Reason = "method-refused"     // CONNECT and TRACE are not proxied
	Timeout           Reason = "timeout"            // the request took longer than it may
	RateLimited       Reason = "rate-limited"       // its caller has made too many
	CircuitOpen       Reason = "circuit-open"       // the Service's circuit breaker lets none through
	Overloaded        Reason = "overloaded"         // as many as may be under way are
	Fault             Reason = "fault"              // a fault that was asked for
	TooLarge          Reason = "too-large"          // the request is larger than its policy allows
	AccessDenied      Reason = "access-denied"      // no TrafficTarget allows the caller to do this
	PathAmbiguous     Reason = "path-ambiguous"     // the path can be read in more than one way where rules depend on it
	Internal          Reason = "internal"           // a fault of the proxy itself
)

// StatusClientGone is what a request is counted as whose client left; nobody
// is there to see it.
const StatusClientGone = 499

// Status is the HTTP status of a refusal for the reason.
func (r Reason) Status() int {
	switch r {
	case UpstreamReset, UpstreamMalformed, TLSFailed:
		return http.StatusBadGateway
	case UpstreamTimeout, Timeout:
		return http.StatusGatewayTimeout
	case RateLimited:
		return http.StatusTooManyRequests
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case BadRequest, PathAmbiguous:
		return http.StatusBadRequest
	case AccessDenied:
		return http.StatusForbidden
	case MethodRefused:
		return http.StatusMethodNotAllowed
	case ClientGone:
		return StatusClientGone
	case Loop:
		return http.StatusLoopDetected
	case Internal:
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

// GRPC is the code of gRPC (of the status codes of its specification) of a
// refusal for the reason; status is the one that a fault asks for.
func (r Reason) GRPC(status int) int {
	switch r {
	case Timeout:
		return 4 // DEADLINE_EXCEEDED
	case RateLimited, TooLarge:
		return 8 // RESOURCE_EXHAUSTED
	case AccessDenied:
		return 7 // PERMISSION_DENIED
	case PathAmbiguous:
		return 3 // INVALID_ARGUMENT
	case Fault:
		return policy.GRPCOfStatus(status)
	}
	return 14 // UNAVAILABLE
}

// RetryAfter writes the value of a Retry-After header: whole seconds, rounded up
// (RFC 9110 §10.2.3).
func RetryAfter(wait time.Duration) string {
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}
