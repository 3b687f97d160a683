package http2

import (
	"bytes"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/pkg/nodeproxy/http2/hpack"
	"github.com/weft-mesh/weft/pkg/nodeproxy/limits"
	"github.com/weft-mesh/weft/pkg/policy"
)

// message is what one header block says, and the block that is passed on. It
// is filled again for each block of a connection.
type message struct {
	block []byte // for the other side

	malformed bool // as RFC 9113 §8.1.1 means it
	tooLarge  bool // the header list is; what is set below may be incomplete
	tooLong   bool // its :path alone would be

	method method
	status int
	length int64 // the content-length; -1 for none
	grpc   bool
	// idempotent tells that the method may be applied twice (RFC 9110 §9.2.2).
	idempotent  bool
	grpcTimeout time.Duration // 0 for none
	grpcStatus  int           // -1 for none
	refused     string        // why a well-formed request is not proxied; empty: it is

	asked asked
	edits *policy.Edits // of the fields that go on; nil for none
	// secure tells that the request goes on over TLS.
	secure bool

	decoder   *hpack.Decoder
	most      *limits.Limits
	field     hpack.Field
	fields    int
	size      int
	seen      uint32 // classes that may come once, by bit
	regular   bool   // a field came that is not a pseudo-header
	path      pathKind
	authority []byte
	forwarded []byte // values of x-forwarded-for, joined
}

// method is what the proxy must know of a request's method.
type method uint8

const (
	otherMethod method = iota
	headMethod
	optionsMethod
	notProxied // CONNECT and TRACE
)

// pathKind is what a :path is.
type pathKind uint8

const (
	badPath pathKind = iota
	plainPath
	asterisk
)

// read goes through a block and judges each field; the fields of a list that is
// too large are decoded only, for the table's sake. The error is the decoder's.
func (m *message) read(block []byte, judge func(*message, *hpack.Field)) error {
	*m = message{
		block: m.block[:0], length: -1, grpcStatus: -1, decoder: m.decoder, most: m.most, asked: m.asked, edits: m.edits, secure: m.secure,
		authority: m.authority[:0], forwarded: m.forwarded[:0],
	}
	m.decoder.Begin(block)
	for m.decoder.Next(&m.field) {
		f := &m.field
		m.fields++
		m.size += f.Size()
		if m.fields > m.most.Fields || m.size > m.most.HeadBytes {
			m.tooLarge = true
			m.tooLong = m.tooLong || f.Class == hpack.Path && len(f.Value) > m.most.HeadBytes/2
			continue
		}
		if !f.Valid {
			m.malformed = true
		}
		judge(m, f)
	}
	return m.decoder.Err()
}

// once marks a field that may come once.
func (m *message) once(f *hpack.Field) {
	bit := uint32(1) << f.Class
	if m.seen&bit != 0 {
		m.malformed = true
	}
	m.seen |= bit
}

func (m *message) has(c hpack.Class) bool { return m.seen&(1<<c) != 0 }

// pass puts a field into the block that goes on.
func (m *message) pass(f *hpack.Field) {
	if m.edits == nil || !m.edits.Drops(f.Name) {
		m.block = append(m.block, f.Wire...)
	}
}

// amend adds the fields of the edits.
func (m *message) amend() {
	if m.edits == nil {
		return
	}
	for _, f := range m.edits.Append {
		m.block = hpack.AppendField(m.block, f.Name, f.Value)
	}
}

// pseudo marks a pseudo-header, which must come before all other fields.
func (m *message) pseudo(f *hpack.Field) {
	if m.regular {
		m.malformed = true
	}
	m.once(f)
	m.pass(f)
}

// scheme passes the scheme on: a client's own, or what is true from here on.
func (m *message) scheme(f *hpack.Field) {
	before := len(m.block)
	if m.pseudo(f); m.secure {
		m.block = hpack.AppendField(m.block[:before], schemeName, https)
	}
}

var schemeName, https = []byte(":scheme"), []byte("https")

// request reads a request's block. client is the address that is appended to
// X-Forwarded-For.
func (m *message) request(block []byte, client []byte) error {
	if err := m.read(block, judgeRequest); err != nil {
		return err
	}
	if m.tooLarge {
		return nil
	}
	complete := m.has(hpack.Method) && (m.method == notProxied || m.has(hpack.Scheme) && m.has(hpack.Path) && m.path != badPath)
	if !complete || m.path == asterisk && m.method != optionsMethod && m.method != notProxied {
		m.malformed = true
	}
	if len(m.forwarded) > 0 {
		m.forwarded = append(m.forwarded, ", "...)
	}
	m.forwarded = append(m.forwarded, client...)
	m.block = hpack.AppendField(m.block, forwardedFor, m.forwarded)
	m.amend()
	return nil
}

var forwardedFor = []byte("x-forwarded-for")

func judgeRequest(m *message, f *hpack.Field) {
	switch f.Class {
	case hpack.Method:
		m.pseudo(f)
		m.method = methodOf(m, f.Value)
		m.asked.method = m.asked.take(m.asked.method, f)
	case hpack.Scheme:
		m.scheme(f)
		if string(f.Value) != "http" && string(f.Value) != "https" {
			m.refused = "the request's scheme is neither http nor https"
		}
	case hpack.Path:
		m.pseudo(f)
		m.judgePath(f.Value)
		m.asked.target = m.asked.take(m.asked.target, f)
	case hpack.Authority:
		m.pseudo(f)
		m.authority = append(m.authority, f.Value...)
		m.judgeHost(f.Value)
	case hpack.Status, hpack.Unknown, hpack.Connection:
		m.malformed = true
	default:
		m.regular = true
		judgeRequestField(m, f)
	}
}

