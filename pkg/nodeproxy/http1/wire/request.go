package wire

import (
	"bytes"
	"strconv"
)

// Request is the head of a request. Its zero value is ready for Parse; Reset
// makes it so again. What its methods return points into the parsed bytes. Of a
// head that Parse refuses, Method and Path return what the request line says where
// that is in order, else nothing, and Header the fields before the fault.
type Request struct {
	head
	start     int  // where the request line begins
	skipped   bool // one empty line before it
	method    span
	target    span // in origin or asterisk form, as it came
	absolute  bool // the target was in absolute form
	host      span // and named this host
	slash     bool // and lacked the path: "/" goes before what there is
	star      bool // OPTIONS for a whole server in absolute form
	verbatim  bool // the request line is forwarded as it is
	isHead    bool
	retries   bool // the method is idempotent
	isGet     bool
	isOptions bool
}

// Reset forgets the request.
func (r *Request) Reset() {
	r.reset()
	r.start, r.skipped, r.method, r.target = 0, false, span{}, span{}
	r.absolute, r.slash, r.star = false, false, false
	r.verbatim, r.retries, r.isHead, r.isGet, r.isOptions = false, false, false, false, false
}

// Parse reads the head at the begin of b and returns its length; 0 means that b
// does not hold it all, and that Parse wants to be called again with more
// behind the same bytes. Errors are *Error.
func (r *Request) Parse(b []byte) (n int, err error) {
	r.bytes = b
	for !r.first {
		begin := r.pos
		line, ok, err := r.line(b, ErrTargetLong)
		if !ok || err != nil {
			return 0, err
		}
		if len(line) == 0 && !r.skipped {
			// RFC 9112 §2.2: an empty line before the request is ignored.
			r.skipped = true
			continue
		}
		r.start, r.first = begin, true
		if err := r.parseLine(line, begin); err != nil {
			return 0, err
		}
	}
	done, err := r.readFields(b)
	if !done || err != nil {
		return 0, err
	}
	if err := r.check(); err != nil {
		return 0, err
	}
	r.finish()
	return r.pos, nil
}

// Begun tells whether bytes of a request have been seen.
func (r *Request) Begun() bool { return r.first || r.scan > 0 }

// parseLine reads the request line (RFC 9112 §3).
func (r *Request) parseLine(line []byte, begin int) error {
	one := bytes.IndexByte(line, ' ')
	two := bytes.LastIndexByte(line, ' ')
	if one <= 0 || two <= one+1 || !all(line[:one], isToken) {
		return ErrLine
	}
	version := line[two+1:]
	if len(version) != len("HTTP/1.1") || string(version[:5]) != "HTTP/" || !digit(version[5]) || version[6] != '.' || !digit(version[7]) {
		return ErrLine
	}
	if !all(line[one+1:two], isTarget) {
		return ErrTarget
	}
	r.method = span{uint32(begin), uint32(begin + one)}
	r.target = span{uint32(begin + one + 1), uint32(begin + two)}
	method, target := r.parseMethod(line[:one]), r.parseTarget(line[one+1:two])
	if target != nil {
		r.target = span{}
	}
	switch {
	case method != nil:
		return method
	case version[5] != '1' || version[7] > '1':
		return ErrVersion
	}
	r.old = version[7] == '0'
	r.verbatim = !r.old && !r.absolute
	return target
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func (r *Request) parseMethod(method []byte) error {
	switch string(method) {
	case "GET":
		r.isGet, r.retries = true, true
	case "HEAD":
		r.isHead, r.retries = true, true
	case "OPTIONS":
		r.isOptions, r.retries = true, true
	case "PUT", "DELETE":
		r.retries = true
	case "CONNECT", "TRACE":
		return ErrMethod
	case "PRI":
		return ErrPRI
	}
	return nil
}

// parseTarget reads the forms of a request target (RFC 9112 §3.2).
func (r *Request) parseTarget(target []byte) error {
	switch {
	case target[0] == '/':
		return nil
	case len(target) == 1 && target[0] == '*' && r.isOptions:
		return nil
	}
	scheme := 0
	if len(target) > 7 && fold(target[:7], "http://") {
		scheme = 7
	} else if len(target) > 8 && fold(target[:8], "https://") {
		scheme = 8
	}
	if scheme == 0 {
		return ErrTarget
	}
	end := scheme
	for end < len(target) && target[end] != '/' && target[end] != '?' {
		end++
	}
	if !authority(target[scheme:end]) {
		return ErrTarget
	}
	r.absolute = true
	r.host = span{r.target.from + uint32(scheme), r.target.from + uint32(end)}
	r.target.from += uint32(end)
	r.star = r.isOptions && end == len(target)
	r.slash = !r.star && (end == len(target) || target[end] == '?')
	return nil
}

// check refuses what contradicts itself.
func (r *Request) check() error {
	switch {
	case r.hosts > 1 || r.hosts == 0 && !r.old:
		return ErrHost
	case r.codings > 0 && r.lengths > 0:
		return ErrFraming
	case r.codings > 0 && r.old:
		return ErrCodingOld
	case !r.old && r.expects > 0 && (r.expects > 1 || !r.continues):
		return ErrExpect
	}
	for i := range r.count {
		if f := &r.fields[i]; f.name == host && !authority(r.bytes[f.from:f.to]) {
			return ErrHost
		}
	}
	return nil
}

// authority tells whether b is a host with or without a port (RFC 9110 §7.2):
// brackets and a colon mean one thing only.
func authority(b []byte) bool {
	name, port := b, []byte(nil)
	if i := bytes.LastIndexByte(b, ':'); i > bytes.LastIndexByte(b, ']') {
		name, port = b[:i], b[i+1:]
	}
	for _, c := range port {
		if !digit(c) {
			return false
		}
	}
	if len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	} else if bytes.IndexByte(name, ':') >= 0 {
		return false
	}
	return len(name) > 0 && all(name, isHost) && !bytes.ContainsAny(name, "[]")
}

