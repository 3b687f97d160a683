package policy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Kind is how a try ended.
type Kind uint8

// The kinds.
const (
	ConnectFailed Kind = iota // no connection was made: nothing was sent
	Refused                   // the endpoint said that it has not begun with it
	Reset                     // the endpoint broke off before its answer
	TimedOut                  // the answer did not begin in the time of one try
	Answered                  // an answer began
)

// Outcome is how one try ended.
type Outcome struct {
	Kind   Kind
	Status int // the HTTP status of an answer
	// GRPC is the grpc-status that came with the answer's head, -1 for none.
	GRPC int
}

// Failed tells whether the outcome speaks against the endpoint: a client's own
// mistake (4xx) does not.
func (o Outcome) Failed() bool {
	return o.Kind != Answered || o.Status >= 500 || serverFault(o.GRPC)
}

// Gateway tells whether the outcome is a failure to reach the endpoint's
// application: no answer, or one that a proxy or an overloaded server gives.
func (o Outcome) Gateway() bool {
	return o.Kind != Answered || o.Status >= 502 && o.Status <= 504 || o.GRPC == unavailable
}

// serverFault tells whether a code of gRPC is like a 5xx.
func serverFault(code int) bool {
	switch code {
	case 2, 4, 12, 13, unavailable, 15: // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
		return true
	}
	return false
}

const unavailable = 14

// Conditions are the outcomes that are worth another try. The zero value holds none.
type Conditions struct {
	kinds    [Answered]bool
	server   bool // 5xx
	statuses []int
	codes    uint32 // of gRPC, by bit
}

// codes are those of gRPC by the names that retry-on takes.
func codes() map[string]int {
	return map[string]int{
		"cancelled": 1, "unknown": 2, "deadline-exceeded": 4, "resource-exhausted": 8,
		"aborted": 10, "internal": 13, "unavailable": unavailable, "data-loss": 15,
	}
}

// ParseRetryOn reads the words of retry-on.
func ParseRetryOn(words []string) (c Conditions, err error) {
	for _, word := range words {
		switch word = strings.ToLower(word); word {
		case "connect-failure":
			c.kinds[ConnectFailed] = true
		case "refused-stream":
			c.kinds[Refused] = true
		case "reset-before-response":
			c.kinds[Reset] = true
		case "per-try-timeout":
			c.kinds[TimedOut] = true
		case "5xx":
			c.server = true
		case "gateway-error":
			c.statuses = append(c.statuses, 502, 503, 504)
		default:
			if code, ok := codes()[word]; ok {
				c.codes |= 1 << code
				continue
			}
			status, err := strconv.Atoi(word)
			if err != nil || status < 400 || status > 599 {
				return Conditions{}, fmt.Errorf("%q is not a condition", word)
			}
			c.statuses = append(c.statuses, status)
		}
	}
	return c, nil
}

// Match tells whether an outcome is worth another try.
func (c *Conditions) Match(o Outcome) bool {
	if o.Kind != Answered {
		return c.kinds[o.Kind]
	}
	if c.Named(o) || c.server && o.Status >= 500 {
		return true
	}
	for _, status := range c.statuses {
		if status == o.Status {
			return true
		}
	}
	return false
}

// Named tells whether an outcome is an answer with a code of gRPC that is
// worth another try.
func (c *Conditions) Named(o Outcome) bool {
	return o.Kind == Answered && o.GRPC > 0 && o.GRPC < 32 && c.codes&(1<<o.GRPC) != 0
}

// StatusOfGRPC is the HTTP status that is nearest to a code of gRPC.
func StatusOfGRPC(code int) int {
	switch code {
	case 0:
		return http.StatusOK
	case unavailable:
		return http.StatusServiceUnavailable
	case 4:
		return http.StatusGatewayTimeout
	case 8:
		return http.StatusTooManyRequests
	}
	if serverFault(code) {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// GRPCOfStatus is the code of gRPC that a client takes an HTTP status for
// (gRPC, "HTTP to gRPC Status Code Mapping").
func GRPCOfStatus(status int) int {
	switch status {
	case http.StatusBadRequest:
		return 13
	case http.StatusUnauthorized:
		return 16
	case http.StatusForbidden:
		return 7
	case http.StatusNotFound:
		return 12
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return unavailable
	}
	return 2
}
