package telemetry

import (
	"encoding/hex"
	"strings"
)

// TraceContext is where a request stands in its caller's trace. The zero value
// is a request that is in none.
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte // the caller's
	// Decided tells that whoever began the trace has said whether it is recorded,
	// Sampled what.
	Decided, Sampled bool
}

// Trace reads where the request stands: by W3C's traceparent, else by B3 in one
// field or in several. What cannot be read is in no trace.
func (n *Note) Trace() TraceContext {
	if n == nil {
		return TraceContext{}
	}
	if t, ok := traceParent(n.TraceParent); ok {
		return t
	}
	if t, ok := b3(n.B3); ok {
		return t
	}
	if n.B3TraceID == "" {
		return TraceContext{}
	}
	t, _ := b3(strings.TrimSuffix(n.B3TraceID+"-"+n.B3SpanID+"-"+n.B3Sampled, "-"))
	return t
}

// text is the trace's id in hexadecimal digits, empty for none.
func (t TraceContext) text() string {
	if t.TraceID == [16]byte{} {
		return ""
	}
	return hex.EncodeToString(t.TraceID[:])
}

// traceParent reads a traceparent (W3C Trace Context §3.2). Of versions to come
// the part that is known counts.
func traceParent(s string) (t TraceContext, ok bool) {
	if len(s) < 55 || s[:2] == "ff" || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > 55 && (s[:2] == "00" || s[55] != '-') {
		return t, false
	}
	var flags [1]byte
	if !digits(t.TraceID[:], s[3:35]) || !digits(t.SpanID[:], s[36:52]) || !digits(flags[:], s[53:55]) || t.SpanID == [8]byte{} || t.TraceID == [16]byte{} {
		return TraceContext{}, false
	}
	t.Decided, t.Sampled = true, flags[0]&1 != 0
	return t, true
}

// b3 reads Zipkin's single field: trace-span-sampled-parent, of which the last
// two may be missing. A trace's id may have 16 or 32 digits.
func b3(s string) (t TraceContext, ok bool) {
	parts := strings.Split(s, "-")
	if len(parts) < 2 {
		return t, false
	}
	id := parts[0]
	if len(id) == 16 {
		id = strings.Repeat("0", 16) + id
	}
	if !digits(t.TraceID[:], id) || !digits(t.SpanID[:], parts[1]) || t.TraceID == [16]byte{} || t.SpanID == [8]byte{} {
		return TraceContext{}, false
	}
	if len(parts) > 2 {
		t.Decided, t.Sampled = true, parts[2] == "1" || parts[2] == "d" || parts[2] == "true"
	}
	return t, true
}

func digits(into []byte, s string) bool {
	if len(s) != 2*len(into) || strings.ToLower(s) != s {
		return false
	}
	_, err := hex.Decode(into, []byte(s))
	return err == nil
}