// judgeRequestField judges what is not a pseudo-header.
func judgeRequestField(m *message, f *hpack.Field) {
	m.asked.header(f)
	switch f.Class {
	case hpack.Ordinary, hpack.Private:
		m.pass(f)
		if string(f.Name) == "grpc-timeout" {
			m.grpcTimeout = grpcTimeout(f.Value)
		}
	case hpack.TE:
		m.pass(f)
		if string(f.Value) != "trailers" {
			m.malformed = true
		}
	case hpack.Host:
		m.once(f)
		m.pass(f)
		m.judgeHost(f.Value)
		if m.has(hpack.Authority) && !bytes.EqualFold(f.Value, m.authority) {
			m.malformed = true
		}
	case hpack.ContentLength:
		m.contentLength(f)
	case hpack.ContentType:
		m.pass(f)
		m.grpc = bytes.HasPrefix(f.Value, grpcType)
	case hpack.ForwardedFor:
		if len(m.forwarded) > 0 {
			m.forwarded = append(m.forwarded, ", "...)
		}
		m.forwarded = append(m.forwarded, f.Value...)
	case hpack.Expect:
		// HTTP/2 needs no leave to send a body; only this value has a meaning.
		m.once(f)
		if string(f.Value) != "100-continue" {
			m.refused = "the expectation is not 100-continue"
		}
		m.pass(f)
	}
}

var grpcType = []byte("application/grpc")

// methodOf judges a method, which must be a token.
func methodOf(m *message, value []byte) method {
	switch string(value) {
	case "HEAD":
		m.idempotent = true
		return headMethod
	case "OPTIONS":
		m.idempotent = true
		return optionsMethod
	case "CONNECT", "TRACE":
		return notProxied
	case "GET", "PUT", "DELETE":
		m.idempotent = true
		return otherMethod
	case "POST":
		return otherMethod
	}
	if len(value) == 0 {
		m.malformed = true
	}
	for _, c := range value {
		if !tokenOctet(c) {
			m.malformed = true
		}
	}
	return otherMethod
}

func tokenOctet(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || bytes.IndexByte(tokenMarks, c) >= 0
}

var tokenMarks = []byte("!#$%&'*+-.^_`|~")

// judgePath judges a :path: absolute, or the asterisk; without white space.
func (m *message) judgePath(value []byte) {
	switch {
	case string(value) == "*":
		m.path = asterisk
	case len(value) > 0 && value[0] == '/':
		m.path = plainPath
	}
	for _, c := range value {
		if c <= ' ' || c == 0x7f {
			m.malformed = true
		}
		if c == '#' {
			m.refused = "the request target has a fragment"
		}
	}
}

// judgeHost judges an authority: not empty, no user, nothing of another part of
// a URI.
func (m *message) judgeHost(value []byte) {
	if len(value) == 0 {
		m.refused = "the request names an empty host"
	}
	for _, c := range value {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte(notInHost, c) >= 0 {
			m.refused = "the request's host is malformed"
		}
	}
}

var notInHost = []byte(`/?#@\,"<>`)

// contentLength reads a length, which must be digits; equal ones may repeat in
// one field only.
func (m *message) contentLength(f *hpack.Field) {
	m.once(f)
	m.pass(f)
	n := int64(0)
	if len(f.Value) == 0 || len(f.Value) > 18 {
		m.malformed = true
		return
	}
	for _, c := range f.Value {
		if c < '0' || c > '9' {
			m.malformed = true
			return
		}
		n = 10*n + int64(c-'0')
	}
	m.length = n
}

// response reads a response's block.
func (m *message) response(block []byte) error {
	if err := m.read(block, judgeResponse); err != nil {
		return err
	}
	if m.status < 100 || m.status == 101 {
		m.malformed = true // RFC 9113 §8.6: there is no 101 in HTTP/2
	}
	if m.status >= 200 {
		m.amend()
	}
	return nil
}

func judgeResponse(m *message, f *hpack.Field) {
	switch f.Class {
	case hpack.Status:
		m.pseudo(f)
		m.status = statusOf(f.Value)
	case hpack.Method, hpack.Scheme, hpack.Path, hpack.Authority, hpack.Unknown, hpack.Connection:
		m.malformed = true
	case hpack.Never:
		m.regular = true
	case hpack.ContentLength:
		m.regular = true
		m.contentLength(f)
	case hpack.ContentType:
		m.regular = true
		m.pass(f)
		m.grpc = bytes.HasPrefix(f.Value, grpcType)
	default:
		m.regular = true
		m.pass(f)
		m.noteStatus(f)
	}
}

// noteStatus keeps a grpc-status, which an answer's head holds where it has no
// body, else its trailers.
func (m *message) noteStatus(f *hpack.Field) {
	if string(f.Name) != "grpc-status" {
		return
	}
	if code, err := strconv.Atoi(string(f.Value)); err == nil && code >= 0 {
		m.grpcStatus = code
	}
}

// statusOf reads three digits; 0 for what is none.
func statusOf(value []byte) int {
	if len(value) != 3 {
		return 0
	}
	n := 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// trailers reads the block that ends a message. What would change the meaning
// of the message is left out (RFC 9110 §6.5.1).
func (m *message) trailers(block []byte) error {
	m.edits = nil
	return m.read(block, judgeTrailer)
}

func judgeTrailer(m *message, f *hpack.Field) {
	switch f.Class {
	case hpack.Ordinary, hpack.ContentType:
		m.pass(f)
		m.noteStatus(f)
	case hpack.Host, hpack.ContentLength, hpack.Private, hpack.ForwardedFor, hpack.Reserved, hpack.Never, hpack.TE, hpack.Expect:
	default:
		m.malformed = true
	}
}
