package http2

import (
	"net/http"
	"strconv"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
)

// terms are what an answer must keep to: what its request and its connection ask
// of it.
type terms struct {
	head      bool // it was HEAD: the answer has no body
	old       bool // HTTP/1.0: no chunks, no interim answers
	keepAlive bool // an HTTP/1.0 client wants to be told that the connection stays
	expects   bool // the client waits for a 100
	close     bool // the connection ends with the answer
}

// teller says answers, which come in frames, to an HTTP/1 client. It is free of
// I/O: it is given frames, and appends bytes.
type teller struct {
	terms
	decoder hpack.Decoder
	field   hpack.Field
	length  []byte // the content-length of the head
	block   []byte // a header block that is not whole
	blockOf frame  // what it began with; stream 0: there is none

	headed   bool
	bodiless bool // no body follows, whatever the fields say
	chunked  bool
	stream   uint32
	done     bool // the answer is complete
	broken   bool // or never will be
	goodbye  bool // each answer is the last
	granted  int  // what the client may send beyond that
}

// begin makes it ready for the answer on a stream.
func (t *teller) begin(stream uint32, a terms) {
	t.stream, t.terms = stream, a
	t.headed, t.bodiless, t.chunked, t.done = false, false, false, false
}

// take takes a frame and appends what the client gets of it. Frames that only
// concern the connection of frames end here.
func (t *teller) take(dst []byte, f frame) []byte {
	if f.stream != 0 && (f.stream != t.stream || t.done) {
		return dst
	}
	switch f.kind {
	case frameHeaders, frameContinuation:
		return t.fields(dst, f)
	case frameData:
		return t.data(dst, f)
	case frameReset:
		t.broken = true
	case frameGoAway:
		t.goodbye = true
	case frameWindowUpdate:
		if f.stream != 0 {
			t.granted += int(f.payload[0])<<24 | int(f.payload[1])<<16 | int(f.payload[2])<<8 | int(f.payload[3])
		}
	}
	return dst
}

// fields takes a header block, or a piece of one.
func (t *teller) fields(dst []byte, f frame) []byte {
	if !f.has(flagEndHeaders) || t.blockOf.stream != 0 {
		if t.blockOf.stream == 0 {
			t.block, t.blockOf = t.block[:0], f
		}
		t.block = append(t.block, f.payload...)
		if !f.has(flagEndHeaders) {
			return dst
		}
		f.flags, f.payload = t.blockOf.flags, t.block
		t.blockOf = frame{}
		defer func() { t.block = modest(t.block) }()
	}
	if t.headed {
		return t.trailers(dst, f.payload)
	}
	return t.head(dst, f.payload, f.has(flagEndStream))
}

// head says the head of an answer, or an interim answer.
func (t *teller) head(dst, block []byte, end bool) []byte {
	status := t.status(block)
	if status < 200 {
		return t.interim(dst, block, status)
	}
	t.headed = true
	t.bodiless = t.terms.head || status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
	dst = appendStatus(dst, status)
	t.length = t.length[:0]
	announced := false // trailers are
	t.decoder.Begin(block)
	for t.decoder.Next(&t.field) {
		announced = announced || string(t.field.Name) == "trailer"
		if t.field.Class == hpack.ContentLength {
			t.length = append(t.length, t.field.Value...)
		} else {
			dst = appendLine(dst, &t.field)
		}
	}
	dst = t.framing(dst, status, end, announced)
	switch {
	case t.close:
		dst = append(dst, "connection: close\r\n"...)
	case t.keepAlive:
		dst = append(dst, "connection: keep-alive\r\n"...)
	}
	t.done = end
	return append(dst, "\r\n"...)
}

// framing says how the body ends. A length would leave no place for trailers.
func (t *teller) framing(dst []byte, status int, end, announced bool) []byte {
	switch {
	case status == http.StatusNoContent: // RFC 9110 §8.6: no length either
	case status == http.StatusResetContent, end && len(t.length) == 0 && !t.bodiless:
		return append(dst, "content-length: 0\r\n"...)
	case len(t.length) > 0 && (!announced || t.old || t.bodiless || end):
		return append(append(append(dst, "content-length: "...), t.length...), "\r\n"...)
	case t.bodiless:
	case t.old:
		t.close = true // nothing else tells where the body ends
	default:
		t.chunked = true
		return append(dst, "transfer-encoding: chunked\r\n"...)
	}
	return dst
}

// status finds what a block says; 0 for trailers.
func (t *teller) status(block []byte) int {
	t.decoder.Begin(block)
	for t.decoder.Next(&t.field) {
		if t.field.Class == hpack.Status {
			return statusOf(t.field.Value)
		}
	}
	return 0
}

// interim says a 1xx. The leave to send a body is given once: by the proxy, as
// soon as the client asks for it (RFC 9110 §10.1.1).
func (t *teller) interim(dst, block []byte, status int) []byte {
	if t.old || status == http.StatusContinue && !t.expects {
		return dst
	}
	if status == http.StatusContinue {
		t.expects = false
	}
	dst = appendStatus(dst, status)
	t.decoder.Begin(block)
	for t.decoder.Next(&t.field) {
		if t.field.Class != hpack.ContentLength {
			dst = appendLine(dst, &t.field)
		}
	}
	return append(dst, "\r\n"...)
}

// appendStatus appends a status line. The reason is the registered one, since
// HTTP/2 carries none.
func appendStatus(dst []byte, status int) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(strconv.AppendInt(dst, int64(status), 10), ' ')
	return append(append(dst, http.StatusText(status)...), "\r\n"...)
}

// appendLine appends a field but for pseudo-headers.
func appendLine(dst []byte, f *hpack.Field) []byte {
	if f.Name[0] == ':' {
		return dst
	}
	dst = append(append(dst, f.Name...), ": "...)
	return append(append(dst, f.Value...), "\r\n"...)
}

// data says a piece of the body.
func (t *teller) data(dst []byte, f frame) []byte {
	switch {
	case t.bodiless || len(f.payload) == 0:
	case t.chunked:
		dst = append(strconv.AppendInt(dst, int64(len(f.payload)), 16), "\r\n"...)
		dst = append(append(dst, f.payload...), "\r\n"...)
	default:
		dst = append(dst, f.payload...)
	}
	if f.has(flagEndStream) {
		dst = t.trailers(dst, nil)
	}
	return dst
}

// trailers ends the body. Only chunks can carry trailers.
func (t *teller) trailers(dst, block []byte) []byte {
	t.done = true
	if !t.chunked {
		return dst
	}
	dst = append(dst, "0\r\n"...)
	t.decoder.Begin(block)
	for t.decoder.Next(&t.field) {
		dst = appendLine(dst, &t.field)
	}
	return append(dst, "\r\n"...)
}
