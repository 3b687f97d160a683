package wire

// Error is why a message is refused. Status is what a client is told where the
// message was a request; a response that is refused is always a 502.
type Error struct {
	Status int
	Text   string
}

// Error says what is wrong, in a few words.
func (e *Error) Error() string { return e.Text }

// What can be wrong with a message.
var (
	ErrLine         = &Error{400, "malformed request line"}
	ErrTarget       = &Error{400, "malformed request target"}
	ErrLineEnd      = &Error{400, "a line does not end with CRLF"}
	ErrFold         = &Error{400, "folded field line"}
	ErrField        = &Error{400, "malformed field line"}
	ErrHost         = &Error{400, "missing, repeated or malformed Host"}
	ErrLength       = &Error{400, "malformed or contradicting Content-Length"}
	ErrFraming      = &Error{400, "both Content-Length and Transfer-Encoding"}
	ErrCoding       = &Error{400, "malformed Transfer-Encoding"}
	ErrCodingOld    = &Error{400, "Transfer-Encoding in HTTP/1.0"}
	ErrChunk        = &Error{400, "malformed chunk"}
	ErrChunkExcess  = &Error{400, "chunk extensions out of proportion"}
	ErrTrailer      = &Error{400, "malformed trailer"}
	ErrTruncated    = &Error{400, "the body ends early"}
	ErrMethod       = &Error{405, "method not proxied"}
	ErrTargetLong   = &Error{414, "request line too long"}
	ErrExpect       = &Error{417, "unknown expectation"}
	ErrHeadLong     = &Error{431, "head too long"}
	ErrFields       = &Error{431, "too many fields"}
	ErrCodingOther  = &Error{501, "unknown Transfer-Encoding"}
	ErrVersion      = &Error{505, "this version is not spoken here"}
	ErrStatusLine   = &Error{502, "malformed status line"}
	ErrSwitch       = &Error{502, "protocol switched without being asked"}
	ErrSwitchEarly  = &Error{502, "protocol switched before the request was sent whole"}
	ErrInterim      = &Error{502, "too many interim responses"}
	ErrTrailerLong  = &Error{431, "trailers too long"}
	ErrPRI          = &Error{400, "the preface of another version"}
	ErrResponseLong = &Error{502, "response head too long"}
)