// finish settles which fields are forwarded.
func (r *Request) finish() {
	r.dropNamed()
	r.dropAll(reserved)
	if r.absolute {
		r.dropAll(host)
	}
	if r.lengthBad {
		r.dropAll(contentLength)
	}
	if r.codingBad {
		r.dropAll(transferEncoding)
	}
	for i := range r.count {
		if f := &r.fields[i]; f.name == forwardedFor && !f.drop {
			f.drop, f.join = true, f.from < f.to
		}
	}
}

// Forward is what the proxy adds to a request.
type Forward struct {
	// Client is the address that is appended to X-Forwarded-For, as text.
	Client []byte
	// Host stands in for the Host that an HTTP/1.0 request may lack.
	Host string
}

// Append appends the head as it is sent to an endpoint: as it came, but for the
// fields that only concern this connection, reserved ones, X-Forwarded-For and
// what had to be written anew. Expect is gone: the proxy answers it itself.
func (r *Request) Append(dst []byte, f *Forward) []byte {
	from := r.start
	if !r.verbatim {
		dst = append(append(dst, r.Method()...), ' ')
		dst = append(r.appendTarget(dst), " HTTP/1.1\r\n"...)
		from = r.start + r.lineLength()
	}
	if r.absolute || r.hosts == 0 {
		dst = append(dst, "Host: "...)
		if r.absolute {
			dst = append(dst, r.bytes[r.host.from:r.host.to]...)
		} else {
			dst = append(dst, f.Host...)
		}
		dst = append(dst, "\r\n"...)
	}
	dst = r.appendFields(dst, from)
	dst = append(dst, r.extra...)
	dst = r.appendForwarded(dst, f.Client)
	dst = r.appendFraming(dst)
	switch {
	case r.Upgrade():
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	case r.trailersOK:
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// lineLength is how long the request line was, its end included.
func (r *Request) lineLength() int {
	return bytes.IndexByte(r.bytes[r.start:], '\n') + 1
}

func (r *Request) appendTarget(dst []byte) []byte {
	switch {
	case r.star:
		return append(dst, '*')
	case r.slash:
		dst = append(dst, '/')
	}
	return append(dst, r.bytes[r.target.from:r.target.to]...)
}

// appendForwarded appends the caller to what stood in X-Forwarded-For.
func (r *Request) appendForwarded(dst, client []byte) []byte {
	dst = append(dst, "X-Forwarded-For: "...)
	for i := range r.count {
		if f := &r.fields[i]; f.join {
			dst = append(append(dst, r.bytes[f.from:f.to]...), ", "...)
		}
	}
	return append(append(dst, client...), "\r\n"...)
}

// Method is the request's method.
func (r *Request) Method() []byte { return r.bytes[r.method.from:r.method.to] }

// Target is the request's target as it came, without scheme and authority.
func (r *Request) Target() []byte { return r.bytes[r.target.from:r.target.to] }

// Path is the path of the target as it came, without the query; "*" for the
// server as a whole.
func (r *Request) Path() []byte {
	switch {
	case r.star:
		return asterisk
	case r.slash:
		return root
	}
	target := r.Target()
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		return target[:i]
	}
	return target
}

var asterisk, root = []byte("*"), []byte("/")

// Header returns the i-th field of a name in lower case, from 0 on, among those
// that are passed on. "host" is the host that the request names, wherever it
// stands.
func (r *Request) Header(lower string, i int) (value []byte, ok bool) {
	if r.absolute && lower == "host" {
		return r.bytes[r.host.from:r.host.to], i == 0
	}
	return r.kept(lower, i)
}

// Idempotent tells whether the request may be sent again after a connection
// broke (RFC 9110 §9.2.2).
func (r *Request) Idempotent() bool { return r.retries }

// Old tells that the client speaks HTTP/1.0.
func (r *Request) Old() bool { return r.old }

// Head tells that the answer has no body.
func (r *Request) Head() bool { return r.isHead }

// Close tells that the client wants no further request on the connection.
func (r *Request) Close() bool { return r.close || r.old && !r.keepAlive }

// Expects tells that the client waits for a 100 before it sends the body.
func (r *Request) Expects() bool { return r.continues && !r.old && !r.Bodiless() }

// Bodiless tells that no body follows.
func (r *Request) Bodiless() bool { return r.codings == 0 && r.length == 0 }

// Length is the body's length; ok is false for a chunked one.
func (r *Request) Length() (n uint64, ok bool) { return r.length, r.codings == 0 }

// Upgrade tells that the client asks for WebSocket, the only protocol that is
// switched to: GET, exactly one token, and no body (RFC 6455 §4.1).
func (r *Request) Upgrade() bool {
	return r.isGet && !r.old && r.switches && r.upgrades == 1 && r.websocket && r.Bodiless()
}

// Body is the reader of what follows the head.
func (r *Request) Body() Body {
	if r.codings > 0 {
		return newBody(chunkedBody, 0, false)
	}
	return newBody(sizedBody, r.length, false)
}

// appendFraming writes framing fields anew that were not canonical.
func (h *head) appendFraming(dst []byte) []byte {
	if h.lengthBad {
		dst = append(dst, "Content-Length: "...)
		dst = append(strconv.AppendUint(dst, h.length, 10), "\r\n"...)
	}
	if h.codingBad {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return dst
}
